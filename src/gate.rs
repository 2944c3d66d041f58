//! Who may come to a listener, and how often: sources of PROXY headers, networks, and rates of connections.

#![warn(clippy::missing_docs_in_private_items)]

use std::time::Duration;

use crate::config::{AccessRules, ListenerConfig, Others};
use crate::limits::Limits;
use crate::network::Networks;
use crate::origin::{Origin, Prefixes};
use crate::peer::Peer;
use crate::rate::{Bucket, Buckets};
use crate::time::Time;
use crate::units::Rate;

/// The name of the limit on the connections of a listener in a period.
pub(crate) const RATE: &str = "connection_rate";

/// What decides about the connections of a listener, beside its limits on open ones. The default one admits no peer.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The proxies, and the time for their headers.
    proxies: Option<(Networks<Duration>, Others)>,
    /// The networks that may come, and those that may not.
    access: Networks<bool>,
    /// Whether peers of no network may come.
    admits_others: bool,
    /// How many connections may come in a period.
    rate: Option<(Rate, Bucket)>,
    /// How many connections may come in a period from one prefix, or from one user over a Unix socket.
    rate_per_ip: Option<(Rate, Buckets<Origin>)>,
    /// The prefixes that count as one.
    prefixes: Prefixes,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The peer is the client.
    Client,
    /// The peer is a proxy, and names its client in a header, for which it has this time.
    Proxy(Duration),
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
            proxies: proxies.map(|proxy| {
                let from = proxy.from.iter().map(|from| (*from, proxy.timeout));
                (Networks::new(from), proxy.others)
            }),
            access: Networks::new(verdicts),
            admits_others: allow.is_empty(),
            rate: connection_rate.filter(|rate| rate.count() > 0).map(|rate| (rate, Bucket::FULL)),
            rate_per_ip: connection_rate_per_ip.filter(|rate| rate.count() > 0).map(|rate| (rate, Buckets::default())),
            prefixes: Prefixes::of(&config.limits),
        }
    }

    /// Goes on counting where `before`, the gate before a reload, has stopped: a rate that has changed begins again, and so does
    /// one for other prefixes.
    pub(crate) fn take_over(&mut self, before: &mut Self) {
        if let (Some((rate, bucket)), Some((old, counted))) = (&mut self.rate, &before.rate)
            && rate == old
        {
            *bucket = *counted;
        }
        if let (Some((rate, buckets)), Some((old, counted))) = (&mut self.rate_per_ip, &mut before.rate_per_ip)
            && (*rate, self.prefixes) == (*old, before.prefixes)
        {
            std::mem::swap(buckets, counted);
        }
    }

    /// Returns how a connection of `peer`, which the kernel names, begins.
    pub(crate) fn source(&self, peer: &Peer) -> Source {
        let Some((from, others)) = &self.proxies else { return Source::Client };
        match (from.find(peer), others) {
            (Some(timeout), _) => Source::Proxy(*timeout),
            (None, Others::Direct) => Source::Client,
            (None, Others::Refuse) => Source::Stranger,
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
            && !buckets.take(self.prefixes.origin(peer), *rate, now)
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

    use super::*;
    use crate::config::Config;
    use crate::limits::PROXY_TIMEOUT;
    use crate::peer::Credentials;
    use crate::registry::Registry;

    const PROXY: Source = Source::Proxy(PROXY_TIMEOUT);

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
        for (ip, source) in [("10.9.9.9", PROXY), ("::ffff:10.9.9.9", PROXY), ("11.0.0.1", Source::Stranger)] {
            assert_eq!(refuse.source(&peer(ip)), source, "{ip}");
        }
        assert_eq!(direct.source(&peer("10.9.9.9")), PROXY);
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

    #[test]
    fn over_a_unix_socket_a_user_is_what_a_prefix_is_over_tcp() {
        let user = |uid| Peer::from(Credentials::new(Some(1), Some(uid), None));
        let mut gate = gate(r#""limits": { "connection_rate_per_ip": "1/s" }"#);
        let mut admits = |uid| gate.admit(&user(uid), Time::ORIGIN).is_ok();
        assert_eq!([admits(7), admits(8), admits(7)], [true, true, false]);
    }

    #[test]
    fn a_rate_that_a_reload_leaves_as_it_is_goes_on_counting() {
        let now = Time::ORIGIN;
        let used = || {
            let mut gate = gate(r#""limits": { "connection_rate_per_ip": "1/h", "connection_rate": "1/h" }"#);
            gate.note_accepted(now);
            assert!(gate.admit(&peer("192.0.2.1"), now).is_ok());
            gate
        };
        for (limits, goes_on) in [
            (r#""connection_rate_per_ip": "1/h", "connection_rate": "1/h""#, [true, true]),
            (r#""connection_rate_per_ip": "2/h", "connection_rate": "1/h""#, [true, false]),
            (r#""connection_rate_per_ip": "1/h", "connection_rate": "2/h""#, [false, true]),
            (r#""connection_rate_per_ip": "1/h", "connection_rate": "1/h", "ip_prefix_v4": 24"#, [true, false]),
        ] {
            let mut next = gate(&format!(r#""limits": {{ {limits} }}"#));
            next.take_over(&mut used());
            let counts = [next.closed_until(now).is_some(), next.admit(&peer("192.0.2.1"), now).is_err()];
            assert_eq!(counts, goes_on, "{limits}");
        }
    }

    #[test]
    fn a_rate_of_none_does_not_limit() {
        let mut config = Config::parse(
            "test.json",
            r#"{ "listeners": [{ "listen": "tcp://:1", "protocol": "sum" }] }"#,
            &Registry::built_in(),
        )
        .expect("a configuration");
        let limits = &mut config.listeners[0].limits;
        (limits.connection_rate, limits.connection_rate_per_ip) = ("0/s".parse().ok(), "0/s".parse().ok());
        assert!(limits.connection_rate.is_some(), "only the library can say so");
        let mut gate = Gate::new(&config.listeners[0]);
        for _ in 0..3 {
            gate.note_accepted(Time::ORIGIN);
            assert!(gate.admit(&peer("192.0.2.1"), Time::ORIGIN).is_ok());
            assert_eq!(gate.closed_until(Time::ORIGIN), None);
        }
    }

    #[test]
    fn the_default_gate_admits_no_peer() {
        let mut gate = Gate::default();
        assert_eq!(gate.admit(&peer("127.0.0.1"), Time::ORIGIN), Err("access"));
        assert_eq!(gate.admit(&Peer::from(Credentials::default()), Time::ORIGIN), Err("access"));
    }
}
