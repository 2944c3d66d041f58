//! An administrator can look at the server while it serves, over real sockets.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Process, Server, ask, deaf_clients, eventually, listener, listener_with, server};

/// A server with `sum` over both transports, `admin` and `agent`.
fn watched() -> Server {
    let hosts = json!({ "options": { "hosts": ["reactor.example"] } });
    let listeners =
        [listener("sum", "tcp"), listener("sum", "udp"), listener_with("admin", &hosts), listener("agent", "tcp")];
    server(&json!({ "listeners": listeners }))
}

/// The head and the body of one answer.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn status(&self) -> &str {
        self.head.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).unwrap()
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| *known == name).map(|(_, value)| value).next().unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The value of a metric: `name{labels}`.
    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let found = self.body.lines().filter_map(|line| line.rsplit_once(' ')).find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.body)).1.parse().unwrap()
    }
}

/// Splits the first answer off `bytes`; an answer to HEAD has no body.
#[track_caller]
fn split(bytes: &str, is_head: bool) -> (Answer, &str) {
    let (head, rest) = bytes.split_once("\r\n\r\n").unwrap();
    let mut answer = Answer { head: head.to_owned(), body: String::new() };
    let length = if is_head { 0 } else { answer.header("Content-Length").parse().unwrap() };
    answer.body = rest[..length].to_owned();
    (answer, &rest[length..])
}

/// Sends bytes and FIN. Returns all that comes back.
#[track_caller]
fn exchange(server: &Server, request: &str) -> String {
    String::from_utf8(ask(server.address("admin-tcp"), &[request])).unwrap()
}

#[track_caller]
fn get_with(server: &Server, path: &str, headers: &str) -> Answer {
    let sent = exchange(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    let (answer, rest) = split(&sent, false);
    assert_eq!(rest, "");
    answer
}

#[track_caller]
fn get(server: &Server, path: &str) -> Answer {
    get_with(server, path, "")
}

#[test]
fn the_book_names_every_metric_and_no_other() {
    let scrape = get(&watched(), "/metrics");
    let families = scrape.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let words = include_str!("../../docs/protocols.md").split('`');
    // What is known about the process differs between systems.
    let is_everywhere = |name: &&str| cfg!(target_os = "linux") || !name.starts_with("process_");
    let named = words.filter(|word| word.starts_with("reactor_") || word.starts_with("process_"));
    assert_eq!(families.filter(is_everywhere).collect::<BTreeSet<_>>(), named.filter(is_everywhere).collect());
}

#[test]
fn counters_equal_what_the_clients_did() {
    let server = watched();
    let request = "{\"A\":1,\"B\":2}";
    let answer = "{\"Sum\":3}\n";
    for _ in 0..20 {
        assert_eq!(ask(server.address("sum-tcp"), &[request.repeat(5)]), answer.repeat(5).as_bytes());
    }
    let _open = [(); 3].map(|()| {
        let mut client = Client::connect(server.address("sum-tcp"));
        client.ask(request, answer);
        client
    });
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    for _ in 0..7 {
        udp.send_to(request.as_bytes(), server.address("sum-udp")).unwrap();
        assert_eq!(udp.recv(&mut [0; 64]).unwrap(), answer.len());
    }
    // Dropped without an answer; the next answer shows that it was handled.
    udp.send_to(b"no request", server.address("sum-udp")).unwrap();
    udp.send_to(request.as_bytes(), server.address("sum-udp")).unwrap();
    assert_eq!(udp.recv(&mut [0; 64]).unwrap(), answer.len());

    for accept in ["", "Accept: application/openmetrics-text\r\n"] {
        let metrics = get_with(&server, "/metrics", accept);
        let tcp = |name: &str| metrics.metric(&format!("{name}{{listener=\"sum-tcp\"}}"));
        assert_eq!((tcp("reactor_connections_accepted_total"), tcp("reactor_connections")), (23.0, 3.0));
        assert_eq!(metrics.metric("reactor_connections_closed_total{listener=\"sum-tcp\",reason=\"eof\"}"), 20.0);
        assert_eq!(tcp("reactor_requests_total"), 103.0);
        assert_eq!(tcp("reactor_received_bytes_total"), (103 * request.len()) as f64);
        assert_eq!(tcp("reactor_sent_bytes_total"), (103 * answer.len()) as f64);
        let udp = |name: &str| metrics.metric(&format!("{name}{{listener=\"sum-udp\"}}"));
        assert_eq!((udp("reactor_datagrams_received_total"), udp("reactor_datagrams_sent_total")), (9.0, 8.0));
        assert!(metrics.body.contains("reactor_datagrams_dropped_total{listener=\"sum-udp\",reason="));
        assert_eq!(metrics.body.ends_with("# EOF\n"), !accept.is_empty());
    }
    let listeners = get(&server, "/listeners").json();
    let sum = &listeners["listeners"][0];
    assert_eq!((&sum["accepted"], &sum["closed"], &sum["open"]), (&json!(23), &json!({ "eof": 20 }), &json!(3)));
}

#[test]
fn the_loop_measures_itself_from_the_first_question_on() {
    let server = watched();
    let count = |answer: &Answer| answer.metric("reactor_loop_turn_seconds_count");
    assert_eq!(count(&get(&server, "/metrics")), 0.0);
    let (one, two) = (get(&server, "/metrics"), get(&server, "/metrics"));
    assert!(count(&one) > 0.0 && count(&two) > count(&one));
    assert!(two.metric("reactor_loop_busy_seconds_total") > one.metric("reactor_loop_busy_seconds_total"));
    assert_eq!(two.metric("reactor_loop_turn_seconds_bucket{le=\"+Inf\"}"), count(&two));
}

/// Asks the listener of `admin` at this address for the metrics.
#[track_caller]
fn metrics_at(address: SocketAddr) -> Answer {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    split(&String::from_utf8(ask(address, &[request])).unwrap(), false).0
}

#[test]
fn a_reload_is_counted_and_no_counter_begins_again() {
    let config = |idle: &str| {
        let sum = listener_with("sum", &json!({ "limits": { "idle_timeout": idle } }));
        json!({ "listeners": [sum, listener("admin", "tcp")] }).to_string()
    };
    let server = Process::start(&serde_json::from_str(&config("1h")).unwrap());
    let (sum, admin) = (server.address("sum-tcp"), server.address("admin-tcp"));
    let of_sum = |name: &str| format!("{name}{{listener=\"sum-tcp\"}}");
    let results = |metrics: &Answer| {
        let count = |result: &str| metrics.metric(&format!("reactor_config_reloads_total{{result=\"{result}\"}}"));
        (count("done"), count("failed"), metrics.metric("reactor_config_last_reload_successful"))
    };
    let loaded_at = |metrics: &Answer| metrics.metric("reactor_config_last_reload_success_timestamp_seconds");
    let at_first = metrics_at(admin);
    assert_eq!((results(&at_first), at_first.metric("reactor_draining")), ((0.0, 0.0, 1.0), 0.0));
    // It keeps the limits of the old configuration, and is counted with the others.
    let _open = Client::connect(sum);
    let (mut done, mut failed) = (0.0, 0.0);
    for (number, text) in [config("2h"), "{".to_owned(), config("3h")].iter().enumerate() {
        assert_eq!(ask(sum, &[r#"{"A":1,"B":2}"#]), b"{\"Sum\":3}\n");
        fs::write(server.directory().path().join("reactor.json"), text).unwrap();
        server.signal(Signal::SIGHUP);
        let is_whole = text != "{";
        *if is_whole { &mut done } else { &mut failed } += 1.0;
        eventually("the reload ends", || results(&metrics_at(admin)) == (done, failed, is_whole.into()));
        let metrics = metrics_at(admin);
        let answered = (number + 1) as f64;
        assert_eq!(metrics.metric(&of_sum("reactor_connections_accepted_total")), answered + 1.0);
        assert_eq!(metrics.metric(&of_sum("reactor_sent_bytes_total")), 10.0 * answered);
    }
    assert!(loaded_at(&metrics_at(admin)) > loaded_at(&at_first));
}

#[test]
fn connections_that_do_not_read_are_counted_as_long_as_they_are_open() {
    let server = Process::start(&json!({ "listeners": [listener("uppercase", "tcp"), listener("admin", "tcp")] }));
    let admin = server.address("admin-tcp");
    let held_back = || metrics_at(admin).metric("reactor_back_pressured_connections{listener=\"uppercase-tcp\"}");
    assert_eq!(held_back(), 0.0);
    let mut clients = deaf_clients(&server, "uppercase-tcp", 3);
    assert_eq!(held_back(), 3.0);
    clients.pop().unwrap().reset();
    eventually("a connection that is reset no longer counts", || held_back() == 2.0);
    let mut reader = clients.pop().unwrap();
    reader.finish();
    reader.rest();
    eventually("one whose output was taken does not either", || held_back() == 1.0);
    let began = metrics_at(admin).metric("reactor_back_pressure_total{listener=\"uppercase-tcp\"}");
    assert!(began >= 3.0, "{began}");
}

#[test]
fn a_server_that_leaves_says_so_while_it_still_serves() {
    let config = json!({ "listeners": [listener("agent", "tcp"), listener("admin", "tcp")], "shutdown_delay": "1h" });
    let server = Process::start(&config);
    server.signal(Signal::SIGTERM);
    let admin = server.address("admin-tcp");
    eventually("it is draining", || metrics_at(admin).metric("reactor_draining") == 1.0);
    assert_eq!(metrics_at(admin).metric("reactor_ready"), 0.0);
    assert_eq!(ask(server.address("agent-tcp"), &[""]), b"drain\n");
}

#[test]
fn every_connection_has_a_row_with_what_it_waits_for() {
    let server = watched();
    let mut waiting = Client::connect(server.address("sum-tcp"));
    waiting.send("{\"A\":");
    let rows = || get(&server, "/connections?listener=sum-tcp").json()["connections"].as_array().unwrap().clone();
    let is_there = |rows: &Vec<Value>| rows.iter().any(|row| row["state"] == "request");
    let rows = std::iter::repeat_with(rows).find(is_there).unwrap();
    let peer = waiting.stream().local_addr().unwrap().to_string();
    assert_eq!((&rows[0]["peer"], &rows[0]["listener"]), (&json!(peer), &json!("sum-tcp")));
    assert!(rows[0]["why"].as_str().unwrap().starts_with("in the middle of a request"), "{rows:?}");
    assert_eq!(rows[1]["state"], "listening");
    let one = get(&server, "/connections?limit=1").json();
    assert_eq!((one["connections"].as_array().unwrap().len(), &one["more"]), (1, &json!(5)));
}

#[test]
fn health_readiness_and_configuration_are_answered() {
    let server = watched();
    assert_eq!((get(&server, "/healthz").body, get(&server, "/readyz").body), ("ok\n".into(), "ready\n".into()));
    let verbose = get(&server, "/readyz?verbose").body;
    let addresses = ["sum-tcp", "sum-udp", "admin-tcp", "agent-tcp"].map(|name| server.address(name).to_string());
    let lines: Vec<_> = verbose.lines().collect();
    assert_eq!(lines[0], "ready");
    for (line, address) in lines[1..].iter().zip(addresses) {
        assert!(line.contains(&address) && line.ends_with(": accepting"), "{line}");
    }
    assert_eq!(get(&server, "/config").json()["listeners"][2]["options"]["hosts"], json!(["reactor.example"]));
    assert_eq!(ask(server.address("agent-tcp"), &[""]), b"up ready\n");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = watched();
    let requests = ["/healthz", "/listeners", "/nothing"].map(|path| {
        format!("HEAD {path} HTTP/1.1\r\nHost: [::1]:9901\r\n\r\nGET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    });
    for request in requests {
        let sent = exchange(&server, &request);
        let (head, rest) = split(&sent, true);
        let (whole, rest) = split(rest, false);
        assert_eq!((head.status(), rest), (whole.status(), ""));
        assert!(!whole.body.is_empty() && head.header("Content-Type") == whole.header("Content-Type"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = watched();
    let paths = ["/healthz", "/readyz", "/listeners", "/x", "/config"].repeat(10);
    let requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: reactor.example\r\n\r\n")).collect();
    let sent = exchange(&server, &requests);
    let mut rest = &sent[..];
    for path in &paths {
        let answer;
        (answer, rest) = split(rest, false);
        assert_eq!(answer.status(), if *path == "/x" { "404 Not Found" } else { "200 OK" }, "{path}");
    }
    assert_eq!(rest, "");
}

#[test]
fn smuggled_requests_and_foreign_hosts_get_no_answer() {
    let server = watched();
    let hidden = "GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (headers, status) in [
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()), "400 Bad Request"),
        (format!("Content-Length: {}\r\n", hidden.len()), "413 Content Too Large"),
        (format!("Content-Length: +{}\r\n", hidden.len()), "400 Bad Request"),
        ("Transfer-Encoding: chunked\r\n".to_owned(), "413 Content Too Large"),
        ("Host: localhost\r\n".to_owned(), "400 Bad Request"),
    ] {
        let sent = exchange(&server, &format!("POST /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{hidden}"));
        let (answer, rest) = split(&sent, false);
        assert_eq!((answer.status(), answer.header("Connection"), rest), (status, "close", ""), "{headers}");
        assert_eq!(answer.body.lines().count(), 1, "an error says what is wrong");
    }
    let sent = exchange(&server, &format!("GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n{hidden}"));
    let (foreign, rest) = split(&sent, false);
    assert_eq!(foreign.status(), "421 Misdirected Request");
    assert_eq!(split(rest, false).0.status(), "200 OK");
    let sent = exchange(&server, "DELETE /config HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (refused, _) = split(&sent, false);
    assert_eq!((refused.status(), refused.header("Allow")), ("405 Method Not Allowed", "GET, HEAD"));
}

#[test]
fn prometheus_accepts_the_text() {
    let server = watched();
    assert_eq!(ask(server.address("sum-tcp"), &["{\"A\":1,\"B\":2}"]), b"{\"Sum\":3}\n");
    let metrics = get(&server, "/metrics");
    assert_eq!(metrics.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    let open = get_with(&server, "/metrics", "Accept: application/openmetrics-text\r\n");
    assert_eq!(open.header("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing: Debian's package prometheus has it");
        return eprintln!("SKIPPED: promtool is missing, so this test did not check the text");
    };
    promtool.stdin.take().unwrap().write_all(metrics.body.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_loop_can_be_recorded_by_one_at_a_time() {
    let server = watched();
    let mut first = Client::connect(server.address("admin-tcp"));
    first.send("GET /xray?seconds=10 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let second = || get(&server, "/xray").status().to_owned();
    // The first request may come later than the second one, whose recording its FIN ends at once.
    while second() != "409 Conflict" {}
    assert_eq!(ask(server.address("sum-tcp"), &["{\"A\":1,\"B\":2}"]), b"{\"Sum\":3}\n");
    // The FIN ends the recording.
    let recorded = String::from_utf8(first.try_rest_after_fin().unwrap()).unwrap();
    let (text, _) = split(&recorded, false);
    assert_eq!(text.status(), "200 OK");
    for line in ["sum-tcp", "accept", "recvfrom(", "sendto("] {
        assert!(text.body.contains(line), "no {line} in {}", text.body);
    }
    let page = get_with(&server, "/xray", "Accept: text/html\r\n");
    assert_eq!(page.header("Content-Security-Policy"), "sandbox allow-scripts; frame-ancestors 'self'");
    assert!(page.header("Content-Type").starts_with("text/html") && page.body.starts_with("<!DOCTYPE html>"));
    assert!(get(&server, "/xray?format=json").json().is_object());

    let mut lost = Client::connect(server.address("admin-tcp"));
    lost.send("GET /xray?seconds=10 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while second() != "409 Conflict" {}
    lost.reset();
    // A recording ends with its connection.
    while second() == "409 Conflict" {}
}
