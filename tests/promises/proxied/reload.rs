//! Reloads of proxies, networks and rates: they apply to new connections.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{behind, header, is_refused};
use crate::reload::Reloaded;
use crate::support::{Client, eventually, listener_with};

const REQUEST: &str = r#"{"A":7,"B":4}"#;
const ANSWER: &str = "{\"Sum\":11}\n";

fn sum(members: &Value) -> Value {
    json!({ "listeners": [listener_with("sum", members)] })
}

#[test]
fn a_connection_keeps_its_proxy_when_the_listener_has_none_any_more() {
    let mut server = Reloaded::start(&sum(&behind(&json!({}))));
    let address = server.process.address("sum-tcp");
    let mut old = Client::connect(address);
    old.ask([&header("192.0.2.7:40000").version_2()[..], REQUEST.as_bytes()].concat(), ANSWER);
    let mut opening = Client::connect(address);
    opening.send(&header("192.0.2.8:40000").version_2()[..20]);
    eventually("it has begun", || server.process.counter("sum-tcp", "open") == 2);
    let log = server.accepts(&sum(&json!({ "limits": { "idle_timeout": "2h" } })));
    for line in [r#"proxy_protocol.from ["127.0.0.0/8"] -> none"#, "idle_timeout 30s -> 2h"] {
        assert!(log.contains(&format!("reload: sum-tcp: {line}")), "{log}");
    }
    let mut new = Client::connect(address);
    new.ask(REQUEST, ANSWER);
    opening.ask([&header("192.0.2.8:40000").version_2()[20..], REQUEST.as_bytes()].concat(), ANSWER);
    let earlier = server.process.log().lines().count();
    server.process.signal(Signal::SIGUSR1);
    let rows = || -> Vec<_> {
        let log = server.process.log();
        log.lines().skip(earlier).map(str::to_owned).collect()
    };
    eventually("the report has ended", || rows().iter().any(|line| line.contains("in all 4 ")));
    // What had no protocol yet is served like a new connection, with the new limits.
    for (peer, client, is_new) in [("192.0.2.7:40000", &old, false), ("192.0.2.8:40000", &opening, true)] {
        let via = format!("; via {}", client.stream().local_addr().unwrap());
        let is_row = |line: &String| line.contains(&format!(" {peer} ")) && line.ends_with(&via);
        let row = rows().into_iter().find(is_row);
        assert_eq!(row.map(|row| row.contains(" min ")), Some(is_new), "{:#?}", rows());
    }
    drop((old, opening, new));
    eventually("all are closed", || server.process.counter("sum-tcp", "open") == 0);
}

#[test]
fn a_network_that_may_no_longer_come_keeps_its_connections() {
    let limited = |access: &str| {
        sum(&behind(&json!({ "access": { access: ["192.0.2.0/24"] }, "limits": { "max_connections_per_ip": 1 } })))
    };
    let mut server = Reloaded::start(&limited("allow"));
    let address = server.process.address("sum-tcp");
    let come = |client: &str| {
        let mut proxy = Client::connect(address);
        proxy.send([&header(client).version_1()[..], REQUEST.as_bytes()].concat());
        proxy
    };
    let mut old = come("192.0.2.7:1");
    old.expect(ANSWER);
    let log = server.accepts(&limited("deny"));
    assert!(log.contains(r#"reload: sum-tcp: access.deny none -> ["192.0.2.0/24"]"#), "{log}");
    assert!(is_refused(&mut come("192.0.2.8:1")));
    come("198.51.100.1:1").expect(ANSWER);
    old.ask(REQUEST, ANSWER);
    drop(old);
    server.accepts(&limited("allow"));
    eventually("its place is free", || come("192.0.2.7:2").try_rest_of(1).is_ok());
}

#[test]
fn a_raised_rate_lets_those_in_who_wait() {
    let rate = |rate: &str| sum(&json!({ "limits": { "connection_rate": rate } }));
    let mut server = Reloaded::start(&rate("1/h"));
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(server.process.address("sum-tcp"))).collect();
    for client in &mut clients {
        client.send(REQUEST);
    }
    clients[0].expect(ANSWER);
    eventually("it waits", || server.process.counter("sum-tcp", "accept paused") == 1);
    server.accepts(&rate("0/s"));
    clients[1..].iter_mut().for_each(|client| client.expect(ANSWER));
}

#[test]
fn a_rate_goes_on_counting_over_a_reload_unless_it_changes() {
    let limits =
        |rate: &str, idle: &str| sum(&json!({ "limits": { "connection_rate_per_ip": rate, "idle_timeout": idle } }));
    let mut server = Reloaded::start(&limits("1/h", "1h"));
    let address = server.process.address("sum-tcp");
    Client::connect(address).ask(REQUEST, ANSWER);
    server.accepts(&limits("1/h", "2h"));
    assert!(is_refused(&mut Client::connect(address)));
    server.accepts(&limits("2/h", "2h"));
    Client::connect(address).ask(REQUEST, ANSWER);
}
