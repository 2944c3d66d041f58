//! Accepts within a budget, and knows what to do about each errno of `accept(2)`.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use crate::attempt::{Attempt, attempt};
use crate::kernel::Kernel;

/// A listening socket.
pub(crate) struct Listener<L> {
    pub(crate) socket: L,
    /// Nobody is accepted until a connection closes or the pause is over: the kernel owes no edge, so that is what
    /// wakes us.
    pub(crate) paused: Option<Pause>,
    /// Whether it stands in the list of those that are visited when a connection closes.
    pub(crate) waits_for_room: bool,
    /// Connections accepted since the server began to stop. A server that stops serves what is in the accept queue, and
    /// that is at most a backlog.
    pub(crate) accepted_while_stopping: u32,
}

/// Why nobody is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A limit is reached.
    Full(&'static str),
    /// What `accept(2)` said.
    Failed(Errno),
}

/// What a try to accept came to.
pub(crate) enum Accepted<S> {
    /// A connection.
    Connection(S, SocketAddr),
    /// The accept queue is empty; the kernel owes an edge.
    Nobody,
    /// A connection died in the queue, or a passing error of the network took its place: try the next one.
    Gone(io::Error),
    /// Descriptors or memory lack, or something is wrong that trying again at once cannot cure.
    Exhausted(io::Error),
}

impl<L> Listener<L> {
    pub(crate) fn new(socket: L) -> Self {
        Self { socket, paused: None, waits_for_room: false, accepted_while_stopping: 0 }
    }

    pub(crate) fn accept<K: Kernel<Listener = L>>(&self, kernel: &mut K) -> Accepted<K::Stream> {
        match attempt(|| kernel.accept(&self.socket)) {
            Attempt::Done((stream, peer)) => Accepted::Connection(stream, peer),
            Attempt::WouldBlock => Accepted::Nobody,
            Attempt::Failed(error) if concerns_one_connection(&error) => Accepted::Gone(error),
            Attempt::Failed(error) => Accepted::Exhausted(error),
        }
    }
}

/// `accept(2)`, "Error handling": Linux passes errors of the network on that are already pending on the new socket, and
/// says to treat them like `EAGAIN` by retrying. None of them may end or delay a server.
fn concerns_one_connection(error: &io::Error) -> bool {
    let passing = [
        Errno::ECONNABORTED,
        Errno::ECONNRESET,
        Errno::EPROTO,
        Errno::ENOPROTOOPT,
        Errno::ENETDOWN,
        Errno::ENETUNREACH,
        Errno::EHOSTDOWN,
        Errno::EHOSTUNREACH,
        Errno::EOPNOTSUPP,
        Errno::EPERM,
    ];
    let nonet = cfg!(target_os = "linux") && error.raw_os_error() == Some(64);
    nonet || error.raw_os_error().is_some_and(|number| passing.contains(&Errno::from_raw(number)))
}

/// Connections by address, for `max_connections_per_ip`.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<IpAddr, usize>);

impl Peers {
    /// Counts one more from `peer`, unless it has `most` already.
    pub(crate) fn admit(&mut self, peer: SocketAddr, most: usize) -> bool {
        let count = self.0.entry(peer.ip().to_canonical()).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        admitted
    }

    /// Whether nobody is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one less.
    pub(crate) fn leave(&mut self, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        if let Some(count) = self.0.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_accept_has_its_answer() {
        for errno in [Errno::ECONNABORTED, Errno::EPROTO, Errno::ENETDOWN, Errno::EHOSTUNREACH, Errno::EPERM] {
            assert!(concerns_one_connection(&errno.into()), "{errno}");
        }
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EINVAL, Errno::EBADF] {
            assert!(!concerns_one_connection(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn connections_are_counted_by_address_whatever_the_port_and_family() {
        let mut peers = Peers::default();
        let v4: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:2000".parse().expect("an address");
        let other: SocketAddr = "192.0.2.2:1000".parse().expect("an address");
        assert!(peers.admit(v4, 2) && peers.admit(mapped, 2));
        assert!(!peers.admit(v4, 2));
        assert!(peers.admit(other, 2));
        peers.leave(mapped);
        assert!(peers.admit(v4, 2));
        for peer in [v4, v4, other] {
            peers.leave(peer);
        }
        assert!(peers.0.is_empty());
    }
}
