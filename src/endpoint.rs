//! A listener without its socket: the protocol, the limits and the counters. It outlives the socket, so that the
//! counters of a closed listener can still be reported.

#![warn(clippy::missing_docs_in_private_items)]

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut, Index, IndexMut};
use std::sync::Arc;

use crate::address::{Family, Transport};
use crate::bug_log::BugLog;
use crate::config::ListenerConfig;
use crate::connection::opening::Opens;
use crate::connection::proxied::Proxied;
use crate::gate::Gate;
use crate::kernel::{Token, addresses};
use crate::limits::Limits;
use crate::listener::{Peers, Prefixes};
use crate::messages::{Exchange, Sender};
use crate::peer::Peer;
use crate::protocol::{Acceptor, Site};
use crate::stats::Stats;
use crate::time::Time;

/// A listener, TCP or UDP: its address, its protocol, its limits and its counters.
pub struct Endpoint {
    /// The name, and the address that the socket is bound to.
    pub(crate) site: Site,
    /// The name of the protocol.
    protocol: String,
    /// TCP or UDP.
    transport: Transport,
    /// The only address family, if one is configured.
    family: Option<Family>,
    /// The limits of the listener and its connections.
    pub(crate) limits: Limits,
    /// The length of the accept queue (`listen(2)`).
    pub(crate) backlog: u32,
    /// The counters.
    pub(crate) stats: Stats,
    /// Makes the protocols of TCP connections; `None` for UDP, where the socket's driver holds the protocol.
    pub(crate) service: Option<Acceptor>,
    /// Connections that count for `max_connections`: open ones, and closed ones whose last job is still running.
    pub(crate) connections: usize,
    /// Open connections by address, for `max_connections_per_ip`.
    pub(crate) peers: Peers,
    /// Open connections whose opening is not complete.
    pub(crate) opening: usize,
    /// The handshakes that a connection completes before it gets a protocol.
    pub(crate) opens: Option<Opens>,
    /// Which peers may come, and how often.
    pub(crate) gate: Gate,
    /// The limited log of bugs of the protocol.
    bug_log: BugLog,
}

impl Endpoint {
    /// Makes the endpoint of a bound listener. `service`: `None` for UDP.
    pub(crate) fn new(
        config: &ListenerConfig,
        address: SocketAddr,
        service: Option<Acceptor>,
        exchange: Arc<Exchange>,
    ) -> Self {
        Self {
            site: Site { exchange, ..Site::new(config.name.clone(), address) },
            protocol: config.protocol.clone(),
            transport: config.listen.transport,
            family: config.listen.family,
            limits: config.limits.clone(),
            backlog: config.backlog,
            stats: Stats::default(),
            service,
            connections: 0,
            peers: Peers::new(Prefixes::of(&config.limits)),
            opening: 0,
            opens: config
                .proxy_protocol
                .as_ref()
                .map(|proxy| Opens { opener: || Box::new(Proxied), timeout: proxy.timeout }),
            gate: Gate::new(config),
            bug_log: BugLog::default(),
        }
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

    /// The address that the socket is bound to, with the actual port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.site.address
    }

    /// The address as it is written in a configuration: `tcp://127.0.0.1:5656`.
    #[must_use]
    pub fn url(&self) -> String {
        addresses::url(self.transport, self.family, self.site.address)
    }

    /// Returns a sender of messages to the connections of the listener, for other threads. Over UDP every message is refused.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.site.exchange))
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The number of open connections, whether they have a protocol or not.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        (self.stats.accepted - self.stats.closed.total()) as usize + self.opening
    }

    /// Logs a bug of the protocol, at a limited rate.
    pub(crate) fn log_bug(&mut self, now: Time, who: Token, peer: Option<&Peer>, what: &str) {
        self.bug_log.write(now, &self.site.name, who, peer, what);
    }

    /// The number of descriptors that one connection may need.
    pub(crate) fn descriptors(&self) -> usize {
        1 + self.service.as_ref().map_or(0, |service| service.descriptors)
    }
}

/// All listeners, in the order of the configuration. A slot stores the index of its listener in two bytes.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Appends a listener.
    pub(crate) fn push(&mut self, endpoint: Endpoint) {
        self.0.push(endpoint);
    }
}

impl Deref for Endpoints {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.0
    }
}

impl DerefMut for Endpoints {
    fn deref_mut(&mut self) -> &mut [Endpoint] {
        &mut self.0
    }
}

impl Index<u16> for Endpoints {
    type Output = Endpoint;

    #[inline]
    fn index(&self, index: u16) -> &Endpoint {
        &self.0[usize::from(index)]
    }
}

impl IndexMut<u16> for Endpoints {
    #[inline]
    fn index_mut(&mut self, index: u16) -> &mut Endpoint {
        &mut self.0[usize::from(index)]
    }
}

/// Other threads may hold senders: from now on these return that the listener has ended.
impl Drop for Endpoint {
    fn drop(&mut self) {
        self.site.exchange.end();
    }
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
        match self.transport {
            Transport::Tcp => write!(
                f,
                "accepted {}, open {}, closed {}, bytes in {}, bytes out {}, refused {}, accept paused {}",
                stats.accepted,
                self.open_connections(),
                stats.closed,
                stats.received_bytes,
                stats.sent_bytes,
                stats.refused,
                stats.paused,
            ),
            Transport::Udp => write!(
                f,
                "datagrams in {}, datagrams out {}, bytes in {}, bytes out {}, receive errors {}, error answers {}, dropped {}",
                stats.received_datagrams,
                stats.sent_datagrams,
                stats.received_bytes,
                stats.sent_bytes,
                stats.receive_errors,
                stats.error_answers,
                stats.refused,
            ),
        }?;
        if stats.messages + stats.undelivered.total() > 0 {
            write!(f, ", messages {}, undelivered {}", stats.messages, stats.undelivered)?;
        }
        match stats.slow_turns {
            0 => Ok(()),
            count => write!(f, ", slow turns {count}"),
        }
    }
}
