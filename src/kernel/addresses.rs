//! From a configured address to socket addresses that can be bound, and back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use nix::net::if_::if_nametoindex;

use crate::address::{Address, Family, Listen, Transport};

/// Returns the addresses to try, in order, and whether an IPv6 socket takes IPv4 as well. Looks up host names, which
/// may block: called at the start, and by a worker at a reload.
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
    if let Some((address, zone)) = host.split_once('%')
        && let Ok(address) = address.parse()
    {
        return Ok((vec![SocketAddrV6::new(address, listen.port, 0, interface(zone)?).into()], false));
    }
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

/// Returns the index of the interface that a zone names or numbers (RFC 4007, section 11).
fn interface(zone: &str) -> io::Result<u32> {
    let by_name = |_| {
        let missing = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("there is no interface {zone}"));
        if_nametoindex(zone).map_err(|_| missing())
    };
    zone.parse().or_else(by_name)
}

/// Returns an address as it is written in a configuration: `tcp://127.0.0.1:5656`. The IPv6-only wildcard is
/// `tcp6://[::]:5656`, because `tcp://[::]:5656` is the wildcard of both families.
pub(crate) fn url(transport: Transport, family: Option<Family>, address: &Address) -> String {
    let scheme = match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Unix => "unix",
        Transport::UnixDatagram => "unixgram",
    };
    let address = match address {
        Address::Inet(address) => address,
        Address::Unix(address) => return format!("{scheme}:{address}"),
    };
    let only = if family == Some(Family::V6) && address.ip().is_unspecified() { "6" } else { "" };
    format!("{scheme}{only}://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_an_interface_by_name_or_by_number() {
        let index = |text: &str| {
            let listen: Listen = text.parse().expect("an address");
            resolve(&listen).map(|(addresses, _)| addresses)
        };
        let local = |scope| SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 80, 0, scope));
        assert_eq!(index("tcp://[fe80::1%7]:80").expect("a number"), [local(7)]);
        let name = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        let number = if_nametoindex(name).expect("a loopback interface");
        assert_eq!(index(&format!("tcp://[fe80::1%{name}]:80")).expect("a name"), [local(number)]);
        let error = index("tcp://[fe80::1%nowhere]:80").expect_err("no such interface");
        assert_eq!(error.to_string(), "there is no interface nowhere");
    }

    #[test]
    fn a_printed_address_is_read_as_the_same_listener() {
        for text in ["tcp://:80", "tcp4://:80", "tcp6://:80", "udp6://:80", "tcp6://[::1]:80", "udp://[fe80::1%7]:80"] {
            let listen: Listen = text.parse().expect("an address");
            let (addresses, both_families) = resolve(&listen).expect("its addresses");
            let printed: Listen =
                url(listen.transport, listen.family, &addresses[0].into()).parse().expect("an address");
            let again = resolve(&printed).expect("its addresses");
            assert_eq!((again.0[0], again.1), (addresses[0], both_families), "{text}: {printed}");
        }
    }
}
