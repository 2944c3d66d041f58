//! What one turn of the loop may take of one kind, while more is waiting: the others get their turn soon.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use reactor::limits::{TURN_SPENT_MAX, VISIT_ACCEPTS_MAX, VISIT_BYTES_MAX, VISIT_DATAGRAMS_MAX};
use reactor::protocol::{
    Context, NoOptions, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within,
};
use reactor::stats::Stats;
use reactor::{Config, Reactor, Registry};
use serde_json::json;

use crate::support::{PATIENCE, listener};

/// Takes everything, and answers nothing.
struct Sink;

impl Service for Sink {
    const NAME: &'static str = "sink";
    const ABOUT: &'static str = "Takes everything.";
    const TRY: &'static str = "nc 127.0.0.1 9";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Sink {
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Self)
    }
}

impl StreamProtocol for Sink {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

/// A server of one listener that turns only when it is told to.
struct Turned(Reactor);

impl Turned {
    fn new(protocol: &str, transport: &str) -> Self {
        let mut registry = Registry::built_in();
        registry.stream::<Sink>();
        let text = json!({ "listeners": [listener(protocol, transport)] }).to_string();
        let config = Config::parse("inline.json", &text, &registry).unwrap();
        let mut turned = Self(Reactor::bind(&config, &registry).unwrap());
        turned.turn();
        turned
    }

    fn address(&self) -> SocketAddr {
        self.0.endpoints()[0].address()
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
            assert!(grown > 0, "{before} of {total}, and nothing more in a turn");
            most = most.max(grown);
        }
        most
    }
}

#[test]
fn a_turn_accepts_a_few_of_those_who_wait_and_the_next_turns_the_others() {
    let mut server = Turned::new("sink", "tcp");
    let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let most = server.most_in_a_turn(waiting.len() as u64, |stats| stats.accepted);
    assert_eq!(most, VISIT_ACCEPTS_MAX as u64);
}

#[test]
fn a_turn_answers_a_few_of_the_datagrams_that_wait_and_the_next_turns_the_others() {
    let mut server = Turned::new("sum", "udp");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        sender.send_to(br#"{"A":7,"B":4}"#, server.address()).unwrap();
    }
    let most = server.most_in_a_turn(100, |stats| stats.received_datagrams);
    assert_eq!(most, VISIT_DATAGRAMS_MAX as u64);
}

#[test]
fn of_those_who_send_without_end_a_turn_visits_a_few() {
    const SENDERS: usize = 24;
    let mut server = Turned::new("sink", "tcp");
    let mut senders: Vec<_> = (0..SENDERS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.most_in_a_turn(SENDERS as u64, |stats| stats.accepted);
    let mut sent = 0;
    for sender in &mut senders {
        sender.set_nonblocking(true).unwrap();
        sent += fill(sender);
    }
    // All have news in the first turn. From the second on those are left that used up their budget. Some had drained their
    // socket for a moment, have news again and are visited besides: so what shows is that it is not nearly all.
    let half_of_all = (SENDERS / 2 * VISIT_BYTES_MAX) as u64;
    const { assert!(TURN_SPENT_MAX < SENDERS / 4) };
    server.turn();
    let all = server.stats().received_bytes;
    assert!(all < sent, "they had more than a turn takes");
    let mut turns = 0;
    let mut few = 0;
    let until = Instant::now() + PATIENCE;
    while server.stats().received_bytes < sent {
        let before = server.stats().received_bytes;
        server.0.turn(Some(PATIENCE)).unwrap();
        let grown = server.stats().received_bytes - before;
        turns += usize::from(grown > 0);
        few += usize::from((1..=half_of_all).contains(&grown));
        assert!(Instant::now() < until, "{before} of {sent} bytes came, and then too little");
    }
    assert!(few * 10 >= turns * 9, "of {turns} turns {few} visited no more than half");
}

/// Sends until nothing more is taken, and tells how much that was.
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
