//! The proxy of a connection, for its protocol.

use super::Context;
use crate::peer::{PackedPeer, Peer};

impl Context<'_> {
    /// Returns the proxy through which the peer has come, if the listener has proxies in front (`proxy_protocol` of the
    /// configuration) and one has named the peer. The proxy is the other end of the socket.
    #[must_use]
    pub fn proxy(&self) -> Option<Peer> {
        self.place.site.proxies.of(self.place.id).map(PackedPeer::unpack)
    }
}
