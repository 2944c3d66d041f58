use std::fmt::{self, Display, Formatter};
use std::net::{SocketAddr, ToSocketAddrs};

use super::failure::{Context, Failure, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// Where a server listens, such as `tcp://127.0.0.1:5656`, `tcp://[::1]:5656` or `udp://localhost:5656`.
#[derive(Clone)]
pub(crate) struct Url {
    pub(crate) transport: Transport,
    host_and_port: String,
}

impl Url {
    /// All addresses of the host, at least one.
    ///
    /// A look-up waits for the name server. Here that's no harm: it happens once, and there is nothing else to do yet.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let addresses = self.host_and_port.to_socket_addrs().context(format_args!("cannot find {self}"))?;
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return Failure::because(format!("cannot find {self}: the name has no address"));
        }
        Ok(addresses)
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.transport.scheme(), self.host_and_port)
    }
}

impl Transport {
    fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp://",
            Self::Udp => "udp://",
        }
    }
}

/// A parser of command line arguments, for clients that speak these transports.
pub(crate) fn url_of(
    spoken: &'static [Transport],
) -> impl Fn(&str) -> std::result::Result<Url, String> + Clone + Send + Sync + 'static {
    |text| {
        parse(text).filter(|url| spoken.contains(&url.transport)).ok_or_else(|| {
            let forms: Vec<_> = spoken.iter().map(|transport| format!("{}HOST:PORT", transport.scheme())).collect();
            format!("expected {}", forms.join(" or "))
        })
    }
}

fn parse(text: &str) -> Option<Url> {
    let tcp = text.strip_prefix(Transport::Tcp.scheme()).map(|rest| (Transport::Tcp, rest));
    let udp = text.strip_prefix(Transport::Udp.scheme()).map(|rest| (Transport::Udp, rest));
    let (transport, host_and_port) = tcp.or(udp)?;
    let (host, port) = host_and_port.rsplit_once(':')?;
    let is_whole = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_whole.then(|| Url { transport, host_and_port: host_and_port.into() })
}
