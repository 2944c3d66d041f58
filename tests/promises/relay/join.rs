//! Relays: bytes, FINs, resets and deadlines of one side at the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reactor::Registry;
use reactor::protocol::{ConnectionId, Context, Reply, Step, StreamProtocol, Within};

use serde_json::{Value, json};
use socket2::SockRef;

use super::{Behind, Front, Server, accept, client, other_server, relay};
use crate::support::{Client, Random, eventually, listener_with};

/// A client and the other server's end of its relay.
fn joined(limits: &Value) -> (Server, TcpListener, [TcpStream; 2]) {
    let (listener, address) = other_server();
    let server = relay(address.into(), limits);
    let client = client(&server);
    let other = accept(&listener);
    (server, listener, [client, other])
}

/// Calls `test` with both ends, and with both ends exchanged.
fn each_way(limits: &Value, test: impl Fn(&Server, TcpStream, TcpStream)) {
    for turned in [false, true] {
        let (server, _listener, mut ends) = joined(limits);
        if turned {
            ends.reverse();
        }
        let [one, other] = ends;
        test(&server, one, other);
    }
}

/// Waits for these reasons, in whatever order they came.
fn closed(server: &Server, reasons: &str) {
    let sorted = |text: &str| {
        let mut parts: Vec<_> = text.split(['(', ')', ',']).map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    eventually(reasons, || sorted(&server.stats("relay-tcp").closed.to_string()) == sorted(reasons));
}

#[test]
fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
    each_way(&json!({}), |server, mut one, mut other| {
        one.write_all(b"request").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let mut request = String::new();
        other.read_to_string(&mut request).unwrap();
        assert_eq!(request, "request");
        for _ in 0..3 {
            other.write_all(b"answer").unwrap();
            let mut answer = [0; 6];
            one.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"answer");
        }
        other.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
        closed(server, "2 (eof 2)");
    });
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    each_way(&json!({}), |server, mut one, mut other| {
        other.write_all(b"hello").unwrap();
        one.read_exact(&mut [0; 5]).unwrap();
        SockRef::from(&one).set_linger(Some(Duration::ZERO)).unwrap();
        drop(one);
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        closed(server, "2 (reset 1, other side 1)");
    });
}

#[test]
fn sixty_four_mebibytes_each_way_arrive_whole_with_the_fin_behind_them() {
    const BYTES: usize = 64 << 20;
    let (server, _listener, ends) = joined(&json!({}));
    let streams: [Vec<u8>; 2] = [1, 2].map(|seed| {
        let block = Random::new(seed).bytes(65_521);
        block.iter().copied().cycle().take(BYTES).collect()
    });
    thread::scope(|scope| {
        for (end, (send, expect)) in ends.iter().zip([(&streams[0], &streams[1]), (&streams[1], &streams[0])]) {
            scope.spawn(move || {
                (&mut &*end).write_all(send).unwrap();
                end.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut received = Vec::new();
                (&mut &*end).read_to_end(&mut received).unwrap();
                assert!(received == *expect, "{} bytes", received.len());
            });
        }
    });
    closed(&server, "2 (eof 2)");
    let stats = server.stats("relay-tcp");
    assert_eq!((stats.received_bytes, stats.sent_bytes), (2 * BYTES as u64, 2 * BYTES as u64));
}

#[test]
fn silence_at_both_sides_ends_both() {
    each_way(&json!({ "idle_timeout": "300ms" }), |server, mut one, mut other| {
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        drop((one, other));
        closed(server, "2 (idle 2)");
    });
}

#[test]
fn activity_at_either_side_keeps_both() {
    each_way(&json!({ "idle_timeout": "1s" }), |_, mut one, mut other| {
        for _ in 0..8 {
            crate::support::watch_for(Duration::from_millis(200));
            one.write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn a_reader_that_stops_is_reset_and_so_is_the_other_side() {
    each_way(&json!({ "write_timeout": "300ms" }), |server, mut one, other| {
        let failed = loop {
            if let Err(error) = one.write_all(&[0; 65_536]) {
                break error;
            }
        };
        assert!(matches!(failed.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{failed}");
        closed(server, "2 (write timeout 1, other side 1)");
        drop(other);
    });
}

/// Says more than its client reads before it connects.
struct Talkative(Front);

impl StreamProtocol for Talkative {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(&[b'.'; MUCH]);
        let target = self.0.0.take().unwrap();
        Ok(Step::connect(target, |_| Behind, |front: &mut Self, to, rest, cx| front.0.connected(to, rest, cx)))
    }

    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

/// More than the sockets of a client that does not read take.
const MUCH: usize = 32 << 20;

#[test]
fn a_server_that_sends_and_ends_before_the_answer_loses_nothing() {
    let (listener, address) = other_server();
    let mut registry = Registry::empty();
    registry.stream_fn("relay", "Relays.", "true", move |_| Talkative(Front(Some(address.into()))));
    let server = Server::start(&registry, &json!({ "listeners": [listener_with("relay", &json!({}))] }));
    let mut client = client(&server);
    let mut other = accept(&listener);
    other.write_all(b"answer").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    eventually("it is connected", || server.stats("relay-tcp").connected == 1);
    // The kernel has the bytes and the FIN by now, and turns of the loop follow.
    (0..3).for_each(|_| drop(server.stats("relay-tcp")));
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), MUCH + 6);
    assert!(received.ends_with(b".answer"));
    client.write_all(b"late").unwrap();
    drop(client);
    let mut late = String::new();
    other.read_to_string(&mut late).unwrap();
    assert_eq!(late, "late");
    closed(&server, "2 (eof 2)");
}

/// Relays with the connection that was noted, or notes its own number and waits.
struct Joins(Arc<Mutex<Option<ConnectionId>>>);

impl StreamProtocol for Joins {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let mut noted = self.0.lock().unwrap();
        let Some(other) = *noted else {
            *noted = Some(cx.id());
            return Ok(Step::wait(Within::Body));
        };
        Ok(Step::relay(other))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        Ok(if input == b"itself" { Step::relay(cx.id()) } else { Step::wait(Within::Body) })
    }

    fn on_event(&mut self, event: reactor::protocol::Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        Front(None).on_event(event, rest, cx)
    }
}

#[test]
fn only_a_living_free_connection_of_the_same_listener_can_be_joined() {
    let noted = Arc::new(Mutex::new(None));
    let shared = Arc::clone(&noted);
    let mut registry = Registry::empty();
    registry.stream_fn("joins", "Joins.", "true", move |_| Joins(Arc::clone(&shared)));
    let door = |name| listener_with("joins", &json!({ "name": name }));
    let server = Server::start(&registry, &json!({ "listeners": [door("one"), door("two")] }));
    let connect = |name: &str| Client::connect(server.address(name));
    let mut first = connect("one");
    first.send("itself");
    assert_eq!(first.rest(), b"no relay", "it cannot be joined with itself");
    drop(first);
    eventually("it has closed", || server.stats("one").closed.total() == 1);
    // The next one has its slot.
    assert_eq!(connect("one").rest(), b"no relay", "it has closed");
    *noted.lock().unwrap() = None;
    let mut first = connect("one");
    eventually("it is noted", || noted.lock().unwrap().is_some());
    assert_eq!(connect("two").rest(), b"no relay", "another listener");
    let mut second = connect("one");
    second.send("a");
    first.expect("a");
    assert_eq!(connect("one").rest(), b"no relay", "it relays already");
    drop((first, second));
}

#[test]
fn a_stop_waits_for_a_relay() {
    let (server, _listener, [mut one, mut other]) = joined(&json!({}));
    one.write_all(b"a").unwrap();
    other.read_exact(&mut [0]).unwrap();
    server.handle().stop();
    for _ in 0..3 {
        other.write_all(b"b").unwrap();
        one.read_exact(&mut [0]).unwrap();
    }
    drop((one, other));
    assert_eq!(server.join("relay-tcp").closed.to_string(), "2 (eof 2)");
}
