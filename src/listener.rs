//! Accepts connections, and classifies each errno of `accept(2)`.

#![warn(clippy::missing_docs_in_private_items)]

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use crate::attempt::{Attempt, attempt};
use crate::errno::{self, AcceptError, Code};
use crate::kernel::Kernel;
use crate::limits::ACCEPT_ERRORS_MAX;
use crate::peer::Peer;

/// A listening socket.
pub(crate) struct Listener<L> {
    /// The socket.
    pub(crate) socket: L,
    /// Set until a connection closes or a pause expires: the kernel reports no edge meanwhile.
    pub(crate) paused: Option<Pause>,
    /// Whether the listener is in the list of listeners that are visited when a connection closes.
    pub(crate) waits_for_room: bool,
    /// Connections accepted since the server or this listener began to stop: its accept queue is still served, at most a backlog.
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

/// Counts connections, for `max_connections_per_ip`: by address, and over a Unix socket by user.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<Origin, usize>);

/// What connections are counted by.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// The address of the peer.
    Ip(IpAddr),
    /// The user of the peer. Peers whose user is unknown count as one.
    User(Option<u32>),
}

impl Origin {
    /// Returns what a connection of `peer` is counted by.
    fn of(peer: &Peer) -> Self {
        match peer.ip() {
            Some(address) => Self::Ip(address),
            None => Self::User(peer.credentials().and_then(|process| process.uid)),
        }
    }
}

impl Peers {
    /// Counts one more connection of the origin of `peer`, unless it has `most`. Returns whether it was counted.
    pub(crate) fn admit(&mut self, peer: &Peer, most: usize) -> bool {
        let count = self.0.entry(Origin::of(peer)).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        admitted
    }

    /// Whether no connection is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one connection less of the origin of `peer`.
    pub(crate) fn leave(&mut self, peer: &Peer) {
        let origin = Origin::of(peer);
        if let Some(count) = self.0.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&origin);
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
        let mut peers = Peers::default();
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
    fn connections_over_a_unix_socket_are_counted_by_user() {
        let mut peers = Peers::default();
        let unix = |pid, uid| Peer::from(Credentials::new(Some(pid), uid, None));
        assert!(peers.admit(&unix(1, Some(1000)), 1) && peers.admit(&unix(2, Some(0)), 1));
        assert!(!peers.admit(&unix(3, Some(1000)), 1), "another process of the same user");
        assert!(peers.admit(&unix(4, None), 1) && !peers.admit(&unix(5, None), 1), "unknown users are one");
        for uid in [Some(1000), Some(0), None] {
            peers.leave(&unix(6, uid));
        }
        assert!(peers.is_empty());
    }
}
