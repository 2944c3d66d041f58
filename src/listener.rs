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

/// Counts connections by address, for `max_connections_per_ip`. A peer without an internet address is not counted.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<IpAddr, usize>);

impl Peers {
    /// Counts one more connection from the address of `peer`, unless it has `most`. Returns whether it was counted.
    pub(crate) fn admit(&mut self, peer: &Peer, most: usize) -> bool {
        let Some(address) = peer.ip() else { return true };
        let count = self.0.entry(address).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        admitted
    }

    /// Whether no connection is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one connection less from the address of `peer`.
    pub(crate) fn leave(&mut self, peer: &Peer) {
        if let Some(address) = peer.ip()
            && let Some(count) = self.0.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&address);
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
    fn peers_without_an_address_are_not_counted_by_address() {
        let mut peers = Peers::default();
        let unix = Peer::from(Credentials::default());
        assert!(peers.admit(&unix, 1) && peers.admit(&unix, 1) && peers.is_empty());
        peers.leave(&unix);
        assert!(peers.is_empty());
    }
}
