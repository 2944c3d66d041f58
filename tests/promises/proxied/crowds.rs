//! Clients with very many addresses: the tables that count them stay small, and other clients are served.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::{connect_from, is_refused};
use crate::support::{Client, PATIENCE, Process, eventually, in_own_network, listener_with};

const SUM: (&str, &str) = (r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");

/// What docs/reliability.md states for the table of rates of a listener.
const TABLE_BYTES_MAX: usize = 4 << 20;
/// What a server takes besides during this: slots, and what the allocator keeps of a table that has grown.
const OTHER_BYTES_MAX: usize = 2 << 20;

/// Types a command of `ip(8)` in the network of the test.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A connection from an address of IPv6 that no interface has, but that is routed here.
fn connect_from_v6(ip: Ipv6Addr, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_freebind_v6(true).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    Client::over(socket.into())
}

/// Whether the server answers, and does not refuse.
fn is_served(mut client: Client) -> bool {
    // It may be refused before it has read this.
    let _ = client.stream().write_all(SUM.0.as_bytes());
    let answer = client.try_rest_of(SUM.1.len());
    answer.is_ok_and(|answer| answer == SUM.1.as_bytes())
}

#[test]
fn a_network_of_65536_addresses_stays_within_the_memory_of_the_table() {
    if !in_own_network("proxied::crowds::a_network_of_65536_addresses_stays_within_the_memory_of_the_table") {
        return;
    }
    ip("route add local 10.9.0.0/16 dev lo");
    let members = json!({ "limits": { "connection_rate_per_ip": "1/h" } });
    let server = Process::start(&json!({ "listeners": [listener_with("sum", &members)] }));
    let come = |low: u16| {
        let [third, fourth] = low.to_be_bytes();
        connect_from([10, 9, third, fourth], server.address("sum-tcp"))
    };
    let before = server.resident_bytes();
    (0..=u16::MAX).for_each(|low| come(low).reset());
    let all = u64::from(u16::MAX) + 1;
    eventually("all are closed", || {
        server.counter("sum-tcp", "accepted") == all && server.counter("sum-tcp", "open") == 0
    });
    let grown = server.resident_bytes().saturating_sub(before);
    println!("65536 addresses: {grown} bytes");
    assert!(grown <= TABLE_BYTES_MAX + OTHER_BYTES_MAX, "{grown} bytes");
    // Each has had its connection, and the last half of them is remembered.
    assert!(is_refused(&mut come(u16::MAX)) && is_refused(&mut come(u16::MAX / 2 + 1)));
    assert!(is_served(connect_from([127, 0, 0, 1], server.address("sum-tcp"))));
}

#[test]
fn a_client_that_rotates_through_its_64_bits_counts_as_one() {
    if !in_own_network("proxied::crowds::a_client_that_rotates_through_its_64_bits_counts_as_one") {
        return;
    }
    ip("-6 route add local 2001:db8::/32 dev lo");
    let of_rate = json!({ "listen": "tcp://[::1]:0", "protocol": "sum", "name": "rate",
        "limits": { "connection_rate_per_ip": "3/h" } });
    let of_number = json!({ "listen": "tcp://[::1]:0", "protocol": "sum", "name": "number",
        "limits": { "max_connections_per_ip": 3 } });
    let server = Process::start(&json!({ "listeners": [of_rate, of_number] }));
    let come = |network: u16, host: u16, to: &str| {
        connect_from_v6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, host, 0, host), server.address(to))
    };
    let served = |network, to| (1..=1000).filter(|host| is_served(come(network, *host, to))).count();
    assert_eq!([served(1, "rate"), served(2, "rate")], [3, 3]);
    assert_eq!(server.counter("rate", "connection_rate_per_ip"), 2 * 997);
    let kept: Vec<_> = (1..=3).map(|host| come(1, host, "number")).collect();
    eventually("they are accepted", || server.counter("number", "accepted") == 3);
    assert!((4..=1000).all(|host| is_refused(&mut come(1, host, "number"))));
    assert!(is_served(come(2, 1, "number")));
    assert_eq!(server.counter("number", "max_connections_per_ip"), 997);
    drop(kept);
}

/// A client that streams short requests which are expensive to answer, and reads the answers, until it is shut down.
fn stream_expensive(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| while stream.write_all(&b"1 ".repeat(4096)).is_ok() {});
        let mut answers = [0; 64 * 1024];
        while reader.read(&mut answers).is_ok_and(|count| count > 0) {}
    });
}

/// Ends streams, even if the test fails early.
struct Streams(Vec<Client>);

impl Drop for Streams {
    fn drop(&mut self) {
        self.0.iter().for_each(|client| client.stream().shutdown(Shutdown::Both).unwrap());
    }
}

/// Eight streams, and a thousand addresses that connect and leave again and again: this once shut out everybody else.
#[test]
fn beside_an_attack_from_1000_addresses_other_clients_are_served() {
    const ADDRESSES: u16 = 1000;
    const STREAMS: u8 = 8;
    const OTHERS: u8 = 100;
    const COME: u64 = 3;
    // As many as come at once wait in the accept queue; the kernel may allow fewer, and the rest tries again.
    let members = json!({ "backlog": 4096, "limits": { "connection_rate_per_ip": "2/h" } });
    let server = Process::start(&json!({ "listeners": [listener_with("sum", &members)] }));
    let to = server.address("sum-tcp");
    thread::scope(|scope| {
        let streams = Streams((1..=STREAMS).map(|host| connect_from([127, 77, 0, host], to)).collect());
        for client in &streams.0 {
            let stream = client.stream().try_clone().unwrap();
            stream.set_read_timeout(None).unwrap();
            scope.spawn(move || stream_expensive(stream));
        }
        let storm = scope.spawn(|| {
            for number in (0..ADDRESSES).flat_map(|number| [number; COME as usize]) {
                let [high, low] = number.to_be_bytes();
                connect_from([127, 78, high, low], to).reset();
            }
        });
        let served = (1..=OTHERS).filter(|host| is_served(connect_from([127, 79, 0, *host], to))).count();
        assert_eq!(served, usize::from(OTHERS));
        storm.join().unwrap();
        let accepted = u64::from(STREAMS) + 2 * u64::from(ADDRESSES) + u64::from(OTHERS);
        let refused = u64::from(ADDRESSES) * (COME - 2);
        eventually("all were accepted that may come", || server.counter("sum-tcp", "accepted") == accepted);
        eventually("the others were refused", || server.counter("sum-tcp", "connection_rate_per_ip") == refused);
        // No stream was cut: what it has sent is answered, however long that takes.
        let before = server.counter("sum-tcp", "bytes in");
        eventually("the streams go on", || server.counter("sum-tcp", "bytes in") > before);
    });
}
