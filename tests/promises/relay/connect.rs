//! Outgoing connections that fail in every way, and the next address.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reactor::protocol::Target;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::{accept, client, other_server, relay};
use crate::support::{Server, eventually, refusing};

const LONG: Duration = Duration::from_secs(50);

/// What the client is sent until the server closes.
fn answer(server: &Server) -> String {
    let mut answer = String::new();
    client(server).read_to_string(&mut answer).unwrap();
    answer
}

fn stats(server: &Server) -> (u64, String) {
    let stats = server.stats("relay-tcp");
    (stats.connected, stats.connect_errors.to_string())
}

#[test]
fn a_refused_connect_is_an_answer() {
    let (_socket, address) = refusing();
    let server = relay(address.into(), &json!({}));
    assert_eq!(answer(&server), "refused");
    assert_eq!(stats(&server), (0, "1 (refused 1)".to_owned()));
    assert_eq!((server.stats("relay-tcp").accepted, server.stats("relay-tcp").refused.total()), (1, 0));
}

#[test]
fn the_next_address_is_tried_when_one_fails() {
    let (_socket, refuses) = refusing();
    let (listener, address) = other_server();
    let target = [refuses, refuses, address].map(Target::from).into_iter().collect();
    let server = relay(target, &json!({}));
    let mut client = client(&server);
    drop(accept(&listener));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(stats(&server), (1, "2 (refused 2)".to_owned()));
}

#[test]
fn an_address_that_cannot_be_reached_is_an_answer() {
    // The broadcast address is not permitted: connect(2) fails at once.
    let server = relay(SocketAddr::from(([255, 255, 255, 255], 1)).into(), &json!({}));
    assert_ne!(answer(&server), "");
    assert_eq!(stats(&server), (0, "1 (socket error 1)".to_owned()));
}

#[test]
fn a_target_without_an_address_is_an_answer() {
    let server = relay([].into_iter().collect(), &json!({}));
    assert_eq!(answer(&server), "no address");
}

#[test]
fn a_name_is_looked_up_by_a_worker() {
    let (listener, address) = other_server();
    let server = relay(format!("localhost:{}", address.port()).parse().unwrap(), &json!({}));
    let mut client = client(&server);
    drop(accept(&listener));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_name_that_does_not_exist_is_an_answer() {
    let server = relay("name.invalid:1".parse().unwrap(), &json!({}));
    assert_eq!(answer(&server), "name lookup");
}

/// A listener that answers no one, because its accept queue is full.
#[cfg(target_os = "linux")]
fn black_hole() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    (socket, waiting, address)
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_that_does_not_answer_uses_up_its_part_of_the_time() {
    let (_socket, _waiting, silent) = black_hole();
    let (listener, address) = other_server();
    let begin = Instant::now();
    let within = Duration::from_millis(400);
    let server = relay(Target::from(silent).within(within), &json!({}));
    assert_eq!(answer(&server), "timed out");
    assert!(begin.elapsed() >= within);
    // The part of the other address is long, whatever else the machine does.
    let target = Target::from(silent).or(address.into()).within(10 * within);
    let server = relay(target, &json!({}));
    let mut client = client(&server);
    drop(accept(&listener));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(stats(&server), (1, "1 (timed out 1)".to_owned()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_that_connects_is_closed_with_the_connection_that_asked() {
    let (_socket, _waiting, silent) = black_hole();
    let server = relay(Target::from(silent).within(LONG), &json!({ "lifetime": "200ms", "linger_timeout": "1ms" }));
    assert_eq!(answer(&server), "");
    eventually("the connection is closed", || server.stats("relay-tcp").closed.to_string() == "1 (lifetime 1)");
    // Each look at the counters is a turn of the loop.
    assert!((0..100).any(|_| stats(&server) == (0, "1 (other side 1)".to_owned())), "the socket is not closed");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stop_ends_a_connect_and_answers() {
    let (_socket, _waiting, silent) = black_hole();
    let (_listener, address) = other_server();
    let server = relay(Target::from(silent).or(address.into()).within(LONG), &json!({}));
    let mut client = client(&server);
    eventually("it connects", || server.stats("relay-tcp").accepted == 1);
    server.handle().stop();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "shutdown");
}

#[test]
fn a_relay_takes_two_places_of_max_connections_and_returns_them() {
    let (listener, address) = other_server();
    let server = relay(address.into(), &json!({ "max_connections": 3 }));
    for _ in 0..3 {
        let mut client = client(&server);
        let other = accept(&listener);
        assert_eq!(answer(&server), "no room");
        drop(other);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        eventually("all places are free", || {
            let stats = server.stats("relay-tcp");
            stats.closed.total() == stats.accepted + stats.connected
        });
    }
    assert_eq!(server.stats("relay-tcp").connected, 3);
}

#[test]
fn outgoing_connections_do_not_count_for_max_connections_per_ip() {
    let (listener, address) = other_server();
    let server = relay(address.into(), &json!({ "max_connections_per_ip": 2 }));
    let _relays = [(); 2].map(|()| (client(&server), accept(&listener)));
    assert_eq!(client(&server).read(&mut [0]).ok().unwrap_or_default(), 0);
    eventually("the third client is refused", || {
        server.stats("relay-tcp").refused.to_string() == "1 (max_connections_per_ip 1)"
    });
    eventually("both have their servers", || server.stats("relay-tcp").connected == 2);
}

#[test]
fn without_room_there_is_no_connection() {
    let (_listener, address) = other_server();
    let server = relay(address.into(), &json!({ "max_connections": 1 }));
    assert_eq!(answer(&server), "no room");
    assert_eq!(stats(&server), (0, "0".to_owned()));
}
