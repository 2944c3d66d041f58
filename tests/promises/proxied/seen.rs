//! What an administrator sees of clients and their proxies.

use nix::sys::signal::Signal;
use reactor::Registry;
use reactor::proxy::Header;
use serde_json::{Value, json};

use super::{Who, behind, connect_from, header, serving};
use crate::support::{Client, Process, Server, ask, eventually, listener, listener_with};

#[test]
fn admin_shows_the_proxy_beside_its_client_and_probes_among_the_refused() {
    let mut registry = Registry::built_in();
    registry.stream_fn("who", "Says who asks.", "echo '?' | nc 127.0.0.1 9000", |_| Who);
    let listeners = [listener_with("who", &behind(&json!({}))), listener("admin", "tcp")];
    let server = Server::start(&registry, &json!({ "listeners": listeners }));
    drop(Client::connect(server.address("who-tcp")));
    let mut proxy = Client::connect(server.address("who-tcp"));
    let via = proxy.stream().local_addr().unwrap().to_string();
    proxy.ask([&header("192.0.2.7:40000").version_1()[..], b"?"].concat(), format!("192.0.2.7:40000 via {via}\n"));
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = String::from_utf8(ask(server.address("admin-tcp"), &[request])).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let rows: Value = serde_json::from_str(&get("/connections?listener=who-tcp")).unwrap();
    let rows = rows["connections"].as_array().unwrap();
    let row = rows.iter().find(|row| row["peer"] == "192.0.2.7:40000").unwrap();
    assert_eq!(row["proxy"], json!(via));
    assert!(rows.iter().any(|row| row["state"] == "listening" && row["proxy"].is_null()), "{rows:?}");
    let probes = r#"reactor_refused_total{listener="who-tcp",reason="probe"} 1"#;
    eventually("the probe is counted", || get("/metrics").contains(probes));
}

#[test]
fn only_a_peer_that_is_really_on_this_machine_gets_a_recording() {
    let listener = listener_with("admin", &behind(&json!({})));
    let server = Server::start(&Registry::built_in(), &json!({ "listeners": [listener] }));
    let mut proxy = Client::connect(server.address("admin-tcp"));
    let request = b"GET /xray?seconds=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    proxy.send([&header("127.0.0.1:40000").version_1()[..], request].concat());
    proxy.expect("HTTP/1.1 403 ");
}

#[test]
fn the_access_log_has_the_proxy_behind_its_client_and_no_line_of_probes() {
    let listener = listener_with("sum", &behind(&json!({ "access": { "deny": ["192.0.2.66"] } })));
    let server = Process::start(&json!({ "listeners": [listener], "log": { "access": "all" } }));
    let connect = || Client::connect(server.address("sum-tcp"));
    drop(connect());
    let mut check = connect();
    check.ask([&Header::Local.version_2()[..], br#"{"A":7,"B":4}"#].concat(), "{\"Sum\":11}\n");
    drop(check);
    let mut ends = Vec::new();
    for client in ["192.0.2.7:40000", "192.0.2.66:1"] {
        let mut proxy = connect();
        proxy.send([&header(client).version_1()[..], br#"{"A":7,"B":4}"#].concat());
        let _ = proxy.try_rest_of(1);
        ends.push((client, proxy.stream().local_addr().unwrap()));
    }
    let mut unnamed = connect();
    unnamed.ask([&Header::Unknown.version_1()[..], br#"{"A":7,"B":4}"#].concat(), "{\"Sum\":11}\n");
    let itself = unnamed.stream().local_addr().unwrap();
    drop(unnamed);
    eventually("all have closed", || server.counter("sum-tcp", "open") == 0);
    server.signal(Signal::SIGTERM);
    let (_, log) = server.wait();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("reactor::access] ")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (client, proxy) in ends {
        let is_line =
            |line: &&&str| line.contains(&format!("peer={client} ")) && line.ends_with(&format!("proxy={proxy}"));
        assert_eq!(lines.iter().filter(is_line).count(), 1, "{log}");
    }
    let is_unnamed = |line: &&&str| line.contains(&format!("peer={itself} ")) && !line.contains("proxy=");
    assert_eq!(lines.iter().filter(is_unnamed).count(), 1, "{log}");
}

#[test]
fn a_relay_names_its_client_and_its_own_connections_need_no_permission() {
    let server = serving(&behind(&json!({})));
    for version in ["v1", "v2"] {
        let members = json!({
            "options": { "targets": [server.address("who-tcp")], "proxy_protocol": version },
            "access": { "allow": ["127.0.0.2"] },
            "limits": { "connection_rate_per_ip": "1/h", "connection_rate": "1/h" }
        });
        let config = json!({ "listeners": [listener_with("relay", &members)] });
        let relay = Process::example_under(&[], "relay", &config);
        let mut client = connect_from([127, 0, 0, 2], relay.address("relay-tcp"));
        client.send("?");
        let told = format!("{} via 127.0.0.1:", client.stream().local_addr().unwrap());
        let answer = String::from_utf8(client.read_once(100)).unwrap();
        assert!(answer.starts_with(&told), "{version}: {answer}");
    }
}
