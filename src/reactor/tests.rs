//! The loop over real sockets: openings, which no configuration can set up yet.

mod elders;
mod fake;
mod reload;
mod replaced;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Reactor;
use crate::config::Config;
use crate::connection::opener::{Opener, Opens, Progress};
use crate::connection::tests::opening::{OPENS, TIMEOUT, Who};
use crate::outbox::Outbox;
use crate::protocol::{CloseReason, Refusal};
use crate::registry::Registry;
use crate::stats::Stats;

/// The time that a test waits for an event at most.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Binds a server whose connections open with a line that names the peer's address.
fn server(limits: &str) -> Reactor {
    let mut registry = Registry::empty();
    registry.stream_fn("who", "Sends the address of the peer.", "true", |peer| {
        let last = peer.ip().map(|ip| ip.to_string().rsplit('.').next().map(str::to_owned));
        match last.flatten().as_deref() {
            Some("66") => Err(Refusal("not that one")),
            Some("67") => std::panic::resume_unwind(Box::new("on purpose")),
            _ => Ok(Who),
        }
    });
    let text =
        format!(r#"{{ "listeners": [{{ "listen": "tcp://127.0.0.1:0", "protocol": "who" }}], "limits": {limits} }}"#);
    let config = Config::parse("inline.json", &text, &registry).expect("a configuration");
    let mut reactor = Reactor::bind(&config, &registry).expect("a free port");
    reactor.endpoints[0].opens = Some(OPENS);
    reactor
}

/// Returns the counters of the listener.
fn stats(reactor: &Reactor) -> &Stats {
    reactor.endpoints()[0].stats()
}

/// Connects a client.
fn connect(reactor: &Reactor) -> TcpStream {
    let address = reactor.endpoints()[0].address().expect("TCP");
    TcpStream::connect(address).expect("a listener")
}

/// Turns until `done`, and checks the invariants after each turn.
fn turn_until(reactor: &mut Reactor, done: impl Fn(&Reactor) -> bool) {
    while !done(reactor) {
        reactor.turn(PATIENCE).expect("a poll");
        reactor.census().expect("all rules are kept");
    }
}

/// Turns until the connection has closed. Returns what the peer has received.
fn received(reactor: &mut Reactor, mut peer: TcpStream) -> String {
    let was_there = |stats: &Stats| stats.accepted + stats.refused.total() > 0;
    turn_until(reactor, |reactor| was_there(stats(reactor)) && reactor.endpoints()[0].open_connections() == 0);
    let mut received = String::new();
    // A refused peer is reset.
    let _ = peer.read_to_string(&mut received);
    received
}

#[test]
fn a_protocol_starts_after_the_opening_and_gets_the_bytes_behind_it() {
    let mut reactor = server("{}");
    let mut peer = connect(&reactor);
    turn_until(&mut reactor, |reactor| reactor.endpoints()[0].open_connections() == 1);
    peer.write_all(b"from 192.0.2.").expect("a connection");
    turn_until(&mut reactor, |reactor| stats(reactor).received_bytes == 13);
    assert_eq!((stats(&reactor).sent_bytes, stats(&reactor).accepted), (0, 0), "the protocol has not been called");
    peer.write_all(b"5:80\nrest").expect("a connection");
    peer.shutdown(std::net::Shutdown::Write).expect("a connection");
    assert_eq!(received(&mut reactor, peer), "welcome\n192.0.2.5:80\nrest");
}

#[test]
fn a_peer_is_admitted_by_the_address_that_its_opening_says() {
    let mut reactor = server(r#"{ "max_connections_per_ip": 1 }"#);
    let mut stays = connect(&reactor);
    stays.write_all(b"from 192.0.2.5:80\n").expect("a connection");
    turn_until(&mut reactor, |reactor| stats(reactor).sent_bytes > 0);
    for (line, reason) in [
        ("from 192.0.2.5:81\n", "max_connections_per_ip"),
        ("from 192.0.2.66:80\n", "not that one"),
        ("from 192.0.2.67:80\n", "bug"),
        ("hello\n", "no address"),
    ] {
        let before = (stats(&reactor).refused.total(), stats(&reactor).refused.count(reason));
        let mut peer = connect(&reactor);
        peer.write_all(line.as_bytes()).expect("a connection");
        turn_until(&mut reactor, |reactor| stats(reactor).refused.total() > before.0);
        assert_eq!(stats(&reactor).refused.count(reason), before.1 + 1, "{line}");
        assert_eq!((stats(&reactor).accepted, stats(&reactor).closed.total()), (1, 0), "{reason} is counted once");
    }
    // The limit does not concern another address, and refused peers no longer count.
    let mut other = connect(&reactor);
    other.write_all(b"from 192.0.2.6:80\n").expect("a connection");
    other.shutdown(std::net::Shutdown::Write).expect("a connection");
    drop(stays);
    assert_eq!(received(&mut reactor, other), "welcome\n192.0.2.6:80\n");
    assert!(reactor.endpoints[0].peers.is_empty());
}

#[test]
fn an_opening_that_takes_too_long_is_closed_and_counted() {
    let mut reactor = server("{}");
    reactor.endpoints[0].opens = Some(Opens { timeout: Duration::from_millis(1), ..OPENS });
    let peer = connect(&reactor);
    assert_eq!(received(&mut reactor, peer), "");
    assert_eq!(stats(&reactor).refused.count(CloseReason::OpeningTimeout.name()), 1);
}

#[test]
fn a_stop_ends_what_opens() {
    let mut reactor = server("{}");
    let _peer = connect(&reactor);
    turn_until(&mut reactor, |reactor| reactor.endpoints()[0].open_connections() == 1);
    reactor.handle().stop();
    turn_until(&mut reactor, |reactor| stats(reactor).refused.total() == 1);
    assert_eq!(stats(&reactor).refused.count(CloseReason::Shutdown.name()), 1);
}

#[test]
fn a_refused_peer_is_counted_the_same_with_and_without_an_opening() {
    let counts = |opens: Option<Opens>| {
        let mut reactor = server(r#"{ "max_connections_per_ip": 1 }"#);
        reactor.endpoints[0].opens = opens;
        let peers: Vec<_> = (0..3)
            .map(|_| {
                let mut peer = connect(&reactor);
                peer.write_all(b"from 127.0.0.1:80\n").expect("a connection");
                peer
            })
            .collect();
        turn_until(&mut reactor, |reactor| stats(reactor).refused.total() == 2 && stats(reactor).accepted == 1);
        let refused = stats(&reactor).refused.to_string();
        drop(peers);
        turn_until(&mut reactor, |reactor| reactor.endpoints()[0].open_connections() == 0);
        (refused, stats(&reactor).accepted, stats(&reactor).closed.total())
    };
    assert_eq!(counts(None), ("2 (max_connections_per_ip 2)".to_owned(), 1, 1));
    assert_eq!(counts(Some(OPENS)), counts(None));
}

#[test]
fn what_an_opening_has_sent_arrives_at_a_peer_that_is_then_refused() {
    let mut reactor = server(r#"{ "max_connections_per_ip": 1 }"#);
    reactor.endpoints[0].opens = Some(OPENS);
    let [_first, mut refused] = [0, 1].map(|_| {
        let mut peer = connect(&reactor);
        peer.write_all(b"from 127.0.0.1:80\n").expect("a connection");
        peer
    });
    turn_until(&mut reactor, |reactor| stats(reactor).refused.total() == 1);
    let mut heard = String::new();
    refused.read_to_string(&mut heard).expect("a FIN and no reset");
    assert_eq!(heard, "welcome\n");
}

#[test]
fn above_its_rate_a_listener_waits_until_the_next_may_come() {
    let mut reactor = server(r#"{ "connection_rate": "20/s" }"#);
    let peers: Vec<_> = (0..22).map(|_| connect(&reactor)).collect();
    turn_until(&mut reactor, |reactor| reactor.endpoints()[0].open_connections() == peers.len());
    assert!(stats(&reactor).paused.count("connection_rate") > 0);
}

/// More bytes than the kernel takes for a peer that does not read.
const MUCH: usize = 32 << 20;

/// Sends [`MUCH`], and completes the opening.
struct Much;

impl Opener for Much {
    fn on_connected(&mut self, out: &mut Outbox) -> Result<Progress, Refusal> {
        out.extend_from_slice(&vec![b'x'; MUCH]);
        Ok(Progress::Done { consumed: 0, peer: None, layer: None })
    }

    fn on_received(&mut self, _: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        Err(Refusal("it was done"))
    }
}

#[test]
fn output_of_an_opening_counts_as_pending_until_it_is_sent_or_given_up() {
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
    for (reads, timeout, ends) in
        [(true, long, "none"), (false, short, "opening timeout"), (false, long, "max_pending_output_total")]
    {
        let mut reactor = server("{}");
        reactor.totals.pending_bytes_max = MUCH / 4;
        reactor.endpoints[0].opens = Some(Opens { opener: || Box::new(Much), timeout });
        let mut peer = connect(&reactor);
        turn_until(&mut reactor, |reactor| reactor.totals.pending_bytes > 0);
        assert!(reactor.totals.pending_bytes > MUCH / 4 && reactor.is_pressed());
        let reader = std::thread::spawn(move || {
            let read = if reads { MUCH } else { 0 };
            peer.read_exact(&mut vec![0; read]).expect("a connection");
            peer
        });
        turn_until(&mut reactor, |reactor| reactor.totals.pending_bytes == 0);
        assert_eq!(stats(&reactor).accepted, u64::from(reads));
        assert_eq!(stats(&reactor).refused.count(ends), u64::from(!reads), "{ends}");
        drop(reader.join().expect("no panic"));
    }
}

/// An opener that panics.
struct Bug;

impl Opener for Bug {
    fn on_received(&mut self, _: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn a_panic_of_an_opener_costs_its_connection_alone() {
    let mut reactor = server("{}");
    let mut stays = connect(&reactor);
    stays.write_all(b"from 192.0.2.5:80\n").expect("a connection");
    turn_until(&mut reactor, |reactor| stats(reactor).accepted == 1);
    reactor.endpoints[0].opens = Some(Opens { opener: || Box::new(Bug), timeout: TIMEOUT });
    connect(&reactor).write_all(b"x").expect("a connection");
    turn_until(&mut reactor, |reactor| stats(reactor).refused.count("bug") == 1);
    stays.write_all(b"still here").expect("a connection");
    stays.shutdown(std::net::Shutdown::Write).expect("a connection");
    assert_eq!(received(&mut reactor, stays), "welcome\n192.0.2.5:80\nstill here");
}
