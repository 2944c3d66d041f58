//! Networks as a configuration names them, and the longest prefix that contains an address.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::peer::Peer;
use crate::units::{Expected, from_string};

/// Peers, as a configuration names them: `10.0.0.0/8`, `::1`, or `unix` for all peers without an internet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The addresses whose first bits are these.
    Inet(IpAddr, u8),
    /// Peers without an internet address.
    Unix,
}

const NETWORK: Expected = Expected("a network such as \"10.0.0.0/8\", an IP address, or \"unix\"");

/// Returns the number of bits of an address of this family.
const fn bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Returns the first `length` bits of an address, and zeros for the others.
pub(crate) fn masked(ip: IpAddr, length: u8) -> IpAddr {
    let others = bits(ip).saturating_sub(length);
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(others.into()).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(others.into()).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl Network {
    /// Whether it means the peers without an internet address.
    pub(crate) fn is_unix(self) -> bool {
        self.0 == Kind::Unix
    }
}

impl FromStr for Network {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text == "unix" {
            return Ok(Self(Kind::Unix));
        }
        let (ip, length) = text.split_once('/').map_or((text, None), |(ip, length)| (ip, Some(length)));
        let ip: IpAddr = ip.parse().map_err(|_| NETWORK)?;
        if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(Expected("an IPv4 network as it is, such as \"10.0.0.0/8\""));
        }
        let length = match length {
            None => bits(ip),
            // A sign, or a zero in front of other digits, is another spelling of a number.
            Some(text) => text
                .parse()
                .ok()
                .filter(|length: &u8| *length <= bits(ip) && length.to_string() == text)
                .ok_or(NETWORK)?,
        };
        if masked(ip, length) != ip {
            return Err(Expected("a network whose bits behind the prefix are zero, such as \"10.0.0.0/8\""));
        }
        Ok(Self(Kind::Inet(ip, length)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Inet(ip, length) if length == bits(ip) => write!(f, "{ip}"),
            Kind::Inet(ip, length) => write!(f, "{ip}/{length}"),
            Kind::Unix => f.write_str("unix"),
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, NETWORK)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Network {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(unix|[0-9A-Fa-f:.]+(/[0-9]+)?)$", "examples": ["10.0.0.0/8"] })
    }
}

/// A value for each of some networks. A look-up takes one step for each length that occurs, however many networks there are.
#[derive(Debug, Clone)]
pub(crate) struct Networks<T> {
    /// The values, by the first address and the length.
    of: HashMap<(IpAddr, u8), T>,
    /// The lengths that occur, the longest first.
    lengths: Vec<u8>,
    /// The value of peers without an internet address.
    unix: Option<T>,
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self { of: HashMap::new(), lengths: Vec::new(), unix: None }
    }
}

impl<T> Networks<T> {
    /// Makes the table. Of a network that comes twice the last value counts.
    pub(crate) fn new(networks: impl IntoIterator<Item = (Network, T)>) -> Self {
        let mut table = Self::default();
        for (network, value) in networks {
            match network.0 {
                Kind::Unix => table.unix = Some(value),
                Kind::Inet(ip, length) => {
                    table.of.insert((ip, length), value);
                    table.lengths.push(length);
                }
            }
        }
        table.lengths.sort_unstable_by(|one, other| other.cmp(one));
        table.lengths.dedup();
        table
    }

    /// Returns the value of the longest prefix that contains the address of `peer`.
    pub(crate) fn find(&self, peer: &Peer) -> Option<&T> {
        let Some(ip) = peer.ip() else { return self.unix.as_ref() };
        let lengths = self.lengths.iter().filter(|length| **length <= bits(ip));
        lengths.into_iter().find_map(|length| self.of.get(&(masked(ip, *length), *length)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::peer::Credentials;

    fn peer(ip: &str) -> Peer {
        Peer::from(SocketAddr::new(ip.parse().expect("an address"), 1))
    }

    #[test]
    fn a_printed_network_parses_to_the_same() {
        for (written, printed) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("unix", "unix"),
        ] {
            let network: Network = written.parse().expect(written);
            assert_eq!(network.to_string(), printed);
            assert_eq!(printed.parse(), Ok(network));
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8 ",
            "10.0.0.1/8",
            "::/129",
            "::1/64",
            "localhost",
            "fe80::1%eth0",
            "::ffff:10.0.0.0/104",
            "10.0.0/8",
            "010.0.0.0/8",
            "UNIX",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_in_whatever_order_they_are_named() {
        let rules =
            [("10.0.0.0/8", 'a'), ("10.1.0.0/16", 'b'), ("10.1.2.3", 'c'), ("2001:db8::/32", 'd'), ("unix", 'e')];
        for turn in 0..rules.len() {
            let mut rules = rules;
            rules.rotate_left(turn);
            let table = Networks::new(rules.map(|(network, value)| (network.parse().expect("a network"), value)));
            for (ip, value) in [
                ("10.2.0.1", Some('a')),
                ("10.1.0.1", Some('b')),
                ("10.1.2.3", Some('c')),
                ("::ffff:10.1.2.3", Some('c')),
                ("11.0.0.0", None),
                ("2001:db8::7", Some('d')),
                ("2001:db9::7", None),
                // The first bits are those of 10.0.0.0/8.
                ("a00::1", None),
            ] {
                assert_eq!(table.find(&peer(ip)).copied(), value, "{ip}");
            }
            assert_eq!(table.find(&Peer::from(Credentials::default())).copied(), Some('e'));
        }
    }

    #[test]
    fn a_mask_of_any_length_keeps_the_first_bits() {
        for length in 0..=140 {
            let v4 = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            let v6 = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            assert_eq!(masked([255; 4].into(), length as u8), Ipv4Addr::from_bits(v4));
            assert_eq!(masked([255; 16].into(), length as u8), Ipv6Addr::from_bits(v6));
        }
    }
}
