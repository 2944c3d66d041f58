//! Accepts connections, and classifies each errno of `accept(2)`.

#![warn(clippy::missing_docs_in_private_items)]

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use crate::attempt::{Attempt, attempt};
use crate::errno::{self, AcceptError, Code};
use crate::kernel::Kernel;
use crate::limits::{ACCEPT_ERRORS_MAX, Limits};
use crate::network::masked;
use crate::peer::Peer;

/// A listening socket.
pub(crate) struct Listener<L> {
    /// The socket.
    pub(crate) socket: L,
    /// Set until a connection closes or a pause expires: the kernel reports no edge meanwhile.
    pub(crate) paused: Option<Pause>,
    /// Whether the listener is in the list of listeners that are visited when a connection closes.
    pub(crate) waits_for_room: bool,
    /// Connections accepted since the server began to stop: it still serves its accept queue, at most a backlog.
    pub(crate) accepted_while_stopping: u32,
    /// Consecutive errors of `accept(2)` that each seemed to concern one connection.
    pub(crate) errors_in_a_row: usize,
}

/// The reason why accepting is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A limit is reached.
    Full(&'static str),
    /// `accept(2)` failed with this errno.
    Failed(Code),
    /// As many connections were accepted as `connection_rate` allows for now.
    Rate,
}

/// The result of one call of `accept(2)`.
pub(crate) enum Accepted<S> {
    /// A connection.
    Connection(S, Peer),
    /// The accept queue is empty; the kernel will report the next connection.
    Empty,
    /// A connection ended in the queue, or has a transient network error: accept the next. The name is its counter.
    Gone(&'static str, io::Error),
    /// Descriptors or memory are exhausted, or an immediate retry cannot help. Also a network error, if more come in a
    /// row than can each concern another connection.
    Exhausted(io::Error),
}

impl<L> Listener<L> {
    /// Makes a listener that is not paused.
    pub(crate) fn new(socket: L) -> Self {
        Self { socket, paused: None, waits_for_room: false, accepted_while_stopping: 0, errors_in_a_row: 0 }
    }

    /// Calls `accept(2)` once.
    pub(crate) fn accept<K: Kernel<Listener = L>>(&mut self, kernel: &mut K) -> Accepted<K::Stream> {
        let errors_before = std::mem::take(&mut self.errors_in_a_row);
        match attempt(|| kernel.accept(&self.socket)) {
            Attempt::Done((stream, peer)) => Accepted::Connection(stream, peer),
            Attempt::WouldBlock => Accepted::Empty,
            Attempt::Failed(error) => match errno::of_accept(&error) {
                AcceptError::Connection(reason) if errors_before < ACCEPT_ERRORS_MAX => {
                    self.errors_in_a_row = errors_before + 1;
                    Accepted::Gone(reason, error)
                }
                AcceptError::Connection(_) => {
                    self.errors_in_a_row = errors_before;
                    Accepted::Exhausted(error)
                }
                AcceptError::Shortage | AcceptError::Other => Accepted::Exhausted(error),
            },
        }
    }
}

/// How many of the first bits of an address count: all addresses that begin with the same bits are one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefixes {
    /// Of an IPv4 address.
    v4: u8,
    /// Of an IPv6 address.
    v6: u8,
}

impl Prefixes {
    /// Returns those of these limits.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { v4: limits.ip_prefix_v4, v6: limits.ip_prefix_v6 }
    }

    /// Returns the prefix of the address of `peer`; `None` if it has no internet address.
    pub(crate) fn of_peer(self, peer: &Peer) -> Option<IpAddr> {
        peer.ip().map(|ip| masked(ip, if ip.is_ipv4() { self.v4 } else { self.v6 }))
    }
}

/// Counts connections by prefix, for `max_connections_per_ip`. A peer without an internet address is not counted.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The connections of each prefix that has any.
    counts: HashMap<IpAddr, usize>,
    /// The prefixes.
    prefixes: Prefixes,
}

impl Peers {
    /// Makes the counter. Its prefixes never change, so that each connection leaves the prefix that it has joined.
    pub(crate) fn new(prefixes: Prefixes) -> Self {
        Self { counts: HashMap::new(), prefixes }
    }

    /// Counts one more connection from the address of `peer`, unless it has `most`. Returns whether it was counted.
    pub(crate) fn admit(&mut self, peer: &Peer, most: usize) -> bool {
        let Some(prefix) = self.prefixes.of_peer(peer) else { return true };
        let count = self.counts.entry(prefix).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        admitted
    }

    /// Whether no connection is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts one connection less from the address of `peer`.
    pub(crate) fn leave(&mut self, peer: &Peer) {
        if let Some(prefix) = self.prefixes.of_peer(peer)
            && let Some(count) = self.counts.get_mut(&prefix)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::peer::Credentials;

    #[test]
    fn connections_are_counted_by_address_whatever_the_port_and_family() {
        let mut peers = Peers::new(Prefixes::of(&Limits::default()));
        let inet = |text: &str| Peer::from(text.parse::<SocketAddr>().expect("an address"));
        let (v4, mapped, other) = (inet("192.0.2.1:1000"), inet("[::ffff:192.0.2.1]:2000"), inet("192.0.2.2:1000"));
        assert!(peers.admit(&v4, 2) && peers.admit(&mapped, 2));
        assert!(!peers.admit(&v4, 2));
        assert!(peers.admit(&other, 2));
        peers.leave(&mapped);
        assert!(peers.admit(&v4, 2));
        for peer in [&v4, &v4, &other] {
            peers.leave(peer);
        }
        assert!(peers.is_empty());
    }

    #[test]
    fn addresses_with_one_prefix_count_as_one_address() {
        let limits = Limits { ip_prefix_v4: 24, ..Limits::default() };
        for (one, other, are_one) in [
            ("192.0.2.1:1", "192.0.2.9:1", true),
            ("192.0.2.1:1", "192.0.3.1:1", false),
            ("[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::]:1", true),
            ("[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false),
        ] {
            let [one, other] = [one, other].map(|text| Peer::from(text.parse::<SocketAddr>().expect("an address")));
            let mut peers = Peers::new(Prefixes::of(&limits));
            assert!(peers.admit(&one, 1));
            assert_eq!(peers.admit(&other, 1), !are_one, "{one} {other}");
            peers.leave(&one);
            assert_eq!(peers.is_empty(), are_one);
        }
    }

    #[test]
    fn peers_without_an_address_are_not_counted_by_address() {
        let mut peers = Peers::new(Prefixes::of(&Limits::default()));
        let unix = Peer::from(Credentials::default());
        assert!(peers.admit(&unix, 1) && peers.admit(&unix, 1) && peers.is_empty());
        peers.leave(&unix);
        assert!(peers.is_empty());
    }
}
