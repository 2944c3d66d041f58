//! From what a configuration says to an address that can be bound, and back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::config::{Family, Listen, Transport};

/// The addresses to try, in order, and whether IPv6 shall take IPv4 as well. Host names are looked up, which may block:
/// this is for the start.
pub(crate) fn resolve(listen: &Listen) -> io::Result<(Vec<SocketAddr>, bool)> {
    let Some(host) = &listen.host else {
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port);
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), listen.port);
        return Ok(match listen.family {
            Some(Family::V4) => (vec![v4], false),
            Some(Family::V6) => (vec![v6], false),
            None => (vec![v6, v4], true),
        });
    };
    let addresses = (host.as_str(), listen.port).to_socket_addrs()?;
    let first = addresses.into_iter().find(|address| match listen.family {
        Some(Family::V4) => address.is_ipv4(),
        Some(Family::V6) => address.is_ipv6(),
        None => true,
    });
    first
        .map(|address| (vec![address], false))
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address of this family"))
}

/// An address as a configuration would say it: `tcp://127.0.0.1:5656`.
pub(crate) fn url(transport: Transport, address: SocketAddr) -> String {
    match transport {
        Transport::Tcp => format!("tcp://{address}"),
        Transport::Udp => format!("udp://{address}"),
    }
}
