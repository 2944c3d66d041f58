//! In steady state a request costs no memory: from one answer to the next the loop allocates nothing. An idle connection keeps a
//! few bytes.
//!
//! Every change must pass this bound on speed, because noise cannot disturb it: it counts allocations, only in the
//! turns of the loop. Instructions and times depend on the machine, the compiler and the C library, so a bound on them
//! would break by itself; `cargo bench --bench parts` measures them instead.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

// The protocol of the program, with its tests.
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/chat.rs"]
mod chat;
mod timed;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use reactor::{Config, Reactor, Registry, Turn};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use timed::Timed;

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rounds in which buffers grow to their size and tables are made.
const ROUNDS_BEFORE: usize = 10;

/// Rounds that are counted.
const ROUNDS: usize = 1000;

/// Connections whose memory is counted. With the listener and the first connection they are a power of two, to which tables
/// grow, so that no table has room to spare.
const IDLE: usize = 254;

/// A request and its answer.
type Exchange = (&'static str, &'static str);

const SUM: Exchange = (r#"{"A":1234567890123456789,"B":-1234567890123456788}"#, "{\"Sum\":1}\n");

/// A request that takes the slow path of the parser.
const UNUSUAL_SUM: Exchange = (r#"{"id":"17","b":4,"A":7}"#, "{\"Sum\":11}\n");

/// A refused request: the cheapest one for a peer.
const REFUSED: Exchange = ("[]", "{\"Error\":\"not an object\"}\n");

/// Refused requests, each after some bytes of it have been parsed.
const FAULTY: Exchange = (r#"{"A":"7"}"#, "{\"Error\":\"A is not an integer of 64 bits\"}\n");
const OVERFLOW: Exchange = (r#"{"A":9223372036854775807,"\u0042":1}"#, "{\"Error\":\"sum overflows\"}\n");

const LINE: Exchange = (
    "a line of 64 bytes, which is what most people measure with: 3,4\n",
    "A LINE OF 64 BYTES, WHICH IS WHAT MOST PEOPLE MEASURE WITH: 3,4\n",
);

/// Letters of several lengths, and some that get longer.
const OTHER_LINE: Exchange = ("größe ŉ ελληνικά русский\n", "GRÖSSE ʼN ΕΛΛΗΝΙΚΆ РУССКИЙ\n");

/// A server, and one client with enough earlier answers for all buffers to have their size. Both are on this thread:
/// the client never waits, and only the server's turns are counted.
struct Pair {
    reactor: Reactor<Timed>,
    client: Socket,
    messages: Vec<Vec<u8>>,
    answer: String,
}

impl Pair {
    /// The client sends `messages` in each round, and gets `answer` for all of them.
    fn new(protocol: &str, transport: &str, messages: Vec<Vec<u8>>, answer: String) -> Self {
        let listener = json!({ "protocol": protocol, "listen": format!("{transport}://127.0.0.1:0") });
        let registry = Registry::built_in();
        let config = Config::parse("test.json", &json!({ "listeners": [listener] }).to_string(), &registry).unwrap();
        // A visit that takes too long is ended, and its input is kept in memory. A slow visit on a busy machine is not
        // a matter of this test.
        let reactor = Reactor::with_kernel(Timed::new(Duration::ZERO), &config, &registry).unwrap();
        let kind = if transport == "udp" { Type::DGRAM } else { Type::STREAM };
        let client = Socket::new(Domain::IPV4, kind, None).unwrap();
        client.connect(&reactor.endpoints()[0].address().unwrap().into()).unwrap();
        client.set_nonblocking(true).unwrap();
        Self { reactor, client, messages, answer }
    }

    /// Returns the number of allocations of the loop in [`ROUNDS`] rounds.
    fn allocations(mut self) -> u64 {
        for _ in 0..ROUNDS_BEFORE {
            self.round();
        }
        (0..ROUNDS).map(|_| self.round()).sum()
    }

    /// Turns the loop until everything is answered, and returns the number of allocations.
    fn round(&mut self) -> u64 {
        for message in &self.messages {
            self.client.write_all(message).unwrap();
        }
        let (start, mut allocations, mut received) = (Instant::now(), 0, Vec::new());
        while received.len() < self.answer.len() {
            assert!(start.elapsed() < PATIENCE, "no answer after {PATIENCE:?}");
            let turn = || assert_eq!(self.reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
            allocations += measure(turn).count_total;
            let mut room = [0; 4096];
            loop {
                match self.client.read(&mut room) {
                    Ok(0) => panic!("the server has finished"),
                    Ok(count) => received.extend_from_slice(&room[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert_eq!(String::from_utf8(received).unwrap(), self.answer);
        allocations
    }
}

/// The client sends one request and waits for its answer, again and again.
fn one_by_one(protocol: &str, (request, answer): Exchange) -> u64 {
    Pair::new(protocol, "tcp", vec![request.into()], answer.into()).allocations()
}

/// The client sends sixteen requests at once.
fn pipelined(protocol: &str, (request, answer): Exchange) -> u64 {
    Pair::new(protocol, "tcp", vec![request.repeat(16).into()], answer.repeat(16)).allocations()
}

#[test]
fn sum_over_tcp_allocates_nothing() {
    for exchange in [SUM, UNUSUAL_SUM, REFUSED, FAULTY, OVERFLOW] {
        assert_eq!((one_by_one("sum", exchange), pipelined("sum", exchange)), (0, 0), "{}", exchange.0);
    }
}

/// With `recvmmsg(2)`. Where datagrams are received one by one, the package that wraps `recvmsg(2)` wants a `Vec` for each.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn sum_over_udp_allocates_nothing() {
    for (request, answer) in [SUM, UNUSUAL_SUM] {
        let pair = Pair::new("sum", "udp", vec![request.into(); 16], answer.repeat(16));
        assert_eq!(pair.allocations(), 0, "{request}");
    }
}

#[test]
fn uppercase_allocates_nothing() {
    for exchange in [LINE, OTHER_LINE] {
        assert_eq!((one_by_one("uppercase", exchange), pipelined("uppercase", exchange)), (0, 0), "{}", exchange.0);
    }
}

/// Counted, and not the resident set: what the allocator keeps for itself does not matter here. The protocol has one byte of state.
/// With poll(2) the table of what is polled, which the kernel keeps otherwise, is kept by mio.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn an_idle_connection_keeps_128_bytes_at_most() {
    let (request, answer) = LINE;
    let mut pair = Pair::new("uppercase", "tcp", vec![request.into()], answer.into());
    for _ in 0..ROUNDS_BEFORE {
        pair.round();
    }
    let address = pair.reactor.endpoints()[0].address().unwrap();
    let (mut clients, mut kept) = (Vec::new(), 0);
    for number in 1..=IDLE {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        clients.push(client);
        let sent = |reactor: &Reactor<Timed>| reactor.endpoints()[0].stats().sent_bytes;
        let (start, before) = (Instant::now(), sent(&pair.reactor));
        while sent(&pair.reactor) == before {
            assert!(start.elapsed() < PATIENCE, "no answer to connection {number} after {PATIENCE:?}");
            let turn = || assert_eq!(pair.reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
            kept += measure(turn).bytes_current;
        }
    }
    let each = kept as f64 / IDLE as f64;
    assert!((64.0..=128.0).contains(&each), "{each} bytes");
}

/// With its name, its room, and its place in it. Counted as above.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn an_idle_member_of_a_chat_keeps_256_bytes_at_most() {
    let mut registry = Registry::empty();
    registry.stream_fn("chat", "", "", |_| chat::Chat::new());
    let listener = json!({ "protocol": "chat", "listen": "tcp://127.0.0.1:0" });
    let config = Config::parse("test.json", &json!({ "listeners": [listener] }).to_string(), &registry).unwrap();
    let mut reactor = Reactor::with_kernel(Timed::new(Duration::ZERO), &config, &registry).unwrap();
    let address = reactor.endpoints()[0].address();
    let (mut clients, mut kept) = (Vec::new(), 0);
    let news = |number: usize| format!("{number:0>20} is in hall\n").len();
    let mut expected = 0;
    for number in 1..=IDLE + 1 {
        let mut client = TcpStream::connect(address.expect("over TCP")).unwrap();
        client.write_all(format!("{number:0>20}\n").as_bytes()).unwrap();
        clients.push(client);
        let start = Instant::now();
        expected += "What is your name (1 to 20 letters or digits)?\n".len() + number * news(number);
        while reactor.endpoints()[0].stats().sent_bytes < expected as u64 {
            assert!(start.elapsed() < PATIENCE, "member {number} has not entered after {PATIENCE:?}");
            let turn = || assert_eq!(reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
            let grown = measure(turn).bytes_current;
            kept += if number == 1 { 0 } else { grown };
        }
    }
    let each = kept as f64 / IDLE as f64;
    assert!((128.0..=256.0).contains(&each), "{each} bytes");
}

/// The counter works: an allocation is counted.
#[test]
fn a_connection_is_seen_to_allocate() {
    let mut pair = Pair::new("sum", "tcp", vec![SUM.0.into()], SUM.1.into());
    assert_ne!(pair.round(), 0);
}
