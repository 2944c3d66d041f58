use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use super::failure::{Context, Failure, Result};

/// What a protocol needs. A Unix socket has both as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One address of a server.
#[derive(Clone)]
pub(crate) enum Address {
    Inet(SocketAddr),
    Unix(UnixAddr),
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(address) => write!(f, "{address:?}"),
        }
    }
}

/// The schemes that the server prints; a digit allows one address family only.
const SCHEMES: [(&str, Transport, Option<Family>); 6] = [
    ("tcp", Transport::Tcp, None),
    ("tcp4", Transport::Tcp, Some(Family::V4)),
    ("tcp6", Transport::Tcp, Some(Family::V6)),
    ("udp", Transport::Udp, None),
    ("udp4", Transport::Udp, Some(Family::V4)),
    ("udp6", Transport::Udp, Some(Family::V6)),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Where a server listens, such as `tcp://127.0.0.1:5656`, `udp://localhost:5656`, `[::1]:5656` or `unix:///run/sum.sock`.
///
/// Without a scheme it is TCP, and without a host it is this machine: `:5656`, or a port alone.
#[derive(Clone)]
pub(crate) struct Url {
    pub(crate) transport: Transport,
    family: Option<Family>,
    /// Empty for this machine. An IPv6 address has no brackets here.
    host: String,
    port: u16,
    /// Of a Unix socket: an absolute path, or a name after `@`.
    unix: Option<String>,
}

impl Url {
    /// All addresses of the host, at least one.
    ///
    /// A look-up blocks until the name server answers. That is harmless here: it happens once, and there is nothing
    /// else to do yet.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>> {
        if let Some(unix) = &self.unix {
            let address = unix_address(unix).context(format_args!("cannot use {self}"))?;
            return Ok(vec![Address::Unix(address)]);
        }
        let mut addresses: Vec<SocketAddr> = if self.host.is_empty() {
            vec![(Ipv4Addr::LOCALHOST, self.port).into(), (Ipv6Addr::LOCALHOST, self.port).into()]
        } else {
            let found = (self.host.as_str(), self.port).to_socket_addrs();
            found.context(format_args!("cannot find {self}"))?.collect()
        };
        addresses.retain(|address| self.family.is_none_or(|family| address.is_ipv4() == (family == Family::V4)));
        if addresses.is_empty() {
            return Failure::because(format!("cannot find {self}: the name has no such address"));
        }
        Ok(addresses.into_iter().map(Address::Inet).collect())
    }

    /// Tries these addresses of the host in order, each once, and returns the first success.
    pub(crate) fn first_of<T>(
        &self,
        addresses: Vec<Address>,
        problem: &str,
        mut try_one: impl FnMut(&Address) -> io::Result<T>,
    ) -> Result<T> {
        let mut failures = Vec::new();
        for address in addresses {
            match try_one(&address) {
                Ok(made) => return Ok(made),
                Err(error) => failures.push(format!("{address}: {error}")),
            }
        }
        Failure::because(format!("{problem} {self}: {}", failures.join("; ")))
    }
}

/// Returns the address of a Unix socket: a name after `@` is an abstract one (`unix(7)`).
fn unix_address(text: &str) -> io::Result<UnixAddr> {
    match text.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => UnixAddr::from_abstract_name(name),
        #[cfg(not(target_os = "linux"))]
        Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names")),
        None => UnixAddr::from_pathname(text),
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(unix) = &self.unix {
            let scheme = if self.transport == Transport::Tcp { "unix" } else { "unixgram" };
            let slashes = if unix.starts_with('/') { "//" } else { "" };
            return write!(f, "{scheme}:{slashes}{unix}");
        }
        let is_ours = |&&(_, transport, family): &&_| (transport, family) == (self.transport, self.family);
        let scheme = SCHEMES.iter().find(is_ours).map_or("tcp", |(scheme, ..)| scheme);
        let Self { host, port, .. } = self;
        if host.contains(':') {
            return write!(f, "{scheme}://[{host}]:{port}");
        }
        write!(f, "{scheme}://{host}:{port}")
    }
}

/// A parser of command line arguments, for clients that use these transports.
pub(crate) fn url_of(
    spoken: &'static [Transport],
) -> impl Fn(&str) -> std::result::Result<Url, String> + Clone + Send + Sync + 'static {
    |text| {
        let url = parse(text)?;
        if !spoken.contains(&url.transport) {
            return Err("this protocol needs TCP: expected HOST:PORT".into());
        }
        Ok(url)
    }
}

fn parse(text: &str) -> std::result::Result<Url, &'static str> {
    if let Some((scheme @ ("unix" | "unixgram"), rest)) = text.split_once(':') {
        let unix = rest.strip_prefix("//").unwrap_or(rest).to_owned();
        if !unix.starts_with(['/', '@']) {
            return Err("expected an absolute path or a name after \"@\", as in unix:///run/sum.sock and unix:@sum");
        }
        let transport = if scheme == "unix" { Transport::Tcp } else { Transport::Udp };
        return Ok(Url { transport, family: None, host: String::new(), port: 0, unix: Some(unix) });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    let &(_, transport, family) = SCHEMES
        .iter()
        .find(|(known, ..)| *known == scheme)
        .ok_or("expected HOST:PORT, with tcp://, udp:// or nothing before it")?;
    let (host, port) = rest.rsplit_once(':').unwrap_or(("", rest));
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0);
    let port = port.ok_or("expected HOST:PORT, :PORT or PORT, where a port is a number from 1 to 65535")?;
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address,
        None if host.contains([':', '[', ']']) => {
            return Err("expected brackets around an IPv6 address, as in [::1]:5656");
        }
        None => host,
    };
    Ok(Url { transport, family, host: host.into(), port, unix: None })
}
