//! A listener without its socket: the protocol, the limits and the counters. It outlives the socket, so that the
//! counters of a closed listener can still be reported.

#![warn(clippy::missing_docs_in_private_items)]

mod check;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use self::check::Tenant;
pub(crate) use self::table::{Endpoints, Successor};
use crate::address::{Address, Family, Transport};
use crate::bug_log::BugLog;
use crate::config::ListenerConfig;
use crate::connection::opener::Opens;
use crate::gate::Gate;
use crate::kernel::{Token, addresses};
use crate::limits::Limits;
use crate::messages::{Attended, Sender};
use crate::origin::Peers;
use crate::peer::Peer;
use crate::protocol::{Acceptor, Site};
use crate::stats::Stats;
use crate::time::Time;

/// A listener, for streams or datagrams: its address, its protocol, its limits and its counters.
pub struct Endpoint {
    /// The name, and the address that the socket is bound to.
    pub(crate) site: Site,
    /// The owner of the slot that has the socket.
    pub(crate) door: Token,
    /// The name of the protocol.
    protocol: String,
    /// The transport.
    transport: Transport,
    /// The only address family, if one is configured.
    family: Option<Family>,
    /// The limits of the listener and its connections.
    pub(crate) limits: Limits,
    /// The length of the accept queue (`listen(2)`).
    pub(crate) backlog: u32,
    /// The counters.
    pub(crate) stats: Stats,
    /// Makes the protocols of connections; `None` for datagrams, where the socket's driver holds the protocol.
    pub(crate) service: Option<Acceptor>,
    /// Connections that count for `max_connections`: open ones, and closed ones whose last job is still running.
    pub(crate) connections: usize,
    /// Open connections by address or user, for `max_connections_per_ip`.
    pub(crate) peers: Peers,
    /// Open connections whose opening is not complete.
    pub(crate) opening: usize,
    /// The handshakes that a connection completes before it gets a protocol.
    pub(crate) opens: Option<Opens>,
    /// Which peers may come, and how often.
    pub(crate) gate: Box<Gate>,
    /// The users whose processes may connect; `None` for all.
    allowed: Option<Box<[u32]>>,
    /// Whether the server or this listener is stopping: what waits in the accept queue is served, and connections between requests
    /// close.
    pub(crate) stopping: bool,
    /// Whether its sockets close at their next visit, whatever waits.
    pub(crate) cut: bool,
    /// The time at which the connections of a removed listener are reset.
    pub(crate) until: Time,
    /// The index of the endpoint that counts the connections: its own, unless this is an elder.
    home: u16,
    /// A retired endpoint: the number of slots that refer to it.
    slots: usize,
    /// The number by which the kernel knows its workers.
    pub(crate) lane: u16,
    /// The number by which an X-ray knows it.
    pub(crate) served: u16,
    /// File descriptors that one connection may need.
    descriptors: usize,
    /// The limited log of bugs of the protocol.
    bug_log: BugLog,
}

impl Endpoint {
    /// Makes the endpoint of a listener that is bound to `address` of `family`, and whose socket belongs to `door`. `service`: `None`
    /// for datagrams.
    pub(crate) fn new(
        config: &ListenerConfig,
        door: Token,
        (address, family): (Address, Option<Family>),
        service: Option<Acceptor>,
        exchange: Arc<Attended>,
    ) -> Self {
        let transport = match (&address, service.is_some()) {
            (Address::Inet(_), true) => Transport::Tcp,
            (Address::Inet(_), false) => Transport::Udp,
            (Address::Unix(_), true) => Transport::Unix,
            (Address::Unix(_), false) => Transport::UnixDatagram,
        };
        Self {
            site: Site { exchange, ..Site::new(config.name.clone(), address) },
            protocol: config.protocol.clone(),
            transport,
            family,
            limits: config.limits.clone(),
            backlog: config.backlog,
            stats: Stats::default(),
            connections: 0,
            peers: Peers::default(),
            opening: 0,
            gate: Box::new(Gate::new(config)),
            opens: None,
            allowed: None,
            stopping: false,
            cut: false,
            until: Time::NEVER,
            home: 0,
            slots: 0,
            door,
            lane: 0,
            served: 0,
            descriptors: descriptors_of(service.as_ref()),
            service,
            bug_log: BugLog::default(),
        }
    }

    /// Sets the users whose processes may connect; `None` for all.
    pub(crate) fn allows(mut self, users: Option<Box<[u32]>>) -> Self {
        self.allowed = users;
        self
    }

    /// Whether the configuration admits the user of a peer. An unknown user is not admitted if there is a list.
    pub(crate) fn admits_user(&self, peer: &Peer) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        peer.credentials().and_then(|process| process.uid).is_some_and(|uid| allowed.contains(&uid))
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.site.name
    }

    /// The name of the protocol.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The internet address that the socket is bound to, with the actual port; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.site.address {
            Address::Inet(address) => Some(address),
            Address::Unix(_) => None,
        }
    }

    /// The address as it is written in a configuration: `tcp://127.0.0.1:5656`.
    #[must_use]
    pub fn url(&self) -> String {
        addresses::url(self.transport, self.family, &self.site.address)
    }

    /// Returns a sender of messages to the connections of the listener, for other threads. A listener for datagrams has none: every
    /// message is refused.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.site.exchange.sender()
    }

    /// The counters so far. A reload does not set them back. The bytes of connections that keep older limits are added when a report
    /// is made, and when the last of them ends.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The number of open connections, whether they have a protocol or not.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        (self.stats.accepted + self.stats.connected - self.stats.closed.total()) as usize + self.opening
    }

    /// Logs a bug of the protocol, at a limited rate.
    pub(crate) fn log_bug(&mut self, now: Time, who: Token, peer: Option<&Peer>, what: &str) {
        self.bug_log.write(now, &self.site.name, who, peer, what);
    }

    /// The number of descriptors that one connection may need.
    pub(crate) fn descriptors(&self) -> usize {
        self.descriptors
    }

    /// Changes what the listener serves, and keeps its counters. Returns its elder, which has the old limits, the connections and
    /// their proxies, and counts from zero; and the service that a new one has replaced.
    fn renew(
        &mut self,
        config: &ListenerConfig,
        mut gate: Box<Gate>,
        service: Option<Acceptor>,
        allowed: Option<Box<[u32]>>,
    ) -> (Self, Option<Acceptor>) {
        gate.take_over(&mut self.gate);
        let proxies = std::mem::take(&mut self.site.proxies);
        let elder = Self {
            site: Site { proxies, ..self.site.clone() },
            // It accepts no connection.
            gate: Box::default(),
            protocol: std::mem::replace(&mut self.protocol, config.protocol.clone()),
            limits: std::mem::replace(&mut self.limits, config.limits.clone()),
            stats: Stats::default(),
            service: None,
            connections: 0,
            peers: Peers::default(),
            opening: 0,
            allowed: None,
            bug_log: BugLog::default(),
            ..*self
        };
        self.site.name.clone_from(&config.name);
        // Only a passed socket itself tells its family.
        if config.listen.passed.is_none() {
            self.family = config.listen.family;
        }
        self.backlog = config.backlog;
        self.allowed = allowed;
        self.gate = gate;
        let Some(service) = service else {
            self.site.exchange.widen(config.limits.max_pending_output);
            return (elder, None);
        };
        self.descriptors = descriptors_of(Some(&service));
        self.site.exchange = Arc::clone(&service.exchange);
        (elder, self.service.replace(service))
    }

    /// Whether connections of `other` may be connections of this endpoint: with the same limits, and with messages to each other.
    fn serves_like(&self, other: &Self) -> bool {
        let has_its_exchange = Arc::ptr_eq(&self.site.exchange, &other.site.exchange);
        has_its_exchange
            && (&self.protocol, &self.limits, self.descriptors) == (&other.protocol, &other.limits, other.descriptors)
    }
}

/// Returns the number of descriptors that one connection of a service may need.
fn descriptors_of(service: Option<&Acceptor>) -> usize {
    1 + service.map_or(0, |service| service.descriptors)
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.site.name).field("url", &self.url()).finish_non_exhaustive()
    }
}

/// The counters, as one log line.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        write!(f, "{} {} {}: ", self.site.name, self.protocol, self.url())?;
        if self.transport.is_stream() {
            write!(
                f,
                "accepted {}, open {}, closed {}, bytes in {}, bytes out {}, refused {}, accept paused {}",
                stats.accepted,
                self.open_connections(),
                stats.closed,
                stats.received_bytes,
                stats.sent_bytes,
                stats.refused,
                stats.paused,
            )
        } else {
            write!(
                f,
                "datagrams in {}, datagrams out {}, bytes in {}, bytes out {}, receive errors {}, error answers {}, dropped {}",
                stats.received_datagrams,
                stats.sent_datagrams,
                stats.received_bytes,
                stats.sent_bytes,
                stats.receive_errors,
                stats.error_answers,
                stats.refused,
            )
        }?;
        if stats.messages + stats.undelivered.total() > 0 {
            write!(f, ", messages {}, undelivered {}", stats.messages, stats.undelivered)?;
        }
        if stats.connected > 0 || stats.connect_errors.total() > 0 {
            write!(f, ", connected {}, connect errors {}", stats.connected, stats.connect_errors)?;
        }
        match stats.slow_turns {
            0 => Ok(()),
            count => write!(f, ", slow turns {count}"),
        }
    }
}
