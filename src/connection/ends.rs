//! Both ends of a connection, made up when its protocol asks.

use std::net::SocketAddr;

use super::line::Line;
use crate::kernel::Transport;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::Ends;

pub(super) struct OfConnection<'a, T> {
    pub(super) peer: &'a PackedPeer,
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
