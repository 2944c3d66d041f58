//! What is served at one address: the protocol, its limits, its counters. Outlives the socket, so that the counters of
//! a listener that has been closed can still be told.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut, Index, IndexMut};

use crate::address::{Family, Transport};
use crate::bug_log::BugLog;
use crate::config::ListenerConfig;
use crate::connection::opening::Opens;
use crate::kernel::{Token, addresses};
use crate::limits::Limits;
use crate::listener::Peers;
use crate::peer::Peer;
use crate::protocol::Site;
use crate::registry::StreamListenerService;
use crate::stats::Stats;
use crate::time::Time;

/// A listener as the outside sees it: what it serves, where, and what it has seen.
pub struct Endpoint {
    /// Its name, and the address it is bound to.
    pub(crate) site: Site,
    protocol: String,
    transport: Transport,
    family: Option<Family>,
    pub(crate) limits: Limits,
    pub(crate) backlog: u32,
    pub(crate) stats: Stats,
    /// What makes the protocols of TCP connections; a UDP socket has its protocol itself.
    pub(crate) service: Option<StreamListenerService>,
    /// Places taken by connections, and by what is left of those that are over while a worker is busy for them.
    pub(crate) places: usize,
    pub(crate) peers: Peers,
    /// Connections whose opening is not complete.
    pub(crate) opening: usize,
    /// What its connections go through before they get a protocol.
    pub(crate) opens: Option<Opens>,
    bug_log: BugLog,
}

impl Endpoint {
    pub(crate) fn new(config: &ListenerConfig, address: SocketAddr, service: Option<StreamListenerService>) -> Self {
        Self {
            site: Site { name: config.name.clone(), address },
            protocol: config.protocol.clone(),
            transport: config.listen.transport,
            family: config.listen.family,
            limits: config.limits.clone(),
            backlog: config.backlog,
            stats: Stats::default(),
            service,
            places: 0,
            peers: Peers::default(),
            opening: 0,
            opens: None,
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

    /// The address it is bound to, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.site.address
    }

    /// The address as a configuration would say it: `tcp://127.0.0.1:5656`. Written there, it is the same listener.
    #[must_use]
    pub fn url(&self) -> String {
        addresses::url(self.transport, self.family, self.site.address)
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Connections that are open now, those that have no protocol yet included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        (self.stats.accepted - self.stats.closed.total()) as usize + self.opening
    }

    /// Logs a bug of the protocol, at a limited rate.
    pub(crate) fn tell_bug(&mut self, now: Time, who: Token, peer: Option<&Peer>, what: &str) {
        self.bug_log.write(now, &self.site.name, who, peer, what);
    }

    /// Descriptors that one connection may take.
    pub(crate) fn descriptors(&self) -> usize {
        1 + self.service.as_ref().map_or(0, |service| service.descriptors)
    }
}

/// Every listener, in the order of the configuration. A slot names its own by a number of two bytes, which is the index here.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Vec<Endpoint>);

impl Endpoints {
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

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.site.name).field("url", &self.url()).finish_non_exhaustive()
    }
}

/// The line of counters in the log.
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
        match stats.slow_turns {
            0 => Ok(()),
            count => write!(f, ", slow turns {count}"),
        }
    }
}
