//! Behind a proxy: the client that a PROXY header names is the peer. And who may come, and how often.

// They start other servers, in a network of their own.
#[cfg(target_os = "linux")]
mod balancers;
// They need many addresses, and read `/proc`.
#[cfg(target_os = "linux")]
mod crowds;
mod reload;
mod seen;
mod unix;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reactor::Registry;
use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
use reactor::proxy::Header;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{Client, PATIENCE, Process, Server, eventually, listener_with, program};

/// Answers each read with its peer and the proxy of its peer.
struct Who;

impl StreamProtocol for Who {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let proxy = cx.proxy().map_or_else(|| "-".to_owned(), |proxy| proxy.to_string());
        cx.out.extend_from_slice(format!("{} via {proxy}\n", cx.peer()).as_bytes());
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

/// A server of [`Who`] with more members of its listener.
#[track_caller]
fn serving(members: &Value) -> Server {
    let mut registry = Registry::empty();
    registry.stream_fn("who", "Says who asks.", "echo '?' | nc 127.0.0.1 9000", |_| Who);
    Server::start(&registry, &json!({ "listeners": [listener_with("who", members)] }))
}

/// The members of a listener behind proxies on this machine.
fn behind(members: &Value) -> Value {
    let mut all = json!({ "proxy_protocol": { "from": ["127.0.0.0/8"] } });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

/// A header for a client with this address.
fn header(client: &str) -> Header {
    Header::of(client.parse().unwrap(), "203.0.113.1:80".parse().unwrap())
}

/// A connection from another address of this machine.
#[track_caller]
fn connect_from(ip: [u8; 4], to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    Client::over(socket.into())
}

/// Whether the server closes the connection without a byte.
fn is_refused(client: &mut Client) -> bool {
    client.try_rest().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |rest| rest.is_empty())
}

#[track_caller]
fn refused(server: &Server, expected: &str) {
    eventually(expected, || {
        let refused = server.stats("who-tcp").refused;
        assert!(refused.total() <= expected.split(' ').next().unwrap().parse().unwrap(), "{refused}");
        refused.to_string() == expected
    });
}

#[test]
fn the_client_of_either_version_is_the_peer_and_the_proxy_is_beside_it() {
    let server = serving(&behind(&json!({})));
    for client in ["192.0.2.7:40000", "[2001:db8::7]:1", "192.0.2.7:0"] {
        for bytes in [header(client).version_1(), header(client).version_2()] {
            let mut proxy = Client::connect(server.address("who-tcp"));
            let told = format!("{client} via {}\n", proxy.stream().local_addr().unwrap());
            proxy.ask([&bytes[..], b"?"].concat(), told);
        }
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_read_and_what_follows_is_served() {
    let server = serving(&behind(&json!({})));
    for bytes in [header("192.0.2.7:40000").version_1(), header("192.0.2.7:40000").version_2()] {
        let mut proxy = Client::connect(server.address("who-tcp"));
        let served = server.stats("who-tcp").accepted;
        for (sent, byte) in bytes.iter().enumerate() {
            assert_eq!(server.stats("who-tcp").accepted, served, "nothing happens before it is whole: {sent}");
            let received = server.stats("who-tcp").received_bytes;
            proxy.send([*byte]);
            eventually("it is read", || server.stats("who-tcp").received_bytes > received);
        }
        let told = format!("192.0.2.7:40000 via {}\n", proxy.stream().local_addr().unwrap());
        proxy.ask("?", told);
    }
}

#[test]
fn a_header_that_drips_ends_at_its_deadline_and_not_before() {
    let server = serving(&json!({ "proxy_protocol": { "from": ["127.0.0.1"], "timeout": "300ms" } }));
    let begin = Instant::now();
    let mut proxy = Client::connect(server.address("who-tcp"));
    proxy.send("PROXY TCP4 192.0");
    assert!(is_refused(&mut proxy));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    refused(&server, "1 (opening timeout 1)");
}

#[test]
fn what_is_not_a_header_or_too_long_is_closed_without_an_answer() {
    let server = serving(&behind(&json!({})));
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 100]].concat();
    for bytes in [b"GET / HTTP/1.0\r\n\r\n".to_vec(), long, b"PROXY TCP4 1.2.3.4 1.2.3.4 080 80\r\n".to_vec()] {
        let mut proxy = Client::connect(server.address("who-tcp"));
        proxy.send(bytes);
        assert!(is_refused(&mut proxy));
    }
    refused(&server, "3 (proxy header 3)");
    assert_eq!(server.stats("who-tcp").accepted, 0);
}

#[test]
fn a_stranger_is_refused_or_served_as_itself() {
    let stranger = |others: &str| {
        let server = serving(&json!({ "proxy_protocol": { "from": ["127.0.0.9"], "others": others } }));
        let mut client = Client::connect(server.address("who-tcp"));
        (server, client.stream().local_addr().unwrap(), client.try_rest_after_header())
    };
    let (server, _, answer) = stranger("refuse");
    assert!(answer.is_empty(), "{answer}");
    refused(&server, "1 (no trusted proxy 1)");
    let (_server, itself, answer) = stranger("direct");
    assert_eq!(answer, format!("{itself} via -\n"), "a header of a stranger is input");
}

impl Client {
    /// Sends a header, and returns what comes back, or nothing after a reset.
    fn try_rest_after_header(&mut self) -> String {
        let _ = std::io::Write::write_all(&mut self.stream(), &header("192.0.2.7:40000").version_2());
        String::from_utf8(self.try_rest_after_fin().unwrap_or_default()).unwrap()
    }
}

#[test]
fn limits_and_networks_apply_to_the_client_and_not_to_the_proxy() {
    let server = serving(&behind(&json!({
        "limits": { "max_connections_per_ip": 1, "ip_prefix_v4": 24 },
        "access": { "allow": ["192.0.2.0/24", "2001:db8::/32"], "deny": ["192.0.2.66"] }
    })));
    let come = |client: &str| {
        let mut proxy = Client::connect(server.address("who-tcp"));
        proxy.send([&header(client).version_1()[..], b"?"].concat());
        proxy
    };
    let mut first = come("192.0.2.7:1");
    assert!(first.read_once(100).starts_with(b"192.0.2.7:1 via 127.0.0.1:"));
    let mut of_the_same_network = come("192.0.2.8:1");
    assert!(is_refused(&mut of_the_same_network));
    let mut of_another = come("[2001:db8::1]:1");
    assert!(of_another.read_once(100).starts_with(b"[2001:db8::1]:1"));
    for outside in ["192.0.2.66:1", "127.0.0.1:1"] {
        assert!(is_refused(&mut come(outside)), "{outside}");
    }
    refused(&server, "3 (max_connections_per_ip 1, access 2)");
    drop(first);
    eventually("its place is free", || come("192.0.2.9:1").try_rest_of(1).is_ok());
}

#[test]
fn connections_in_their_opening_count_in_max_connections() {
    let server = serving(&behind(&json!({ "limits": { "max_connections": 2, "max_connections_per_ip": 1 } })));
    let silent = [(); 2].map(|()| Client::connect(server.address("who-tcp")));
    eventually("no more is accepted", || server.stats("who-tcp").paused.total() == 1);
    let mut waits = Client::connect(server.address("who-tcp"));
    waits.send([&header("192.0.2.7:1").version_2()[..], b"?"].concat());
    drop(silent);
    assert!(waits.read_once(100).starts_with(b"192.0.2.7:1"), "it is served as soon as there is a place");
    refused(&server, "2 (probe 2)");
}

#[test]
fn checks_of_a_proxy_leave_no_line_in_the_log_and_clients_do() {
    let listener = listener_with("sum", &behind(&json!({})));
    let server = Process::with(&[], &["--log", "debug"], &json!({ "listeners": [listener] }));
    let connect = || Client::connect(server.address("sum-tcp"));
    drop(connect());
    connect().reset();
    let mut checks = connect();
    checks.ask([&Header::Local.version_2()[..], br#"{"A":7,"B":4}"#].concat(), "{\"Sum\":11}\n");
    drop(checks);
    let mut proxy = connect();
    proxy.ask([&header("192.0.2.7:40000").version_1()[..], br#"{"A":7,"B":4}"#].concat(), "{\"Sum\":11}\n");
    let via = format!("192.0.2.7:40000 via {}", proxy.stream().local_addr().unwrap());
    drop(proxy);
    eventually("all have closed", || server.counters()[0].contains("closed 2 "));
    server.signal(Signal::SIGTERM);
    let (_, log) = server.wait();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" DEBUG ") && line.contains("127.0.0.1:")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].ends_with(&format!("accepted {via}")) && lines[1].contains(&format!("closed {via}: ")), "{log}");
    assert!(log.contains("refused 2 (probe 2)"), "{log}");
}

#[test]
fn the_report_has_the_client_and_the_proxy_beside_it() {
    let listener = listener_with("sum", &behind(&json!({})));
    let server = Process::start(&json!({ "listeners": [listener] }));
    let mut proxy = Client::connect(server.address("sum-tcp"));
    proxy.ask([&header("192.0.2.7:40000").version_2()[..], br#"{"A":7,"B":4}"#].concat(), "{\"Sum\":11}\n");
    server.signal(Signal::SIGUSR1);
    let via = format!("; via {}", proxy.stream().local_addr().unwrap());
    let is_row = |line: &str| line.contains(" 192.0.2.7:40000 ") && line.ends_with(&via);
    eventually("the report has its row", || server.log().lines().any(is_row));
}

#[test]
fn above_the_rate_of_the_listener_connections_wait_and_none_is_lost() {
    let server = serving(&json!({ "limits": { "connection_rate": "10/s" } }));
    let begin = Instant::now();
    let mut clients: Vec<_> = (0..15).map(|_| Client::connect(server.address("who-tcp"))).collect();
    for client in &mut clients {
        client.send("?");
    }
    for client in &mut clients {
        assert!(!client.read_once(100).is_empty());
    }
    assert!(begin.elapsed() >= Duration::from_millis(490), "{:?}", begin.elapsed());
    let stats = server.stats("who-tcp");
    assert_eq!((stats.accepted, stats.refused.total()), (15, 0));
    assert!(stats.paused.to_string().contains("connection_rate"), "{}", stats.paused);
}

#[test]
fn peers_that_are_refused_take_nothing_of_the_rate() {
    let server = serving(&json!({ "access": { "deny": ["127.0.0.2"] }, "limits": { "connection_rate": "1/h" } }));
    for _ in 0..3 {
        assert!(is_refused(&mut connect_from([127, 0, 0, 2], server.address("who-tcp"))));
    }
    let mut client = Client::connect(server.address("who-tcp"));
    let address = client.stream().local_addr().unwrap();
    client.ask("?", format!("{address} via -\n"));
}

#[test]
fn a_pause_for_the_rate_is_counted_after_another_pause_too() {
    let server = serving(&json!({ "limits": { "max_connections": 1, "connection_rate": "1/h" } }));
    let served = Client::connect(server.address("who-tcp"));
    let _waits = Client::connect(server.address("who-tcp"));
    let paused = || server.stats("who-tcp").paused.to_string();
    eventually("it is full", || paused() == "1 (max_connections 1)");
    drop(served);
    eventually("it waits for the rate", || paused() == "2 (max_connections 1, connection_rate 1)");
}

#[test]
fn a_stop_serves_those_that_wait_for_the_rate() {
    let server = serving(&json!({ "limits": { "connection_rate": "1/h" } }));
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(server.address("who-tcp"))).collect();
    for client in &mut clients {
        client.send("?");
    }
    eventually("it waits", || server.stats("who-tcp").paused.total() == 1);
    server.handle().stop();
    assert!(clients.iter_mut().all(|client| !client.read_once(100).is_empty()));
}

#[test]
fn above_the_rate_of_its_prefix_a_client_is_refused_and_others_are_not() {
    let server = serving(&json!({ "limits": { "connection_rate_per_ip": "2/h", "ip_prefix_v4": 24 } }));
    let served = |ip| connect_from(ip, server.address("who-tcp")).try_answer();
    assert!(served([127, 0, 0, 1]) && served([127, 0, 0, 2]) && !served([127, 0, 0, 3]));
    assert!(served([127, 0, 1, 1]));
    refused(&server, "1 (connection_rate_per_ip 1)");
}

#[test]
fn more_addresses_than_the_table_of_rates_has_places_cost_no_more() {
    const ADDRESSES: u32 = 70_000;
    let members = json!({ "limits": { "connection_rate_per_ip": "1/h" } });
    let server = Process::start(&json!({ "listeners": [listener_with("sum", &members)] }));
    let from = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        connect_from([127, 1 + high, middle, low], server.address("sum-tcp"))
    };
    let before = server.resident_bytes();
    for number in 0..ADDRESSES {
        from(number).reset();
    }
    assert!(is_refused(&mut from(ADDRESSES - 1)), "the last ones are remembered");
    eventually("all are closed", || server.counter("sum-tcp", "open") == 0);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    from(0).ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
}

impl Client {
    /// Whether the server answers.
    fn try_answer(mut self) -> bool {
        let _ = std::io::Write::write_all(&mut self.stream(), b"?");
        self.try_rest_of(1).is_ok()
    }
}

#[test]
fn a_listener_without_proxies_reads_no_header() {
    let server = serving(&json!({}));
    let stream = TcpStream::connect(server.address("who-tcp")).unwrap();
    let itself = stream.local_addr().unwrap();
    Client::over(stream).ask(header("192.0.2.7:40000").version_1(), format!("{itself} via -\n"));
}

#[test]
fn load_speaks_as_a_proxy_of_the_client_that_it_names() {
    let listener = listener_with("sum", &behind(&json!({ "access": { "allow": ["192.0.2.7"] } })));
    let server = crate::support::server(&json!({ "listeners": [listener] }));
    let url = server.address("sum-tcp").to_string();
    for (announce, is_served) in [("v1=192.0.2.7", true), ("v2=192.0.2.7", true), ("v2=192.0.2.8", false)] {
        let arguments = ["sum", &url, "-c", "2", "-d", "200ms", "--proxy-protocol", announce, "--assert", "errors=0"];
        let output = std::process::Command::new(program("load")).args(arguments).output().unwrap();
        assert_eq!(output.status.success(), is_served, "{announce}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(server.stats("sum-tcp").refused.count("access") > 0);
}
