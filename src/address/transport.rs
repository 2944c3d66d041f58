//! Transports.

use std::fmt;

/// The transport of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// Streams of the internet.
    Tcp,
    /// Datagrams of the internet.
    Udp,
    /// Streams between processes of one machine (`unix(7)`, `SOCK_STREAM`).
    Unix,
    /// Datagrams between processes of one machine (`unix(7)`, `SOCK_DGRAM`).
    UnixDatagram,
}

impl Transport {
    /// Whether it carries streams, so that there are connections; if not, it carries datagrams.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }

    /// Whether it works within one machine.
    #[must_use]
    pub const fn is_unix(self) -> bool {
        matches!(self, Self::Unix | Self::UnixDatagram)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unix => "Unix streams",
            Self::UnixDatagram => "Unix datagrams",
        })
    }
}
