//! `load --reconnect`: a run goes on while a server is away, and neither errors nor waiting requests are lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use super::{Load, Outcome, Stub, load, refuse_usage};
use crate::support::{Scratch, Server, eventually, listener_with, loopback, refusing, server, watch_for};

/// A port for servers that come and go. The socket does not listen, and keeps the port from other tests; `SO_REUSEADDR` lets a
/// server listen there all the same (`socket(7)`).
fn reserved(domain: Domain, ip: &str) -> (Socket, SocketAddr) {
    let socket = Socket::new(domain, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn sum_at(address: SocketAddr) -> Server {
    server(&json!({ "listeners": [{ "name": "sum", "protocol": "sum", "listen": format!("tcp://{address}") }] }))
}

#[test]
fn connections_come_back_after_a_restart_and_no_request_is_forgotten() {
    let (_port, address) = reserved(Domain::IPV4, "127.0.0.1");
    let before = sum_at(address);
    let run = Load::start(&format!("sum tcp://{address} -c 4 -d 3s --rate 500 --reconnect"));
    eventually("all are connected, and answered", || {
        let stats = before.stats("sum");
        stats.accepted >= 5 && stats.sent_bytes > 0
    });
    drop(before);
    watch_for(Duration::from_millis(300));
    let after = sum_at(address);
    let outcome = run.wait();
    assert_eq!((outcome.number("/reconnects"), after.stats("sum").accepted), (4.0, 4), "{}", outcome.text);
    let lost = outcome.number("/errors/closed") + outcome.number("/errors/reset");
    assert!(lost >= 4.0, "{}", outcome.text);
    // Each of the 1500 requests is answered, or an error. So is each of the four losses.
    let known = outcome.number("/requests") + lost + outcome.number("/errors/timeout") + outcome.number("/unsent");
    assert!((1500.0..=1504.0).contains(&known), "{known}: {}", outcome.text);
    // A fifth of them were due while the server was away, and their latencies say so.
    assert!(outcome.number("/latency_us/max") >= 250_000.0, "{}", outcome.text);
    assert!(outcome.number("/latency_us/p99") >= 150_000.0, "{}", outcome.text);
    assert!(outcome.text.contains("reconnects  4, pauses from seed "), "{}", outcome.text);
}

#[test]
fn a_server_that_comes_later_is_found_at_any_of_its_addresses() {
    let (_port, address) = reserved(Domain::IPV6, "::1");
    let run = Load::start(&format!("sum :{} -c 2 -d 2s --reconnect", address.port()));
    watch_for(Duration::from_millis(300));
    let _server = sum_at(address);
    let outcome = run.wait();
    assert!(outcome.code == Some(0) && outcome.number("/requests") > 0.0, "{} {}", outcome.text, outcome.errors);
}

#[test]
fn pauses_grow_while_no_server_is_there() {
    let (_closed, address) = refusing();
    let outcome = load(&format!("sum tcp://{address} -c 3 -d 1s --rate 100 --reconnect --seed 5"));
    // The shortest pauses are 10, 20, 40, ... 500 ms, and the run ends a second after its last request was due.
    let attempts = outcome.number("/errors/connect") / 3.0;
    assert!((1.0..=10.0).contains(&attempts), "{}", outcome.text);
    assert_eq!((outcome.number("/unsent"), outcome.number("/reconnects")), (100.0, 0.0), "{}", outcome.text);
    assert!(outcome.code == Some(1) && outcome.errors.contains("cannot connect"), "{}", outcome.errors);
    assert_eq!((&outcome.json["reconnect"], &outcome.json["seed"]), (&json!(true), &json!(5)));
}

/// Accepts connections, and does something with each after its first request has come.
fn each_connection(act: fn(&TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                if matches!(stream.read(&mut [0; 100]), Ok(1..)) {
                    act(&stream);
                }
            });
        }
    });
    address
}

#[test]
fn every_kind_of_loss_is_named_with_its_server() {
    let good = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let silent = Stub::start(|_, _| Some(String::new()));
    let (_closed, refuses) = refusing();
    let closes = each_connection(|_| {});
    let resets = each_connection(|stream| SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap());
    let wrong = each_connection(|mut stream| stream.write_all(b"{\"Sum\":0}\n").unwrap());
    let targets = [good.address, silent.address, refuses, closes, resets, wrong];
    let urls = targets.map(|address| format!("tcp://{address}")).join(" ");
    let outcome = load(&format!("sum {urls} -c 12 -d 500ms --timeout 100ms --reconnect"));
    let kinds = [None, Some("timeout"), Some("connect"), Some("closed"), Some("reset"), Some("wrong")];
    for (target, kind) in kinds.into_iter().enumerate() {
        let errors = outcome.json["targets"][target]["errors"].as_object().unwrap();
        let Some(kind) = kind else {
            // On a busy machine an answer of any server may be late.
            assert_eq!(errors["total"], errors["timeout"], "{}", outcome.text);
            continue;
        };
        assert!(errors[kind].as_u64() > Some(0), "{kind}: {}", outcome.text);
        let line =
            outcome.text.lines().find(|line| line.contains(&targets[target].to_string()) && line.starts_with(' '));
        assert!(line.is_some_and(|line| line.contains(&format!(", {kind} {}", errors[kind]))), "{}", outcome.text);
    }
    assert!(outcome.code == Some(0) && outcome.number("/targets/0/requests") > 0.0, "{}", outcome.text);
}

/// A run whose only request is due at its start, at a server that closes idle connections.
fn idle(protocol: &str, options: &str) -> Outcome {
    let received = Scratch::new();
    let mut members = json!({ "limits": { "idle_timeout": "50ms" } });
    if protocol == "file-sized" {
        members["options"] = json!({ "directory": received.path() });
    }
    let server = server(&json!({ "listeners": [listener_with(protocol, &members)] }));
    let address = server.address(&format!("{protocol}-tcp"));
    load(&format!("{protocol} tcp://{address} -c 2 -d 1s --rate 1 {options}"))
}

#[test]
fn only_with_reconnect_is_a_loss_between_requests_an_error() {
    for protocol in ["sum", "file-sized"] {
        let without = idle(protocol, "");
        without.assert_good();
        assert!(without.number("/reconnects") > 0.0, "{}", without.text);
        let with = idle(protocol, "--reconnect");
        let (closed, reconnects) = (with.number("/errors/closed"), with.number("/reconnects"));
        assert!(closed > 0.0 && reconnects > 0.0, "{protocol}: {}", with.text);
        assert!(reconnects <= closed, "{protocol}: {}", with.text);
    }
}

#[test]
fn connections_for_single_requests_are_not_counted_as_reconnects() {
    let stub = Stub::start(|_, sum| (sum % 2 == 0).then(|| format!("{{\"Sum\":{sum}}}\n")));
    let outcome = stub.load("--connect-each --reconnect");
    assert!(outcome.number("/requests") > 0.0 && outcome.number("/errors/closed") > 0.0, "{}", outcome.text);
    assert_eq!(outcome.number("/reconnects"), 0.0, "{}", outcome.text);
}

#[test]
fn reconnect_is_for_connections_that_could_come_back() {
    let (_server, address) = loopback("sum");
    for arguments in
        [format!("sum udp://{address}"), format!("chat tcp://{address}"), format!("sum tcp://{address} --bad drips")]
    {
        refuse_usage(&format!("{arguments} --reconnect"));
    }
}
