//! The proxies of the connections of a listener.

use std::collections::HashMap;
use std::fmt;

use crate::peer::PackedPeer;
use crate::token::ConnectionId;

/// The proxy of each connection that has come through one. A connection that came without takes no memory here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(HashMap<ConnectionId, Option<PackedPeer>>);

impl Proxies {
    /// Notes that a connection has come through `proxy`; `None` if the proxy itself has connected, to see whether the server is
    /// there.
    pub(crate) fn note(&mut self, id: ConnectionId, proxy: Option<PackedPeer>) {
        self.0.insert(id, proxy);
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        if !self.0.is_empty() {
            self.0.remove(&id);
        }
    }

    /// Returns the proxy of a connection.
    pub(crate) fn of(&self, id: ConnectionId) -> Option<PackedPeer> {
        self.0.get(&id).copied().flatten()
    }

    /// Whether a proxy itself has connected.
    pub(crate) fn is_itself(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_some_and(Option::is_none)
    }

    /// Returns what a line of the log says beside the peer: ` via 10.0.0.1:40000`, or nothing.
    pub(crate) fn beside(&self, id: ConnectionId) -> impl fmt::Display {
        Beside(self.of(id))
    }

    /// Returns the connections that have come through a proxy, or that a proxy has made for itself.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.0.keys().copied()
    }
}

struct Beside(Option<PackedPeer>);

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |proxy| write!(f, " via {proxy}"))
    }
}
