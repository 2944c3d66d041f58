//! Fairness: the bounds of one turn of the loop for each kind of work, so that other work gets its turn soon.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use reactor::protocol::{CloseReason, Context, Job, Reply, Step, StreamProtocol, Within};
use reactor::stats::Stats;
use reactor::{Config, Reactor, Registry, Stopped};
use serde_json::json;

use crate::support::{PATIENCE, listener};
use crate::timed::Timed;

// As docs/reliability.md states them.
const LOUD_TURN_TIME: Duration = Duration::from_micros(500);
const REAP_TURN_TIME: Duration = Duration::from_micros(400);
const VISIT_BYTES_MAX: u64 = 256 * 1024;

/// Takes everything, and answers nothing.
struct Sink;

impl StreamProtocol for Sink {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

/// A server of one listener that turns only on request.
struct Turned(Reactor<Timed>);

impl Turned {
    /// `step`: how far the clock goes on each time that the loop reads it.
    fn new(protocol: &str, transport: &str, step: Duration) -> Self {
        let mut registry = Registry::built_in();
        registry.stream_fn("sink", "Takes everything.", "nc 127.0.0.1 9", |_| Sink);
        let text = json!({ "listeners": [listener(protocol, transport)] }).to_string();
        let config = Config::parse("inline.json", &text, &registry).unwrap();
        let mut turned = Self(Reactor::with_kernel(Timed::new(step), &config, &registry).unwrap());
        turned.turn();
        turned
    }

    fn address(&self) -> SocketAddr {
        self.0.endpoints()[0].address().unwrap()
    }

    fn stats(&self) -> &Stats {
        self.0.endpoints()[0].stats()
    }

    fn turn(&mut self) {
        self.0.turn(Some(Duration::ZERO)).unwrap();
    }

    /// The most by which `counted` grows in one turn, until it is `total`.
    fn most_in_a_turn(&mut self, total: u64, counted: impl Fn(&Stats) -> u64) -> u64 {
        let mut most = 0;
        while counted(self.stats()) < total {
            let before = counted(self.stats());
            self.0.turn(Some(PATIENCE)).unwrap();
            let grown = counted(self.stats()) - before;
            assert!(grown > 0, "{before} of {total}, and no more in a turn");
            most = most.max(grown);
        }
        most
    }
}

#[test]
fn a_turn_accepts_a_few_waiting_clients_and_the_next_turns_the_others() {
    let mut server = Turned::new("sink", "tcp", Duration::ZERO);
    let waiting: Vec<_> = (0..100).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let most = server.most_in_a_turn(waiting.len() as u64, |stats| stats.accepted);
    assert_eq!(most, 64);
}

#[test]
fn a_turn_in_which_accepting_is_slow_still_accepts_some_clients() {
    let mut server = Turned::new("sink", "tcp", Duration::from_millis(1));
    let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let most = server.most_in_a_turn(waiting.len() as u64, |stats| stats.accepted);
    assert_eq!(most, 4);
}

#[test]
fn a_turn_answers_a_few_waiting_datagrams_and_the_next_turns_the_others() {
    let mut server = Turned::new("sum", "udp", Duration::ZERO);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        sender.send_to(br#"{"A":7,"B":4}"#, server.address()).unwrap();
    }
    let most = server.most_in_a_turn(100, |stats| stats.received_datagrams);
    assert_eq!(most, 64);
}

#[test]
fn of_the_connections_that_end_at_once_a_turn_frees_a_few() {
    let mut server = Turned::new("sink", "tcp", REAP_TURN_TIME / 8);
    let connections: Vec<_> = (0..400).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let all = connections.len() as u64;
    server.most_in_a_turn(all, |stats| stats.accepted);
    drop(connections);
    let most = server.most_in_a_turn(all, |stats| stats.closed.total());
    assert!(most < all / 2, "{most} in a turn");
}

#[test]
fn a_turn_visits_only_a_few_of_the_clients_that_send_without_end() {
    const SENDERS: usize = 24;
    let step = LOUD_TURN_TIME / 2;
    let mut server = Turned::new("sink", "tcp", step);
    let mut senders: Vec<_> = (0..SENDERS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.most_in_a_turn(SENDERS as u64, |stats| stats.accepted);
    let mut sent = 0;
    for sender in &mut senders {
        sender.set_nonblocking(true).unwrap();
        sent += fill(sender);
    }
    // In the first turn all clients still count as quiet, and the server reads little from each.
    let (mut most, until) = (0, Instant::now() + PATIENCE);
    while server.stats().received_bytes < sent {
        let before = server.stats().received_bytes;
        server.0.turn(Some(PATIENCE)).unwrap();
        most = most.max(server.stats().received_bytes - before);
        assert!(Instant::now() < until, "{before} of {sent} bytes arrived, and then too few");
    }
    assert!(most <= 4 * VISIT_BYTES_MAX, "{most} bytes in a turn");
}

#[test]
fn a_quiet_client_is_answered_in_the_turn_in_which_it_asks() {
    const SENDERS: usize = 24;
    let mut server = Turned::new("uppercase", "tcp", Duration::from_micros(50));
    let mut quiet = TcpStream::connect(server.address()).unwrap();
    let mut senders: Vec<_> = (0..SENDERS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.most_in_a_turn(1 + SENDERS as u64, |stats| stats.accepted);
    for sender in &mut senders {
        sender.set_nonblocking(true).unwrap();
        fill(sender);
    }
    server.turn();
    quiet.write_all(b"quiet").unwrap();
    server.turn();
    // On loopback, bytes have arrived when the write returns.
    quiet.set_nonblocking(true).unwrap();
    let mut answer = [0; 10];
    let received = quiet.read(&mut answer).map_err(|error| error.kind());
    assert_eq!((received, &answer[..5]), (Ok(5), &b"QUIET"[..]));
}

#[test]
fn a_slow_turn_is_counted_for_the_listeners_that_it_served() {
    let mut server = Turned::new("sink", "tcp", Duration::from_millis(300));
    let mut client = TcpStream::connect(server.address()).unwrap();
    server.most_in_a_turn(1, |stats| stats.accepted);
    let before = server.stats().slow_turns;
    client.write_all(b"x").unwrap();
    server.most_in_a_turn(1, |stats| stats.received_bytes);
    assert!(server.stats().slow_turns > before, "the clock says that it took 300 ms");
}

/// Takes a long time to close.
struct Slow;

impl StreamProtocol for Slow {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::finish())
    }

    fn on_close(&mut self, _: CloseReason) -> Option<Job> {
        // It blocks the loop on purpose, to cause the warning.
        thread::sleep(Duration::from_millis(20));
        None
    }
}

fn slow() -> Reactor {
    let mut registry = Registry::empty();
    registry.stream_fn("slow", "Ends slowly.", "nc 127.0.0.1 9", |_| Slow);
    let text = json!({ "listeners": [listener("slow", "tcp")], "slow_turn": "1ms" }).to_string();
    let config = Config::parse("inline.json", &text, &registry).unwrap();
    Reactor::bind(&config, &registry).unwrap()
}

#[test]
fn a_slow_turn_that_only_frees_connections_is_counted_for_their_listener() {
    const CLIENTS: u64 = 40;
    let mut reactor = slow();
    let address = reactor.endpoints()[0].address().unwrap();
    drop((0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>());
    let mut before = (0, 0);
    while before.0 < CLIENTS {
        reactor.turn(Some(PATIENCE)).unwrap();
        let stats = reactor.endpoints()[0].stats();
        let after = (stats.closed.total(), stats.slow_turns);
        assert!(after.0 == before.0 || after.1 > before.1, "{before:?}, then {after:?}");
        before = after;
    }
}

#[test]
fn a_stop_at_once_calls_on_close_of_every_protocol_however_slow() {
    const CLIENTS: u64 = 30;
    let mut reactor = slow();
    let address = reactor.endpoints()[0].address().unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    while reactor.endpoints()[0].stats().accepted < CLIENTS {
        reactor.turn(Some(PATIENCE)).unwrap();
    }
    reactor.handle().abort();
    assert_eq!(reactor.run().unwrap(), Stopped::AtOnce);
    assert_eq!(reactor.endpoints()[0].stats().closed.total(), CLIENTS);
    drop(clients);
}

/// Sends until the server takes no more, and returns the number of bytes.
fn fill(sender: &mut TcpStream) -> u64 {
    let mut sent = 0;
    loop {
        match sender.write(&[b'x'; 64 * 1024]) {
            Ok(count) => sent += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
            Err(error) => panic!("{error}"),
        }
    }
}
