//! Options of outgoing sockets, read from the X-ray of a server on this thread.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reactor::xray::{self, Call, SocketOption, What};
use reactor::{Config, Reactor, Registry};
use serde_json::json;

use super::{Front, other_server};
use crate::support::{PATIENCE, listener_with};

/// The options that are set between accepting a client and connecting for it, with `tcp_keepalive`.
fn options(tcp_keepalive: &str) -> Vec<(SocketOption, u32)> {
    let (listener, address) = other_server();
    let mut registry = Registry::empty();
    registry.stream_fn("relay", "Relays.", "true", move |_| Front(Some(address.into())));
    let members = json!({ "limits": { "tcp_keepalive": tcp_keepalive } });
    let config = json!({ "listeners": [listener_with("relay", &members)] });
    xray::start();
    let mut reactor =
        Reactor::bind(&Config::parse("test.json", &config.to_string(), &registry).unwrap(), &registry).unwrap();
    let mut client = TcpStream::connect(reactor.endpoints()[0].address().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    let begin = Instant::now();
    // The other server closes, so the client gets a FIN.
    while client.read(&mut [0]).is_err() {
        assert!(begin.elapsed() < PATIENCE);
        reactor.turn(Some(Duration::from_millis(1))).unwrap();
        drop(listener.accept());
    }
    let records = reactor.recording().unwrap().records.into_iter();
    let accepted = records.skip_while(|record| !matches!(record.what, What::Accepted { .. }));
    let before = accepted.take_while(|record| !matches!(record.what, What::Call { call: Call::Connect, .. }));
    let set = before.filter_map(|record| match record.what {
        What::Call { call: Call::SetOption { option, value }, .. } => Some((option, value)),
        _ => None,
    });
    set.collect()
}

#[test]
fn an_outgoing_connection_is_probed_after_tcp_keepalive() {
    let set = options("7s");
    assert!(set.contains(&(SocketOption::KeepAlive, 1)) && set.contains(&(SocketOption::KeepIdle, 7)), "{set:?}");
    assert!(set.contains(&(SocketOption::NoDelay, 1)), "{set:?}");
    assert!(!options("0s").iter().any(|(option, _)| *option == SocketOption::KeepAlive));
}
