//! The header by which a proxy names its client: the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! The reader is strict: it takes what the specification allows, and nothing else. So no two readers of one header can name
//! two clients.
//!
//! ```
//! use reactor::proxy::{Header, read};
//!
//! let received = b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 80\r\nhello";
//! let (header, bytes) = read(received)?.expect("a whole header");
//! assert_eq!(header.source(), Some(([192, 0, 2, 7], 40000).into()));
//! assert_eq!(&received[bytes..], b"hello");
//! assert_eq!(read(&received[..20]), Ok(None));
//!
//! let sent = header.version_2();
//! assert_eq!(read(&sent), Ok(Some((header, sent.len()))));
//! # Ok::<(), reactor::proxy::Wrong>(())
//! ```

mod crc32c;
mod line;
mod records;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// What a header says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Header {
    /// The proxy itself connected, for example to check whether the server is there (`LOCAL`).
    Local,
    /// The proxy does not name its client by an internet address: `UNKNOWN`, `AF_UNSPEC`, or a client on a Unix socket.
    Unknown,
    /// The client has an internet address. Addresses of two families are written as two of IPv6.
    Client {
        /// The address of the client.
        source: SocketAddr,
        /// The address that the client reached.
        destination: SocketAddr,
    },
}

/// Why bytes are not a header. The text is the same whatever the bytes were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong(&'static str);

impl Wrong {
    /// Returns what is wrong, in a few words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Wrong {}

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of version 2 before the addresses: the signature, version and command, family, and the length of the rest.
const FIXED_BYTES: usize = 16;
/// The family and the protocol of version 2: streams over IPv4.
const TCP_OVER_IPV4: u8 = 0x11;
/// Streams over IPv6.
const TCP_OVER_IPV6: u8 = 0x21;
/// Unix streams.
const UNIX_STREAM: u8 = 0x31;

/// Reads the header at the beginning of `received`. Returns it with the number of its bytes, or `None` if it is not complete.
///
/// # Errors
/// The bytes are not the beginning of a header, or of one that is too long.
pub fn read(received: &[u8]) -> Result<Option<(Header, usize)>, Wrong> {
    let begins = |text: &[u8]| {
        let common = received.len().min(text.len());
        received[..common] == text[..common]
    };
    if begins(SIGNATURE) {
        read_binary(received)
    } else if begins(line::BEGIN) {
        line::read(received)
    } else {
        Err(Wrong("no header"))
    }
}

/// Reads a header of version 2, as far as it has arrived.
fn read_binary(received: &[u8]) -> Result<Option<(Header, usize)>, Wrong> {
    let local = match received.get(SIGNATURE.len()) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Wrong("version or command")),
    };
    let Some(fixed) = received.get(..FIXED_BYTES) else { return Ok(None) };
    let bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let address_bytes = match fixed[13] {
        // "The receiver must discard the protocol block including the family which is ignored."
        _ if local => 0,
        0 => 0,
        TCP_OVER_IPV4 => 12,
        TCP_OVER_IPV6 => 36,
        UNIX_STREAM => 216,
        _ => return Err(Wrong("family")),
    };
    if bytes > PROXY_HEADER_BYTES_MAX {
        return Err(Wrong("too long"));
    }
    if bytes < FIXED_BYTES + address_bytes {
        return Err(Wrong("no addresses"));
    }
    let Some(whole) = received.get(..bytes) else { return Ok(None) };
    let (addresses, rest) = whole[FIXED_BYTES..].split_at(address_bytes);
    let header = match fixed[13] {
        _ if local => Header::Local,
        TCP_OVER_IPV4 => client(4, addresses, |octets| Ipv4Addr::from(array::<4>(octets)).into()),
        TCP_OVER_IPV6 => client(16, addresses, |octets| Ipv6Addr::from(array::<16>(octets)).into()),
        _ => Header::Unknown,
    };
    if address_bytes > 0 {
        records::check(whole, rest)?;
    }
    Ok(Some((header, bytes)))
}

/// Reads two addresses of `width` bytes, and their ports.
fn client(width: usize, addresses: &[u8], ip: impl Fn(&[u8]) -> std::net::IpAddr) -> Header {
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    Header::Client {
        source: SocketAddr::new(ip(&addresses[..width]), port(2 * width)),
        destination: SocketAddr::new(ip(&addresses[width..2 * width]), port(2 * width + 2)),
    }
}

/// Returns the first `N` bytes.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| bytes[index])
}

impl Header {
    /// Makes the header of a client. Both addresses become IPv6 if one is.
    #[must_use]
    pub fn of(source: SocketAddr, destination: SocketAddr) -> Self {
        let wide = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            v6 @ SocketAddr::V6(_) => v6,
        };
        if source.is_ipv4() == destination.is_ipv4() {
            Self::Client { source, destination }
        } else {
            Self::Client { source: wide(source), destination: wide(destination) }
        }
    }

    /// No version has a header for addresses of two families.
    fn in_one_family(&self) -> Self {
        match *self {
            Self::Client { source, destination } => Self::of(source, destination),
            other => other,
        }
    }

    /// Returns the address of the client, if the header has it.
    #[must_use]
    pub const fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Client { source, .. } => Some(*source),
            Self::Local | Self::Unknown => None,
        }
    }

    /// Returns the header as version 1: a line. Version 1 has no `LOCAL`, so that becomes `UNKNOWN`.
    #[must_use]
    pub fn version_1(&self) -> Vec<u8> {
        match self.in_one_family() {
            Self::Local | Self::Unknown => b"PROXY UNKNOWN\r\n".to_vec(),
            Self::Client { source, destination } => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
            }
        }
    }

    /// Returns the header as version 2: bytes.
    #[must_use]
    pub fn version_2(&self) -> Vec<u8> {
        let header = self.in_one_family();
        let (command, family) = match header {
            Self::Local => (0x20, 0),
            Self::Unknown => (0x21, 0),
            Self::Client { source: SocketAddr::V4(_), .. } => (0x21, TCP_OVER_IPV4),
            Self::Client { source: SocketAddr::V6(_), .. } => (0x21, TCP_OVER_IPV6),
        };
        let mut addresses = Vec::new();
        if let Self::Client { source, destination } = header {
            for address in [source, destination] {
                match address {
                    SocketAddr::V4(v4) => addresses.extend_from_slice(&v4.ip().octets()),
                    SocketAddr::V6(v6) => addresses.extend_from_slice(&v6.ip().octets()),
                }
            }
            addresses.extend_from_slice(&source.port().to_be_bytes());
            addresses.extend_from_slice(&destination.port().to_be_bytes());
        }
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, &addresses].concat()
    }
}

#[cfg(test)]
mod tests;
