//! Relays: bytes, FINs, resets and deadlines of one side at the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

use super::{Server, accept, client, other_server, relay};
use crate::support::{Random, eventually};

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

fn closed(server: &Server, reasons: &str) {
    eventually(reasons, || server.stats("relay-tcp").closed.to_string() == reasons);
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
