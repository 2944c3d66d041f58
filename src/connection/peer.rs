//! The address of a peer in half the bytes of a [`SocketAddr`].

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Sixteen bytes, where a [`SocketAddr`] takes thirty-two: most peers of a crowd have IPv4 addresses.
pub(super) enum Peer {
    V4(Ipv4Addr, u16),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::V4(address, port) => SocketAddr::V4(SocketAddrV4::new(*address, *port)),
            Self::V6(address) => SocketAddr::V6(**address),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(*address.ip(), address.port()),
            SocketAddr::V6(address) => Self::V6(Box::new(address)),
        }
    }
}
