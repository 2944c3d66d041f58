//! Datagrams: one answer to each request, from the address that was asked; silence for everything else, counted.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use serde_json::json;

use crate::support::{PATIENCE, Random, Server, server};

struct Asker(UdpSocket);

impl Asker {
    /// Connected sockets take answers only from the address that they ask.
    fn connected(address: SocketAddr) -> Self {
        let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn send(&self, payload: impl AsRef<[u8]>) {
        self.0.send(payload.as_ref()).unwrap();
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let count = self.0.recv(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    /// Asks a question of its own, whose answer must be the next one: so nothing before it was answered, datagrams of
    /// one socket to another on this machine being kept in order.
    #[track_caller]
    fn expect_silence(&self, number: usize) {
        self.send(format!(r#"{{"A":{number},"B":0}}"#));
        let answer = self.receive();
        assert_eq!(
            answer.escape_ascii().to_string(),
            format!("{{\"Sum\":{number}}}\n").as_bytes().escape_ascii().to_string()
        );
    }
}

fn sum_over_udp(listen: &str) -> Server {
    server(&json!({ "listeners": [{ "name": "sum-udp", "protocol": "sum", "listen": listen }] }))
}

#[test]
fn what_is_no_request_meets_silence_and_is_counted_by_reason() {
    let server = sum_over_udp("udp://127.0.0.1:0");
    let asker = Asker::connected(server.address("sum-udp"));
    let padded = |length: usize| format!("{:length$}", r#"{"A":7,"B":4}"#).into_bytes();
    let dropped: [(&str, Vec<u8>); 12] = [
        ("empty", Vec::new()),
        ("no request", b" ".to_vec()),
        ("no request", b"garbage".to_vec()),
        ("no request", Random::new(7).bytes(512)),
        ("no request", br#"{"A":7,"B":4"#.to_vec()),
        ("no request", br#"{"A":7,"B":4}{"A":7,"B":4}"#.to_vec()),
        ("no request", br#"{"A":7}"#.to_vec()),
        ("no request", br#"{"A":7,"B":4.0}"#.to_vec()),
        ("no request", b"{\"Sum\":11}\n".to_vec()),
        ("no request", b"{\"Error\":\"sum overflows\"}\n".to_vec()),
        ("too long", padded(4097)),
        ("too long", padded(65_507)),
    ];
    for (number, (_, payload)) in dropped.iter().enumerate() {
        asker.send(payload);
        asker.expect_silence(number);
    }
    let stats = server.stats("sum-udp");
    for reason in ["empty", "no request", "too long"] {
        let expected = dropped.iter().filter(|(known, _)| *known == reason).count() as u64;
        assert_eq!(stats.refused.count(reason), expected, "{reason}: {}", stats.refused);
    }
    assert_eq!(stats.refused.total(), dropped.len() as u64);
    assert_eq!((stats.received_datagrams, stats.sent_datagrams), (24, 12));
}

#[test]
fn the_longest_request_allowed_is_answered() {
    let server = sum_over_udp("udp://127.0.0.1:0");
    let asker = Asker::connected(server.address("sum-udp"));
    asker.send(format!("{:4096}", r#" {"A":7,"B":4}"#));
    assert_eq!(asker.receive(), b"{\"Sum\":11}\n");
}

#[test]
fn no_answer_is_a_request_so_two_servers_cannot_be_made_to_talk_to_each_other() {
    let servers = [sum_over_udp("udp://127.0.0.1:0"), sum_over_udp("udp://127.0.0.1:0")];
    let [one, other] = servers.each_ref().map(|server| Asker::connected(server.address("sum-udp")));
    let requests = [r#"{"A":7,"B":4}"#, r#"{"A":-9223372036854775808,"B":0}"#, r#"{"A":9223372036854775807,"B":1}"#];
    for (number, request) in requests.into_iter().enumerate() {
        one.send(request);
        let answer = one.receive();
        assert!(answer.len() <= request.len(), "{request}");
        other.send(answer);
        other.expect_silence(number);
    }
}

#[test]
fn a_burst_larger_than_a_visit_is_answered_whole_and_in_order() {
    let server = sum_over_udp("udp://127.0.0.1:0");
    let asker = Asker::connected(server.address("sum-udp"));
    let burst = 0..200;
    for number in burst.clone() {
        asker.send(format!(r#"{{"A":{number},"B":1}}"#));
    }
    for number in burst {
        assert_eq!(asker.receive(), format!("{{\"Sum\":{}}}\n", number + 1).as_bytes());
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let server = sum_over_udp("udp://:0");
    let port = server.address("sum-udp").port();
    for (number, asked) in ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1", "127.0.0.1"].into_iter().enumerate() {
        let address = SocketAddr::new(asked.parse().unwrap(), port);
        let asker = Asker::connected(address);
        asker.expect_silence(number);
        let stranger = UdpSocket::bind((if address.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
        stranger.set_read_timeout(Some(PATIENCE)).unwrap();
        stranger.send_to(br#"{"A":7,"B":4}"#, address).unwrap();
        assert_eq!(stranger.recv_from(&mut [0; 64]).unwrap(), (11, address));
    }
}

#[test]
fn a_client_that_is_gone_before_its_answer_disturbs_nobody() {
    let server = sum_over_udp("udp://127.0.0.1:0");
    let asker = Asker::connected(server.address("sum-udp"));
    for number in 0..50 {
        let gone = Asker::connected(server.address("sum-udp"));
        gone.send(r#"{"A":7,"B":4}"#);
        drop(gone);
        asker.expect_silence(number);
    }
    let nothing_more = asker.0.set_nonblocking(true).and_then(|()| asker.0.recv(&mut [0; 64]));
    assert_eq!(nothing_more.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
