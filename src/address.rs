//! Addresses to listen on: `tcp://127.0.0.1:5656`, `unix:///run/sum.sock`.

pub(crate) mod access;
mod transport;
mod unix;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::transport::Transport;
pub use self::unix::UnixAddress;
use crate::units::{Expected, from_string};

/// An address to listen on: `tcp://127.0.0.1:5656`, `unix:///run/sum.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listen {
    /// The transport.
    pub transport: Transport,
    /// The only family allowed, as in `tcp4` and `udp6`; `None` for both.
    pub family: Option<Family>,
    /// An IP address (IPv6 without brackets, a link-local one with its zone: `fe80::1%eth0`) or a host name; `None` for
    /// every address of the machine, of `family` if it is given.
    pub host: Option<String>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// The name or the number of a socket that the service manager passes at the start, as in `fd:web` and `fd:3`. The other
    /// members then say nothing: the socket has its own transport and address.
    pub passed: Option<String>,
    /// The address of a Unix socket, which has no family, host and port.
    pub unix: Option<UnixAddress>,
}

/// The address that a listener is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// An internet address with its real port.
    Inet(SocketAddr),
    /// The address of a Unix socket.
    Unix(UnixAddress),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The schemes of the internet.
const SCHEMES: [(&str, Transport, Option<Family>); 6] = [
    ("tcp", Transport::Tcp, None),
    ("tcp4", Transport::Tcp, Some(Family::V4)),
    ("tcp6", Transport::Tcp, Some(Family::V6)),
    ("udp", Transport::Udp, None),
    ("udp4", Transport::Udp, Some(Family::V4)),
    ("udp6", Transport::Udp, Some(Family::V6)),
];

/// What an address begins with that names a passed socket.
const PASSED: &str = "fd";

const ADDRESS: Expected = Expected("an address such as \"tcp://127.0.0.1:5656\"");
const HOST: Expected = Expected("an IP address or a host name before the port, or nothing for every address");

impl Listen {
    /// Returns the scheme: `tcp`, `tcp4`, `tcp6`, `udp`, `udp4`, `udp6`, `unix` or `unixgram`; `fd` for a passed socket.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.passed.is_some() {
            return PASSED;
        }
        let is_ours = |(_, transport, family): &&(_, _, _)| (*transport, *family) == (self.transport, self.family);
        match self.transport {
            Transport::Unix => "unix",
            Transport::UnixDatagram => "unixgram",
            Transport::Tcp | Transport::Udp => SCHEMES.iter().find(is_ours).map_or("tcp", |(scheme, ..)| scheme),
        }
    }

    /// Whether this is the wildcard address of one family or of both.
    pub(super) fn is_every(&self) -> bool {
        self.passed.is_none() && self.ip().map_or_else(|| self.host.is_none(), |ip| ip.is_unspecified())
    }

    /// The host in one spelling, for comparison; empty for the wildcard. For a passed socket, the whole address.
    pub(super) fn host_key(&self) -> String {
        if self.passed.is_some() {
            return self.to_string();
        }
        if self.is_every() { String::new() } else { self.host_or_every().to_ascii_lowercase() }
    }

    fn ip(&self) -> Option<IpAddr> {
        let host = self.host.as_ref()?;
        host.split('%').next()?.parse().ok()
    }

    /// The only family of this address, if there is one: an IP address has its own.
    pub(super) fn only_family(&self) -> Option<Family> {
        match self.ip() {
            Some(IpAddr::V4(_)) => Some(Family::V4),
            Some(IpAddr::V6(_)) => Some(Family::V6),
            None => self.family,
        }
    }

    /// Returns the problem if this listener and `first`, which the sentence calls `name`, cannot both be bound; `None`
    /// if they can. Port 0 never clashes; host names are not looked up.
    ///
    /// A socket on the wildcard address takes all addresses. The BSDs allow another socket nevertheless
    /// (`SO_REUSEADDR`), Linux does not; a configuration is valid on every machine or on none.
    pub(super) fn clash(&self, first: &Self, name: &str) -> Option<String> {
        if self.passed.is_some() || first.passed.is_some() {
            let is_same = self.passed == first.passed;
            return is_same.then(|| format!("expected a socket of its own, found the socket of {name}"));
        }
        if let Some(unix) = &self.unix {
            // A path names one file; abstract names of streams and of datagrams are two name spaces (`unix(7)`).
            let is_one = matches!(unix, UnixAddress::Path(_)) || self.transport == first.transport;
            let clashes = is_one && first.unix.as_ref() == Some(unix);
            return clashes.then(|| format!("expected an address of its own, found the address of {name}"));
        }
        if self.port == 0 || (self.transport, self.port) != (first.transport, first.port) {
            return None;
        }
        let families = (self.only_family(), first.only_family());
        let may_share_family = !matches!(families, (Some(one), Some(other)) if one != other);
        let found = match (self.is_every(), first.is_every()) {
            (true, false) if meets(families.0, families.1) => {
                format!("every address, which includes the address of {name}")
            }
            (false, true) if meets(families.1, families.0) => format!("one of {name}, which listens on every address"),
            (every, first_every) if every == first_every && self.host_key() == first.host_key() && may_share_family => {
                format!("the address of {name}")
            }
            _ => return None,
        };
        Some(format!("expected an address of its own, found {found}"))
    }

    fn host_or_every(&self) -> Cow<'_, str> {
        match (&self.host, self.family) {
            (Some(host), _) => host.into(),
            (None, Some(Family::V4)) => Ipv4Addr::UNSPECIFIED.to_string().into(),
            (None, _) => Ipv6Addr::UNSPECIFIED.to_string().into(),
        }
    }
}

/// Whether the wildcard of `every` includes an address of the family `one`, as far as that is known.
fn meets(every: Option<Family>, one: Option<Family>) -> bool {
    every.is_none() || every == one
}

/// The URL. The wildcard of both families is `[::]`, which is read as the same.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.passed {
            return write!(f, "{PASSED}:{name}");
        }
        if let Some(unix) = &self.unix {
            return write!(f, "{}:{unix}", self.scheme());
        }
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
        if let Some(name) = text.strip_prefix(PASSED).and_then(|rest| rest.strip_prefix(':')) {
            let passed = Some(parse_passed(name)?);
            return Ok(Self { transport: Transport::Tcp, family: None, host: None, port: 0, passed, unix: None });
        }
        if let Some(parsed) = unix::parse(text) {
            let (transport, address) = parsed?;
            return Ok(Self { transport, family: None, host: None, port: 0, passed: None, unix: Some(address) });
        }
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        let (_, transport, family) = *SCHEMES
            .iter()
            .find(|(known, ..)| *known == scheme)
            .ok_or(Expected("tcp, tcp4, tcp6, udp, udp4, udp6, unix or unixgram before \"://\""))?;
        let (host, port) = rest
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'))
            .ok_or(Expected("a port at the end, after \":\""))?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Expected("a port from 0 to 65535 at the end"));
        }
        let port = port.parse().map_err(|_| Expected("a port from 0 to 65535 at the end"))?;
        Ok(Self { transport, family, host: parse_host(host, family)?, port, passed: None, unix: None })
    }
}

/// Returns the name of a passed socket, as `systemd.socket(5)` allows it (`FileDescriptorName=`).
fn parse_passed(name: &str) -> Result<String, Expected> {
    let is_in_name = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(is_in_name) && !name.starts_with("//") {
        return Ok(name.to_owned());
    }
    Err(Expected("after \"fd:\" the name or the number of a passed socket, such as \"fd:web\" or \"fd:3\""))
}

/// Returns the host in its usual spelling; `None` for the wildcard of the family.
fn parse_host(host: &str, family: Option<Family>) -> Result<Option<String>, Expected> {
    if host.is_empty() {
        return Ok(None);
    }
    let (address, zone) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => {
            let (address, zone) = inner.split_once('%').map_or((inner, None), |(address, zone)| (address, Some(zone)));
            let address = address.parse().map_err(|_| Expected("an IPv6 address in the brackets"))?;
            (IpAddr::V6(address), parse_zone(address, zone)?)
        }
        None if host.contains(':') => {
            return Err(Expected("brackets around an IPv6 address, such as \"tcp://[::1]:5656\""));
        }
        None => match host.parse() {
            Ok(address) => (IpAddr::V4(address), String::new()),
            Err(_) if is_host_name(host) => return Ok(Some(host.to_owned())),
            Err(_) => return Err(HOST),
        },
    };
    match (address, family) {
        (IpAddr::V6(_), Some(Family::V4)) => Err(Expected("an IPv4 address or a host name after tcp4 and udp4")),
        (IpAddr::V4(_), Some(Family::V6)) => Err(Expected("an IPv6 address or a host name after tcp6 and udp6")),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(_)) | (IpAddr::V6(Ipv6Addr::UNSPECIFIED), _) => Ok(None),
        _ => Ok(Some(format!("{address}{zone}"))),
    }
}

/// Returns the zone of an address with its `%` (RFC 4007, section 11): the name or the number of an interface. A
/// link-local address needs a zone, other addresses must not have one.
fn parse_zone(address: Ipv6Addr, zone: Option<&str>) -> Result<String, Expected> {
    const NAME_BYTES_MAX: usize = 15; // Linux, IFNAMSIZ; the BSDs have no more.
    if address.to_ipv4_mapped().is_some() {
        return Err(Expected("an IPv4 address as it is, such as \"127.0.0.1\" for \"[::ffff:127.0.0.1]\""));
    }
    let Some(zone) = zone else {
        let expected = Expected("a link-local address with its interface, such as \"[fe80::1%eth0]\"");
        return if needs_zone(address) { Err(expected) } else { Ok(String::new()) };
    };
    if !needs_zone(address) {
        return Err(Expected(
            "an interface after \"%\" only where the address is link-local, such as \"[fe80::1%eth0]\"",
        ));
    }
    let is_in_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%' | b'[' | b']');
    match zone.parse::<u32>() {
        Ok(1..) => Ok(format!("%{zone}")),
        Err(_) if (1..=NAME_BYTES_MAX).contains(&zone.len()) && zone.bytes().all(is_in_name) => Ok(format!("%{zone}")),
        _ => Err(Expected("the name or the number of an interface after \"%\"")),
    }
}

/// Whether an address is unique only on its link, so that it needs an interface (RFC 4291, sections 2.5.6 and 2.7).
fn needs_zone(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || matches!(address.segments()[0] & 0xff0f, 0xff01 | 0xff02)
}

/// Whether `host` is a host name (RFC 1123, section 2.1): labels of letters, digits and hyphens, the last not all
/// digits, because that would be an IPv4 address. Underscores, which the RFC does not allow, are accepted because they
/// occur in practice.
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
        let inet = format!("({schemes})://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+(%[^]/:%[]+)?\\])?:[0-9]+");
        let pattern = format!("^({inet}|{}|{PASSED}:[ -9;-~]{{1,255}})$", unix::PATTERN);
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
    fn a_printed_address_parses_to_the_same() {
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
            ("tcp://[fe80:0::1%eth0]:80", "tcp://[fe80::1%eth0]:80"),
            ("udp6://[FE80::1%2]:80", "udp6://[fe80::1%2]:80"),
            ("udp://[ff02::1%br-lan.7]:80", "udp://[ff02::1%br-lan.7]:80"),
            ("fd:web", "fd:web"),
            ("fd:3", "fd:3"),
            ("fd:a name/of.any~sort", "fd:a name/of.any~sort"),
        ] {
            assert_eq!(listen(written).to_string(), printed);
            assert_eq!(listen(printed), listen(written));
        }
    }

    #[test]
    fn no_host_and_two_colons_in_brackets_mean_every_address() {
        assert_eq!(listen("tcp://:8330").host, None);
        assert_eq!(listen("tcp://[::]:8330").host, None);
        assert_eq!(listen("tcp://0.0.0.0:8330").host.as_deref(), Some("0.0.0.0"));
    }

    #[test]
    fn an_invalid_address_is_refused() {
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
            "tcp://[::ffff:127.0.0.1]:80",
            "tcp://[fe80::1]:80",
            "udp://[ff02::1]:80",
            "tcp://[fe80::1%]:80",
            "tcp://[fe80::1%0]:80",
            "tcp://[fe80::1%a b]:80",
            "tcp://[fe80::1%eth0%1]:80",
            "tcp://[fe80::1%a-name-too-long-]:80",
            "tcp://[::1%lo]:80",
            "tcp://127.0.0.1%lo:80",
            "tcp4://[fe80::1%eth0]:80",
            "fd",
            "fd:",
            "fd://web",
            "fd:a:b",
            "fd:ä",
            "fd:a\tb",
            "FD:web",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_of_an_address_says_what_is_wrong() {
        for (text, expected) in [
            (
                "tcp://[::ffff:127.0.0.1]:80",
                "an IPv4 address as it is, such as \"127.0.0.1\" for \"[::ffff:127.0.0.1]\"",
            ),
            ("tcp://[fe80::1]:80", "a link-local address with its interface, such as \"[fe80::1%eth0]\""),
            ("tcp://[fe80::1%]:80", "the name or the number of an interface after \"%\""),
            ("fd:", "after \"fd:\" the name or the number of a passed socket, such as \"fd:web\" or \"fd:3\""),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(Expected(expected)), "{text}");
        }
    }

    /// Returns the problem of `one` beside `other`, without the beginning of the sentence.
    fn clash(one: &str, other: &str) -> Option<String> {
        let clash = listen(one).clash(&listen(other), "a")?;
        Some(clash.strip_prefix("expected an address of its own, found ").unwrap_or(&clash).to_owned())
    }

    #[test]
    fn a_passed_socket_has_one_listener() {
        let same = "expected a socket of its own, found the socket of a";
        for (one, other, expected) in [
            ("fd:web", "fd:web", Some(same)),
            ("fd:web", "fd:api", None),
            ("fd:web", "tcp://:80", None),
            ("tcp://:0", "fd:web", None),
        ] {
            assert_eq!(listen(one).clash(&listen(other), "a").as_deref(), expected, "{one} {other}");
        }
    }

    #[test]
    fn listeners_that_cannot_both_be_bound_clash() {
        const SAME: Option<&str> = Some("the address of a");
        const EVERY: Option<&str> = Some("every address, which includes the address of a");
        const ONE: Option<&str> = Some("one of a, which listens on every address");
        for (one, other, expected, reverse) in [
            ("tcp://127.0.0.1:80", "tcp4://127.0.0.1:80", SAME, SAME),
            ("tcp://:80", "tcp6://[::]:80", SAME, SAME),
            ("tcp://LOCALHOST:80", "tcp://localhost:80", SAME, SAME),
            ("tcp://[::1]:80", "tcp://[0:0::1]:80", SAME, SAME),
            ("tcp4://0.0.0.0:80", "tcp://0.0.0.0:80", SAME, SAME),
            ("tcp://:80", "tcp4://0.0.0.0:80", SAME, SAME),
            ("tcp6://:80", "tcp://0.0.0.0:80", None, None),
            ("tcp://127.0.0.1:80", "udp://127.0.0.1:80", None, None),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.2:80", None, None),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:81", None, None),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", None, None),
            ("tcp4://:80", "tcp6://:80", None, None),
            ("tcp4://localhost:80", "tcp6://localhost:80", None, None),
            ("tcp://:80", "tcp://127.0.0.1:80", EVERY, ONE),
            ("tcp://:80", "tcp://[::1]:80", EVERY, ONE),
            ("udp://:80", "udp://localhost:80", EVERY, ONE),
            ("tcp://0.0.0.0:80", "tcp://127.0.0.1:80", EVERY, ONE),
            ("tcp6://:80", "tcp://[fe80::1%eth0]:80", EVERY, ONE),
            ("tcp4://:80", "tcp4://localhost:80", EVERY, ONE),
            ("tcp4://:80", "tcp://localhost:80", None, None),
            ("tcp6://:80", "tcp://127.0.0.1:80", None, None),
            ("tcp4://:80", "tcp://[::1]:80", None, None),
            ("tcp://:80", "udp://127.0.0.1:80", None, None),
            ("tcp://:0", "tcp://127.0.0.1:0", None, None),
            ("tcp://[fe80::1%a]:80", "tcp://[fe80::1%b]:80", None, None),
        ] {
            assert_eq!(clash(one, other).as_deref(), expected, "{one} {other}");
            assert_eq!(clash(other, one).as_deref(), reverse, "{other} {one}");
        }
    }
}
