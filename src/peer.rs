//! The peer of a connection: an internet address, or the process behind a Unix socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The other end of a connection, or the sender of a datagram.
///
/// ```
/// use std::net::SocketAddr;
/// use reactor::protocol::Peer;
///
/// let peer = Peer::from("[::ffff:192.0.2.1]:4000".parse::<SocketAddr>()?);
/// assert_eq!(peer.to_string(), "192.0.2.1:4000");
/// assert_eq!(peer.ip(), Some([192, 0, 2, 1].into()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// Over TCP or UDP: the address (`accept(2)`, `recvfrom(2)`), never an IPv4-mapped one.
    Inet(SocketAddr),
    /// Over a Unix socket: the process that connected (`unix(7)`, `SO_PEERCRED`).
    Unix(Credentials),
}

/// A process of this machine, as far as the kernel reports it. It is the process that connected; another process that
/// inherited the socket may be writing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// The process ID.
    pub pid: Option<u32>,
    /// The effective user ID.
    pub uid: Option<u32>,
    /// The effective group ID.
    pub gid: Option<u32>,
}

impl Credentials {
    /// Makes the credentials of a process; `None` for an unknown ID.
    #[must_use]
    pub const fn new(pid: Option<u32>, uid: Option<u32>, gid: Option<u32>) -> Self {
        Self { pid, uid, gid }
    }
}

impl Peer {
    /// The internet address and the port; `None` over a Unix socket.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Inet(address) => Some(*address),
            Kind::Unix(_) => None,
        }
    }

    /// The internet address without the port; `None` over a Unix socket. The address of an IPv4 peer is IPv4, also if
    /// the listener is for both families.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Inet(address) => Some(address.ip()),
            Kind::Unix(_) => None,
        }
    }

    /// The process of the peer over a Unix socket; `None` over TCP and UDP.
    #[must_use]
    pub const fn credentials(&self) -> Option<Credentials> {
        match &self.0 {
            Kind::Inet(_) => None,
            Kind::Unix(credentials) => Some(*credentials),
        }
    }
}

impl Peer {
    /// Whether it is a process of this machine, over a Unix socket.
    pub(crate) const fn is_process(&self) -> bool {
        matches!(self.0, Kind::Unix(_))
    }
}

/// Converts an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2), as a listener for both families reports it, to IPv4.
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self(Kind::Inet(canonical(address)))
    }
}

/// Returns the address; an IPv4-mapped IPv6 address becomes IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = address
        && let Some(v4) = v6.ip().to_ipv4_mapped()
    {
        return SocketAddrV4::new(v4, v6.port()).into();
    }
    address
}

impl From<Credentials> for Peer {
    fn from(credentials: Credentials) -> Self {
        Self(Kind::Unix(credentials))
    }
}

/// `192.0.2.1:4000`, or `unix:pid=812,uid=1000,gid=1000` with the known IDs. Contains no space.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Inet(address) => write!(f, "{address}"),
            Kind::Unix(Credentials { pid, uid, gid }) => {
                f.write_str("unix")?;
                let mut before = ':';
                for (name, number) in [("pid", pid), ("uid", uid), ("gid", gid)] {
                    if let Some(number) = number {
                        write!(f, "{before}{name}={number}")?;
                        before = ',';
                    }
                }
                Ok(())
            }
        }
    }
}

/// A [`Peer`] in 19 bytes, because each connection and many records of the X-ray contain one.
///
/// Two fields that no answer needs are lost: the flow label of an IPv6 address, and the scope of an address that is not
/// link-local (RFC 4291, 2.5.6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PackedPeer(Packed);

/// The parts as bytes, so that it needs no alignment. `[u8; 2]` is a port, `[u8; 4]` a number or an IPv4 address.
/// Numbers are in native byte order, addresses in network byte order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packed {
    V4([u8; 4], [u8; 2]),
    V6([u8; 16], [u8; 2]),
    /// A link-local address; octets 4 to 7, which are zero, hold the scope.
    V6OnLink([u8; 16], [u8; 2]),
    Unix {
        pid: Option<[u8; 4]>,
        uid: Option<[u8; 4]>,
        gid: Option<[u8; 4]>,
    },
}

/// The position of the scope in the octets of a link-local address. In the address itself these are zero.
const SCOPE: std::ops::Range<usize> = 4..8;

impl PackedPeer {
    /// Returns the peer.
    #[must_use]
    pub fn unpack(self) -> Peer {
        let port = u16::from_ne_bytes;
        let v6 = |octets: [u8; 16], port, scope| SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope);
        Peer(match self.0 {
            Packed::V4(octets, at) => Kind::Inet(SocketAddrV4::new(Ipv4Addr::from(octets), port(at)).into()),
            Packed::V6(octets, at) => Kind::Inet(v6(octets, port(at), 0).into()),
            Packed::V6OnLink(mut octets, at) => {
                let mut scope = [0; 4];
                scope.swap_with_slice(&mut octets[SCOPE]);
                Kind::Inet(v6(octets, port(at), u32::from_ne_bytes(scope)).into())
            }
            Packed::Unix { pid, uid, gid } => {
                let [pid, uid, gid] = [pid, uid, gid].map(|number| number.map(u32::from_ne_bytes));
                Kind::Unix(Credentials { pid, uid, gid })
            }
        })
    }
}

impl From<&Peer> for PackedPeer {
    fn from(peer: &Peer) -> Self {
        Self(match &peer.0 {
            Kind::Inet(SocketAddr::V4(v4)) => Packed::V4(v4.ip().octets(), v4.port().to_ne_bytes()),
            Kind::Inet(SocketAddr::V6(v6)) => {
                let (mut octets, port) = (v6.ip().octets(), v6.port().to_ne_bytes());
                if v6.ip().is_unicast_link_local() && octets[SCOPE] == [0; 4] {
                    octets[SCOPE].copy_from_slice(&v6.scope_id().to_ne_bytes());
                    Packed::V6OnLink(octets, port)
                } else {
                    Packed::V6(octets, port)
                }
            }
            Kind::Unix(Credentials { pid, uid, gid }) => {
                let [pid, uid, gid] = [pid, uid, gid].map(|number| number.map(u32::to_ne_bytes));
                Packed::Unix { pid, uid, gid }
            }
        })
    }
}

impl fmt::Debug for PackedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

impl fmt::Display for PackedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> Peer {
        Peer::from(text.parse::<SocketAddr>().expect("an address"))
    }

    #[test]
    fn a_packed_peer_takes_19_bytes_anywhere() {
        assert_eq!((size_of::<PackedPeer>(), align_of::<PackedPeer>()), (19, 1));
    }

    #[test]
    fn packing_preserves_a_peer() {
        let on_link = |scope| SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), 80, 0, scope);
        let unix = |pid| Peer::from(Credentials::new(pid, Some(0), None));
        let peers = [
            inet("192.0.2.1:80"),
            inet("[2001:db8:1:2:3:4:5:6]:65535"),
            // Not the address of a peer, but it must not change either.
            inet("[ff02::1]:0"),
            inet("[fe80:0:1:2:3:4:5:6]:80"),
            Peer::from(SocketAddr::from(on_link(0))),
            Peer::from(SocketAddr::from(on_link(u32::MAX))),
            unix(None),
            unix(Some(u32::MAX)),
        ];
        for peer in peers {
            assert_eq!(PackedPeer::from(&peer).unpack(), peer);
        }
    }

    #[test]
    fn an_ipv4_peer_of_a_listener_for_both_families_is_an_ipv4_peer() {
        assert_eq!(inet("[::ffff:192.0.2.1]:80"), inet("192.0.2.1:80"));
        assert_eq!(inet("[::ffff:192.0.2.1]:80").ip(), Some([192, 0, 2, 1].into()));
    }

    #[test]
    fn a_displayed_peer_has_no_space() {
        assert_eq!(inet("[2001:db8::1]:80").to_string(), "[2001:db8::1]:80");
        let all = Credentials::new(Some(812), Some(1000), Some(100));
        for (credentials, text) in [
            (all, "unix:pid=812,uid=1000,gid=100"),
            (Credentials { pid: None, ..all }, "unix:uid=1000,gid=100"),
            (Credentials::default(), "unix"),
        ] {
            assert_eq!(Peer::from(credentials).to_string(), text);
        }
    }

    #[test]
    fn an_internet_peer_has_an_address_and_a_unix_peer_credentials() {
        let credentials = Credentials::new(Some(1), None, None);
        let unix = Peer::from(credentials);
        assert_eq!((unix.address(), unix.ip(), unix.credentials()), (None, None, Some(credentials)));
        let peer = inet("192.0.2.1:80");
        let address = "192.0.2.1:80".parse().ok();
        assert_eq!((peer.address(), peer.ip(), peer.credentials()), (address, Some([192, 0, 2, 1].into()), None));
    }
}
