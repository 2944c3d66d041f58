//! The two addresses of a connection, found out only when its protocol asks.

use std::net::SocketAddr;

use super::line::Line;
use crate::kernel::Transport;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::Ends;

/// The [`Ends`] of a connection.
pub(super) struct OfConnection<'a, T> {
    /// The peer.
    pub(super) peer: &'a PackedPeer,
    /// The socket, which is asked for its local address.
    pub(super) line: &'a Line<T>,
}

impl<T: Transport> Ends for OfConnection<'_, T> {
    fn peer(&self) -> Peer {
        self.peer.unpack()
    }

    fn local(&self) -> Option<SocketAddr> {
        self.line.local_address()
    }
}
