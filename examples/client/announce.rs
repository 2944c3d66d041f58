//! The PROXY header that a client sends first, as if it were the proxy of another client.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use mio::net::TcpStream;
use reactor::proxy::Header;

/// What the connections of a client announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announce {
    is_version_1: bool,
    /// The address of the announced client; `None` for this machine itself.
    source: Option<IpAddr>,
}

impl FromStr for Announce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, source) = text.split_once('=').map_or((text, None), |(version, source)| (version, Some(source)));
        let is_version_1 = match version {
            "v1" => true,
            "v2" => false,
            _ => return Err("expected v1 or v2, or one of them and an IP address, as in v2=192.0.2.7".to_owned()),
        };
        let source = source.map(str::parse).transpose().map_err(|_| "expected an IP address after \"=\"")?;
        Ok(Self { is_version_1, source })
    }
}

impl Display for Announce {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_version_1 { "v1" } else { "v2" })?;
        self.source.map_or(Ok(()), |source| write!(f, "={source}"))
    }
}

impl Announce {
    /// Sends the header on a connection that is new, so that the kernel has room for all of it.
    pub(crate) fn send(self, stream: &mut TcpStream) -> io::Result<()> {
        // Both ends of a Unix socket have no internet address.
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?))).ok();
        let header = match (ends, self.source) {
            (Some((local, to)), source) => {
                Header::of(SocketAddr::new(source.unwrap_or_else(|| local.ip()), local.port()), to)
            }
            (None, Some(source)) => Header::of(SocketAddr::new(source, 0), SocketAddr::new(source, 0)),
            (None, None) => Header::Unknown,
        };
        let bytes = if self.is_version_1 { header.version_1() } else { header.version_2() };
        stream.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_and_perhaps_an_address_are_announced() {
        assert_eq!("v1".parse(), Ok(Announce { is_version_1: true, source: None }));
        let source = Some([192, 0, 2, 7].into());
        assert_eq!("v2=192.0.2.7".parse(), Ok(Announce { is_version_1: false, source }));
        for text in ["v1", "v2=192.0.2.7", "v2=::1"] {
            assert_eq!(text.parse::<Announce>().map(|announce| announce.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "v3", "v1=", "v1=host", "=::1"] {
            assert!(text.parse::<Announce>().is_err(), "{text}");
        }
    }
}
