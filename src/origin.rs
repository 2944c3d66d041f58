//! What the connections of a listener are counted by: the prefix of an address, or the user of a Unix socket.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::limits::Limits;
use crate::network::masked;
use crate::peer::Peer;

/// What connections are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// The prefix of the address of the peer.
    Ip(IpAddr),
    /// The user of the peer over a Unix socket. Peers whose user is unknown count as one.
    User(Option<u32>),
}

/// How many of the first bits of an address count: all addresses that begin with the same bits are one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefixes {
    /// Of an IPv4 address.
    v4: u8,
    /// Of an IPv6 address.
    v6: u8,
}

impl Prefixes {
    /// Returns those of these limits.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { v4: limits.ip_prefix_v4, v6: limits.ip_prefix_v6 }
    }

    /// Returns what a connection of `peer` is counted by.
    pub(crate) fn origin(self, peer: &Peer) -> Origin {
        match peer.ip() {
            Some(ip) => Origin::Ip(masked(ip, if ip.is_ipv4() { self.v4 } else { self.v6 })),
            None => Origin::User(peer.credentials().and_then(|process| process.uid)),
        }
    }
}

/// Counts connections by origin, for `max_connections_per_ip`.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<Origin, usize>);

impl Peers {
    /// Counts one more connection of `origin`, unless it has `most`. Returns whether it was counted.
    pub(crate) fn admit(&mut self, origin: Origin, most: usize) -> bool {
        let count = self.0.entry(origin).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        admitted
    }

    /// Whether no connection is counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one connection less of `origin`.
    pub(crate) fn leave(&mut self, origin: Origin) {
        if let Some(count) = self.0.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::peer::Credentials;

    fn inet(text: &str) -> Peer {
        Peer::from(text.parse::<SocketAddr>().expect("an address"))
    }

    #[test]
    fn connections_are_counted_by_address_whatever_the_port_and_family() {
        let mut peers = Peers::default();
        let prefixes = Prefixes::of(&Limits::default());
        let [v4, mapped, other] = ["192.0.2.1:1000", "[::ffff:192.0.2.1]:2000", "192.0.2.2:1000"]
            .map(|address| prefixes.origin(&inet(address)));
        assert!(peers.admit(v4, 2) && peers.admit(mapped, 2));
        assert!(!peers.admit(v4, 2));
        assert!(peers.admit(other, 2));
        peers.leave(mapped);
        assert!(peers.admit(v4, 2));
        for peer in [v4, v4, other] {
            peers.leave(peer);
        }
        assert!(peers.is_empty());
    }

    #[test]
    fn addresses_with_one_prefix_count_as_one_address() {
        let prefixes = Prefixes::of(&Limits { ip_prefix_v4: 24, ..Limits::default() });
        for (one, other, are_one) in [
            ("192.0.2.1:1", "192.0.2.9:1", true),
            ("192.0.2.1:1", "192.0.3.1:1", false),
            ("[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::]:1", true),
            ("[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false),
        ] {
            let [one, other] = [one, other].map(|address| prefixes.origin(&inet(address)));
            let mut peers = Peers::default();
            assert!(peers.admit(one, 1));
            assert_eq!(peers.admit(other, 1), !are_one, "{one:?} {other:?}");
            peers.leave(one);
            assert_eq!(peers.is_empty(), are_one);
        }
    }

    #[test]
    fn connections_over_a_unix_socket_are_counted_by_user() {
        let mut peers = Peers::default();
        let prefixes = Prefixes::of(&Limits::default());
        let unix = |pid, uid| prefixes.origin(&Peer::from(Credentials::new(Some(pid), uid, None)));
        assert!(peers.admit(unix(1, Some(1000)), 1) && peers.admit(unix(2, Some(0)), 1));
        assert!(!peers.admit(unix(3, Some(1000)), 1), "another process of the same user");
        assert!(peers.admit(unix(4, None), 1) && !peers.admit(unix(5, None), 1), "unknown users are one");
        for uid in [Some(1000), Some(0), None] {
            peers.leave(unix(6, uid));
        }
        assert!(peers.is_empty());
    }
}
