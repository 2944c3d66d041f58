//! Links that the server has connected, whose other end the world plays.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::link::{Link, Pipe, ServerEnd};
use super::network::Network;
use super::openings::{Connecting, Opening};
use super::random::Random;
use crate::kernel::Readiness;

impl Network {
    /// Opens the link of a connect of the server to `address`. The other end is the client `number`; `relayed_for` is the client for
    /// which the server connects.
    pub(super) fn connect_out(
        &mut self,
        number: usize,
        address: SocketAddr,
        relayed_for: usize,
        random: &mut Random,
    ) -> usize {
        let mut capacity = || random.pick(&[300, 1000, 16 * 1024, 1024 * 1024]);
        let pipes = [Pipe::new(capacity()), Pipe::new(capacity())];
        self.links.push(Link {
            server: ServerEnd::Open,
            accepted_at: self.now,
            // The edge of the connect.
            edges_planned: 1,
            connecting: Some(Connecting::InProgress),
            relayed_for: Some(relayed_for),
            ..Link::new(number, address, pipes, Opening::Nothing)
        });
        self.awaited.push(false);
        self.links.len() - 1
    }

    /// Ends a connect.
    pub(super) fn connected(&mut self, link: usize, error: Option<Errno>) {
        let state = &mut self.links[link];
        state.edges_planned -= 1;
        state.connecting = error.map(Connecting::Failed);
        let failed = error.is_some();
        state.edge = Readiness { readable: failed, writable: true, in_doubt: failed };
        state.broken |= failed;
        self.note(|| format!("link {link}: the connect has ended: {error:?}"));
    }
}
