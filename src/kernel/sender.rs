//! Who sent a datagram.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::peer::{Credentials, Peer};

/// The sender of a datagram, and the recipient of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// Over UDP: its address. Port 0 is never answered.
    Inet(SocketAddr),
    /// Over a Unix socket: the sender of the last datagram, which the socket keeps until it receives another.
    Unix,
    /// Over a Unix socket: a sender that is never answered; the text is the name of its counter.
    Unanswerable(&'static str),
}

impl Sender {
    /// The sender of a datagram of the internet without an address.
    pub(crate) const UNKNOWN: Self = Self::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
}

impl From<Sender> for Peer {
    /// The kernel does not name the process that sent a Unix datagram.
    fn from(sender: Sender) -> Self {
        match sender {
            Sender::Inet(address) => address.into(),
            Sender::Unix | Sender::Unanswerable(_) => Credentials::default().into(),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Peer::from(*self).fmt(f)
    }
}
