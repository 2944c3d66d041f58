//! Who may come to a listener, and how often: sources of PROXY headers, networks, and rates of connections.

#![warn(clippy::missing_docs_in_private_items)]

use std::net::IpAddr;

use crate::config::{AccessRules, ListenerConfig, Others};
use crate::limits::Limits;
use crate::listener::Prefixes;
use crate::network::Networks;
use crate::peer::Peer;
use crate::rate::{Bucket, Buckets};
use crate::time::Time;
use crate::units::Rate;

/// The name of the limit on the connections of a listener in a period.
pub(crate) const RATE: &str = "connection_rate";

/// What decides about the connections of a listener, beside its limits on open ones.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The proxies, whose connections begin with a header, and what happens to all others.
    proxies: Option<(Networks<()>, Others)>,
    /// The networks that may come, and those that may not.
    access: Networks<bool>,
    /// Whether peers of no network may come.
    admits_others: bool,
    /// How many connections may come in a period.
    rate: Option<(Rate, Bucket)>,
    /// How many connections may come in a period from one prefix.
    rate_per_ip: Option<(Rate, Buckets<IpAddr>)>,
    /// The prefixes that count as one.
    prefixes: Prefixes,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The peer is the client.
    Client,
    /// The peer is a proxy, and names its client in a header.
    Proxy,
    /// The peer is not among the proxies, and only they may come.
    Stranger,
}

impl Gate {
    /// Makes the gate of a listener.
    pub(crate) fn new(config: &ListenerConfig) -> Self {
        let Limits { connection_rate, connection_rate_per_ip, .. } = config.limits;
        let AccessRules { allow, deny } = &config.access_rules;
        let verdicts = allow.iter().map(|network| (*network, true)).chain(deny.iter().map(|network| (*network, false)));
        let proxies = config.proxy_protocol.as_ref();
        Self {
            proxies: proxies.map(|proxy| (Networks::new(proxy.from.iter().map(|from| (*from, ()))), proxy.others)),
            access: Networks::new(verdicts),
            admits_others: allow.is_empty(),
            rate: connection_rate.map(|rate| (rate, Bucket::FULL)),
            rate_per_ip: connection_rate_per_ip.map(|rate| (rate, Buckets::default())),
            prefixes: Prefixes::of(&config.limits),
        }
    }

    /// Whether there are proxies in front.
    pub(crate) fn has_proxies(&self) -> bool {
        self.proxies.is_some()
    }

    /// Returns how a connection of `peer`, which the kernel names, begins.
    pub(crate) fn source(&self, peer: &Peer) -> Source {
        match &self.proxies {
            None => Source::Client,
            Some((from, _)) if from.find(peer).is_some() => Source::Proxy,
            Some((_, Others::Direct)) => Source::Client,
            Some((_, Others::Refuse)) => Source::Stranger,
        }
    }

    /// Decides about a connection of `peer`, which its proxy or the kernel names, and counts it.
    ///
    /// # Errors
    /// The reason by which the connection is refused.
    pub(crate) fn admit(&mut self, peer: &Peer, now: Time) -> Result<(), &'static str> {
        if !self.access.find(peer).copied().unwrap_or(self.admits_others) {
            return Err("access");
        }
        if let Some((rate, buckets)) = &mut self.rate_per_ip
            && let Some(prefix) = self.prefixes.of_peer(peer)
            && !buckets.take(prefix, *rate, now)
        {
            return Err("connection_rate_per_ip");
        }
        Ok(())
    }

    /// Returns when the next connection may be accepted, if that is later than `now`.
    pub(crate) fn closed_until(&self, now: Time) -> Option<Time> {
        let (rate, bucket) = self.rate.as_ref()?;
        Some(bucket.has_token_at(*rate, now)).filter(|at| *at > now)
    }

    /// Counts a connection that was accepted.
    pub(crate) fn note_accepted(&mut self, now: Time) {
        if let Some((rate, bucket)) = &mut self.rate {
            bucket.take(*rate, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::registry::Registry;

    fn gate(members: &str) -> Gate {
        let text = format!(r#"{{ "listeners": [{{ "listen": "tcp://:1", "protocol": "sum", {members} }}] }}"#);
        Gate::new(&Config::parse("test.json", &text, &Registry::built_in()).expect("a configuration").listeners[0])
    }

    fn peer(ip: &str) -> Peer {
        Peer::from(SocketAddr::new(ip.parse().expect("an address"), 1))
    }

    #[test]
    fn only_proxies_send_headers_and_others_are_strangers_or_clients() {
        let refuse = gate(r#""proxy_protocol": { "from": ["10.0.0.0/8", "::1"] }"#);
        let direct = gate(r#""proxy_protocol": { "from": ["10.0.0.0/8"], "others": "direct" }"#);
        for (ip, source) in
            [("10.9.9.9", Source::Proxy), ("::ffff:10.9.9.9", Source::Proxy), ("11.0.0.1", Source::Stranger)]
        {
            assert_eq!(refuse.source(&peer(ip)), source, "{ip}");
        }
        assert_eq!(direct.source(&peer("10.9.9.9")), Source::Proxy);
        assert_eq!(direct.source(&peer("11.0.0.1")), Source::Client);
        assert_eq!(gate(r#""backlog": 1"#).source(&peer("10.9.9.9")), Source::Client);
    }

    #[test]
    fn an_address_in_no_network_may_come_unless_some_are_allowed() {
        let admits = |members: &str, ip: &str| gate(members).admit(&peer(ip), Time::ORIGIN).is_ok();
        let allow = r#""access": { "allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"] }"#;
        let deny = r#""access": { "allow": [], "deny": ["10.1.0.0/16"] }"#.replace(r#""allow": [], "#, "");
        for (ip, by_allow, by_deny) in
            [("10.0.0.1", true, true), ("10.1.0.1", false, false), ("192.0.2.1", false, true)]
        {
            assert_eq!((admits(allow, ip), admits(&deny, ip)), (by_allow, by_deny), "{ip}");
        }
    }

    #[test]
    fn a_rate_counts_prefixes_and_the_listener_waits_instead() {
        let limits = r#""limits": { "connection_rate_per_ip": "2/s", "connection_rate": "2/s" }"#;
        let (mut gate, now) = (gate(limits), Time::ORIGIN);
        let mut refused = |ip: &str| gate.admit(&peer(ip), now).is_err();
        assert!(!refused("2001:db8::1") && !refused("2001:db8::ffff") && refused("2001:db8::2"));
        assert!(!refused("2001:db8:0:1::1") && !refused("192.0.2.1") && !refused("192.0.2.2"));
        assert_eq!(gate.closed_until(now), None);
        gate.note_accepted(now);
        gate.note_accepted(now);
        assert_eq!(gate.closed_until(now), Some(now.after(Duration::from_millis(500))));
    }
}
