//! Addresses to listen on: `tcp://127.0.0.1:5656`.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::units::{Expected, from_string};

/// An address to listen on: `tcp://127.0.0.1:5656`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listen {
    /// TCP or UDP.
    pub transport: Transport,
    /// `tcp4`, `udp6`: the only family allowed.
    pub family: Option<Family>,
    /// An IP address (IPv6 without brackets) or a host name; `None` for every address of the machine, of `family` or, if
    /// that is not given, of both families.
    pub host: Option<String>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
}

/// The transport of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

const SCHEMES: [(&str, Transport, Option<Family>); 6] = [
    ("tcp", Transport::Tcp, None),
    ("tcp4", Transport::Tcp, Some(Family::V4)),
    ("tcp6", Transport::Tcp, Some(Family::V6)),
    ("udp", Transport::Udp, None),
    ("udp4", Transport::Udp, Some(Family::V4)),
    ("udp6", Transport::Udp, Some(Family::V6)),
];

const ADDRESS: Expected = Expected("an address such as \"tcp://127.0.0.1:5656\"");
const HOST: Expected = Expected("an IP address or a host name before the port, or nothing for every address");

impl Listen {
    /// `tcp`, `tcp4`, `tcp6`, `udp`, `udp4` or `udp6`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        SCHEMES
            .iter()
            .find(|(_, transport, family)| *transport == self.transport && *family == self.family)
            .map_or("tcp", |(scheme, ..)| scheme)
    }

    /// Transport, host and port: what two listeners on one address have in common.
    pub(super) fn socket(&self) -> (Transport, String, u16) {
        let every = self.ip().map_or_else(|| self.host.is_none(), |ip| ip.is_unspecified());
        let host = if every { "every address".into() } else { self.host_or_every().to_ascii_lowercase() };
        (self.transport, host, self.port)
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.as_ref()?.parse().ok()
    }

    /// The only family that it takes, if there is one: an IP address has its own.
    fn only_family(&self) -> Option<Family> {
        match self.ip() {
            Some(IpAddr::V4(_)) => Some(Family::V4),
            Some(IpAddr::V6(_)) => Some(Family::V6),
            None => self.family,
        }
    }

    /// Whether both can only be one address. Port 0 is never the same; host names are not looked up.
    pub(super) fn collides(&self, other: &Self) -> bool {
        self.port != 0
            && self.socket() == other.socket()
            && match (self.only_family(), other.only_family()) {
                (Some(one), Some(another)) => one == another,
                _ => true,
            }
    }

    fn host_or_every(&self) -> Cow<'_, str> {
        match (&self.host, self.family) {
            (Some(host), _) => host.into(),
            (None, Some(Family::V4)) => Ipv4Addr::UNSPECIFIED.to_string().into(),
            (None, _) => Ipv6Addr::UNSPECIFIED.to_string().into(),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// The URL. Every address of both families is `[::]`, which means the same when it is read.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host_or_every();
        if host.contains(':') {
            write!(f, "{}://[{host}]:{}", self.scheme(), self.port)
        } else {
            write!(f, "{}://{host}:{}", self.scheme(), self.port)
        }
    }
}

impl FromStr for Listen {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        let (_, transport, family) = *SCHEMES
            .iter()
            .find(|(known, ..)| *known == scheme)
            .ok_or(Expected("tcp, tcp4, tcp6, udp, udp4 or udp6 before \"://\""))?;
        let (host, port) = rest
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'))
            .ok_or(Expected("a port at the end, after \":\""))?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Expected("a port from 0 to 65535 at the end"));
        }
        let port = port.parse().map_err(|_| Expected("a port from 0 to 65535 at the end"))?;
        Ok(Self { transport, family, host: parse_host(host, family)?, port })
    }
}

/// The host in its usual spelling; `None` for every address of the family.
fn parse_host(host: &str, family: Option<Family>) -> Result<Option<String>, Expected> {
    if host.is_empty() {
        return Ok(None);
    }
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => IpAddr::V6(inner.parse().map_err(|_| Expected("an IPv6 address in the brackets"))?),
        None if host.contains(':') => {
            return Err(Expected("brackets around an IPv6 address, such as \"tcp://[::1]:5656\""));
        }
        None => match host.parse() {
            Ok(address) => IpAddr::V4(address),
            Err(_) if is_host_name(host) => return Ok(Some(host.to_owned())),
            Err(_) => return Err(HOST),
        },
    };
    match (address, family) {
        (IpAddr::V6(_), Some(Family::V4)) => Err(Expected("an IPv4 address or a host name after tcp4 and udp4")),
        (IpAddr::V4(_), Some(Family::V6)) => Err(Expected("an IPv6 address or a host name after tcp6 and udp6")),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(_)) | (IpAddr::V6(Ipv6Addr::UNSPECIFIED), _) => Ok(None),
        _ => Ok(Some(address.to_string())),
    }
}

/// RFC 1123, section 2.1: labels of letters, digits and hyphens, the last one not all digits, since that could only be an
/// IPv4 address. The underscore is not allowed there, but found in practice.
fn is_host_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253
        && name.split('.').all(is_label)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, ADDRESS)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Listen {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let schemes = SCHEMES.map(|(scheme, ..)| scheme).join("|");
        let pattern = format!("^({schemes})://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])?:[0-9]+$");
        json_schema!({ "type": "string", "pattern": pattern, "examples": ["tcp://127.0.0.1:5656"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        text.parse().unwrap_or_else(|expected| panic!("{text}: {expected}"))
    }

    #[test]
    fn what_prints_parses_to_the_same() {
        for (written, printed) in [
            ("tcp://127.0.0.1:5656", "tcp://127.0.0.1:5656"),
            ("udp4://127.0.0.1:0", "udp4://127.0.0.1:0"),
            ("tcp://[::1]:5656", "tcp://[::1]:5656"),
            ("tcp6://[2001:DB8:0::1]:80", "tcp6://[2001:db8::1]:80"),
            ("tcp://localhost:80", "tcp://localhost:80"),
            ("tcp://:8330", "tcp://[::]:8330"),
            ("tcp://[::]:8330", "tcp://[::]:8330"),
            ("tcp4://:8330", "tcp4://0.0.0.0:8330"),
            ("udp6://:8330", "udp6://[::]:8330"),
            ("tcp://0.0.0.0:8330", "tcp://0.0.0.0:8330"),
        ] {
            assert_eq!(listen(written).to_string(), printed);
            assert_eq!(listen(printed), listen(written));
        }
    }

    #[test]
    fn no_host_means_every_address_and_so_do_two_colons_in_brackets() {
        assert_eq!(listen("tcp://:8330").host, None);
        assert_eq!(listen("tcp://[::]:8330").host, None);
        assert_eq!(listen("tcp://0.0.0.0:8330").host.as_deref(), Some("0.0.0.0"));
    }

    #[test]
    fn an_address_that_cannot_be_one_is_refused() {
        for text in [
            "",
            "tcp",
            "tcp:",
            "tcp://",
            "127.0.0.1:80",
            "http://127.0.0.1:80",
            "TCP://127.0.0.1:80",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:",
            "tcp://127.0.0.1:+80",
            "tcp://127.0.0.1:65536",
            "tcp://127.0.0.1:80/",
            "tcp://::1:80",
            "tcp://[::1]",
            "tcp://[::1",
            "tcp://[127.0.0.1]:80",
            "tcp://127.0.0.256:80",
            "tcp://127.1:80",
            "tcp4://[::1]:80",
            "tcp6://127.0.0.1:80",
            "tcp://a b:80",
            "tcp://-a:80",
            "tcp://a..b:80",
            "tcp://ä:80",
            "tcp://a\0:80",
            "tcp://user@host:80",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn two_spellings_of_one_address_collide() {
        for (one, other, expected) in [
            ("tcp://127.0.0.1:80", "tcp4://127.0.0.1:80", true),
            ("tcp://:80", "tcp6://[::]:80", true),
            ("tcp://LOCALHOST:80", "tcp://localhost:80", true),
            ("tcp://[::1]:80", "tcp://[0:0::1]:80", true),
            ("tcp4://0.0.0.0:80", "tcp://0.0.0.0:80", true),
            ("tcp://:80", "tcp4://0.0.0.0:80", true),
            ("tcp6://:80", "tcp://0.0.0.0:80", false),
            ("tcp://127.0.0.1:80", "udp://127.0.0.1:80", false),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.2:80", false),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:81", false),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", false),
            ("tcp4://:80", "tcp6://:80", false),
            ("tcp4://localhost:80", "tcp6://localhost:80", false),
        ] {
            assert_eq!(listen(one).collides(&listen(other)), expected, "{one} {other}");
            assert_eq!(listen(other).collides(&listen(one)), expected, "{other} {one}");
        }
    }
}
