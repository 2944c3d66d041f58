//! Datagrams: one answer to each request, from the address that received it; all others are counted, without an answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use reactor::Registry;
use reactor::protocol::{Context, DatagramProtocol, Dropped};
use serde_json::json;
use socket2::SockRef;

use crate::support::{PATIENCE, Random, Server, in_own_network, server};

struct Asker(UdpSocket);

impl Asker {
    /// Connected sockets take answers only from the address that they send to.
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

    /// Sends a unique request, whose answer must be the next one: so no earlier datagram was answered, since datagrams
    /// between two sockets on this machine stay in order.
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
fn a_datagram_that_is_not_a_request_is_counted_and_not_answered() {
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
fn no_answer_is_a_request_so_two_servers_cannot_answer_each_other() {
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
fn a_client_that_left_before_its_answer_disturbs_no_other_client() {
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

/// Answers each datagram with the first half of it: the shortest ones with nothing.
struct Half;

impl DatagramProtocol for Half {
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
        cx.refuse("half of it");
        cx.out.extend_from_slice(&payload[..payload.len() / 2]);
        if payload == b"panic" { std::panic::resume_unwind(Box::new("on purpose")) } else { Ok(()) }
    }
}

#[test]
fn every_datagram_received_is_sent_an_answer_or_dropped_and_never_both() {
    let mut registry = Registry::built_in();
    registry.datagram_fn("half", "Answers with half a datagram.", "nc -u 127.0.0.1 7", || Half);
    let listen = |protocol: &str| json!({ "name": protocol, "protocol": protocol, "listen": "udp://127.0.0.1:0" });
    let server = Server::start(&registry, &json!({ "listeners": [listen("sum"), listen("half")] }));

    let asker = Asker::connected(server.address("sum"));
    asker.send(r#"{"A":9223372036854775807,"B":1}"#);
    assert_eq!(asker.receive(), b"{\"Error\":\"sum overflows\"}\n");
    asker.send("garbage");
    asker.expect_silence(7);
    let sum = server.stats("sum");
    assert_eq!((sum.received_datagrams, sum.sent_datagrams, sum.refused.total()), (3, 2, 1));
    assert_eq!(sum.error_answers.to_string(), "1 (overflow 1)", "an answered datagram is not refused");

    let asker = Asker::connected(server.address("half"));
    for payload in ["", "x", "panic", "four"] {
        asker.send(payload);
    }
    assert_eq!(asker.receive(), b"fo");
    let half = server.stats("half");
    assert_eq!((half.received_datagrams, half.sent_datagrams), (4, 1));
    assert_eq!(half.refused.to_string(), "3 (no answer 2, bug 1)");
}

/// Sends a request to `address`, which may be a broadcast or a group; returns the address that answers.
fn ask_everybody(from: SocketAddr, address: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind(from).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    if let SocketAddr::V4(from) = from {
        socket.set_broadcast(true).unwrap();
        SockRef::from(&socket).set_multicast_if_v4(from.ip()).unwrap();
    }
    let start = Instant::now();
    let mut buffer = [0; 64];
    let (count, who) = loop {
        // The kernel may drop it: where a datagram comes back to its own machine, it waits in a queue that all networks share.
        socket.send_to(br#"{"A":7,"B":4}"#, address).unwrap();
        match socket.recv_from(&mut buffer) {
            Ok(answer) => break answer,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{address}: {error}"),
        }
    };
    assert_eq!(buffer[..count], *b"{\"Sum\":11}\n");
    who
}

#[test]
fn a_broadcast_or_group_datagram_is_answered_from_one_address() {
    if !in_own_network("udp::a_broadcast_or_group_datagram_is_answered_from_one_address") {
        return;
    }
    let (v4, v6) = (Ipv4Addr::new(10, 77, 0, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77));
    let wire = if_nametoindex("wire").unwrap();
    for listen in ["udp://:0", "udp4://:0"] {
        let server = sum_over_udp(listen);
        let port = server.address("sum-udp").port();
        for (from, to) in [
            (v4, [10, 77, 0, 255]),
            (v4, [255, 255, 255, 255]),
            (v4, [10, 77, 0, 1]),
            // A socket for both families is not a member of any IPv4 group.
            (v4, if listen == "udp4://:0" { [224, 0, 0, 1] } else { [10, 77, 0, 255] }),
            (Ipv4Addr::LOCALHOST, [127, 255, 255, 255]),
        ] {
            let who = ask_everybody(SocketAddr::new(from.into(), 0), SocketAddr::from((to, port)));
            assert_eq!(who, SocketAddr::new(from.into(), port), "{listen} {to:?}");
        }
        assert_eq!(server.stats("sum-udp").refused.to_string(), "0", "{listen}");
    }
    for listen in ["udp://:0", "udp6://:0"] {
        let server = sum_over_udp(listen);
        let port = server.address("sum-udp").port();
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        for to in [all_nodes, v6] {
            let to = SocketAddrV6::new(to, port, 0, wire);
            let who = ask_everybody(SocketAddrV6::new(v6, 0, 0, wire).into(), to.into());
            let SocketAddr::V6(who) = who else { panic!("{who}") };
            assert!(who.ip().is_unicast_link_local() && who.port() == port, "{listen} {who}");
        }
        assert_eq!(server.stats("sum-udp").refused.to_string(), "0", "{listen}");
    }
}
