//! The loop over real sockets, in what no configuration reaches yet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Reactor;
use crate::config::Config;
use crate::connection::tests::opening::OPENS;
use crate::protocol::{CloseReason, Context, Refusal, Reply, Step, StreamProtocol, Within};
use crate::registry::Registry;
use crate::stats::Stats;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Says who the peer is, and then what it sends.
struct Who;

impl StreamProtocol for Who {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let peer = format!("{}\n", cx.peer());
        cx.out.extend_from_slice(peer.as_bytes());
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(input);
        Ok(Step::again(input.len()))
    }
}

/// A server whose connections open with a line that says who the peer is.
fn server(limits: &str) -> Reactor {
    let mut registry = Registry::empty();
    registry.stream_fn("who", "Says who the peer is.", "true", |peer| {
        let allowed = peer.ip() != Some([192, 0, 2, 66].into());
        if allowed { Ok(Who) } else { Err(Refusal("not that one")) }
    });
    let text =
        format!(r#"{{ "listeners": [{{ "listen": "tcp://127.0.0.1:0", "protocol": "who" }}], "limits": {limits} }}"#);
    let config = Config::parse("inline.json", &text, &registry).expect("a configuration");
    let mut reactor = Reactor::bind(&config, &registry).expect("a free port");
    reactor.endpoints[0].opens = Some(OPENS);
    reactor
}

fn stats(reactor: &Reactor) -> &Stats {
    reactor.endpoints()[0].stats()
}

fn connect(reactor: &Reactor) -> TcpStream {
    let address: SocketAddr = reactor.endpoints()[0].address();
    TcpStream::connect(address).expect("it listens")
}

fn turn_until(reactor: &mut Reactor, done: impl Fn(&Reactor) -> bool) {
    while !done(reactor) {
        reactor.turn(PATIENCE).expect("a poll");
        reactor.census().expect("all rules are kept");
    }
}

/// What a peer gets from a server that turns until it has closed.
fn told(reactor: &mut Reactor, mut peer: TcpStream) -> String {
    let all_closed = |stats: &Stats| stats.accepted > 0 && stats.closed.total() == stats.accepted;
    turn_until(reactor, |reactor| all_closed(stats(reactor)));
    let mut told = String::new();
    // One that is refused is reset.
    let _ = peer.read_to_string(&mut told);
    told
}

#[test]
fn a_protocol_starts_after_the_opening_and_gets_the_bytes_behind_it() {
    let mut reactor = server("{}");
    let mut peer = connect(&reactor);
    turn_until(&mut reactor, |reactor| stats(reactor).accepted == 1);
    peer.write_all(b"from 192.0.2.").expect("a connection");
    turn_until(&mut reactor, |reactor| stats(reactor).received_bytes == 13);
    assert_eq!(stats(&reactor).sent_bytes, 0, "the protocol has not spoken");
    peer.write_all(b"5:80\nrest").expect("a connection");
    peer.shutdown(std::net::Shutdown::Write).expect("a connection");
    assert_eq!(told(&mut reactor, peer), "welcome\n192.0.2.5:80\nrest");
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
        ("hello\n", "no address"),
    ] {
        let closed = stats(&reactor).closed.count(reason);
        let mut peer = connect(&reactor);
        peer.write_all(line.as_bytes()).expect("a connection");
        turn_until(&mut reactor, |reactor| stats(reactor).closed.count(reason) > closed);
    }
    // Another address, and the refused one, have their places still.
    let mut other = connect(&reactor);
    other.write_all(b"from 192.0.2.6:80\n").expect("a connection");
    other.shutdown(std::net::Shutdown::Write).expect("a connection");
    drop(stays);
    assert_eq!(told(&mut reactor, other), "welcome\n192.0.2.6:80\n");
    assert!(reactor.endpoints[0].peers.is_empty());
}

#[test]
fn an_opening_that_takes_too_long_is_closed_and_counted() {
    let mut reactor = server("{}");
    reactor.endpoints[0].opens = Some(crate::connection::opening::Opens { timeout: Duration::from_millis(1), ..OPENS });
    let peer = connect(&reactor);
    assert_eq!(told(&mut reactor, peer), "");
    assert_eq!(stats(&reactor).closed.count(CloseReason::OpeningTimeout.name()), 1);
}

#[test]
fn a_stop_ends_what_opens() {
    let mut reactor = server("{}");
    let _peer = connect(&reactor);
    turn_until(&mut reactor, |reactor| stats(reactor).accepted == 1);
    reactor.handle().stop();
    turn_until(&mut reactor, |reactor| stats(reactor).closed.total() == 1);
    assert_eq!(stats(&reactor).closed.count(CloseReason::Shutdown.name()), 1);
}
