//! Starting a server: binds its listeners and puts them into slots.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use slab::Slab;

use super::access::AccessLog;
use super::kept::{InForce, Inquired, Logs, Totals, Waiters};
use super::ledger::Ledger;
use super::queues::Queues;
use super::slots::Owner;
use super::stop::Stop;
use super::{Reactor, recording};
use crate::bind::{self, BindError, Bound, Candidates, NotBound, Opened};
use crate::budget::Budget;
use crate::bulk::Pipes;
use crate::config::{ACCESS_LOG, Config, ListenerConfig};
use crate::datagram::Mailbox;
use crate::deadlines::Deadlines;
use crate::endpoint::{Endpoint, Endpoints};
use crate::kernel::{Handle, Kernel, Mio, Token};
use crate::limits::{DESCRIPTORS_PER_PIPE, FEW_DESCRIPTORS, PIPES_MAX};
use crate::listener::Listener;
use crate::messages::Alarm;
use crate::registry::Registry;
use crate::time::Time;
use crate::visit::{Lent, Moment};
use crate::xray::{self, What};

impl Reactor {
    /// Opens every service of `config` and binds every address.
    ///
    /// # Errors
    /// The first service that cannot be opened, or address that cannot be bound. Nothing stays bound then.
    pub fn bind(config: &Config, registry: &Registry) -> Result<Self, BindError> {
        Self::with_kernel(Mio::new().map_err(BindError::Poll)?.with_workers(config.workers), config, registry)
    }

    /// Returns a handle that controls this server from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.kernel.handle()
    }

    /// Makes SIGTERM and SIGINT stop the server, the second one at once, and SIGUSR1 [report](Handle::report). SIGHUP
    /// [reloads](Handle::reload), or stops the server gracefully if standard error is a terminal, because that has closed. SIGINT
    /// and SIGHUP that the parent process had ignored stay ignored.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn watch_signals(&mut self) -> io::Result<()> {
        self.kernel.watch_signals()
    }
}

impl<K: Kernel> Reactor<K> {
    /// Like [`Reactor::bind`], on another kernel.
    ///
    /// # Errors
    /// As [`Reactor::bind`].
    pub fn with_kernel(mut kernel: K, config: &Config, registry: &Registry) -> Result<Self, BindError> {
        kernel.busy_poll(config.busy_poll);
        let origin = kernel.now();
        let moment = Moment::new(origin, origin);
        let alarm = Arc::new(Alarm::new(kernel.waker()));
        let in_force = InForce::new(config, kernel.wall_clock());
        let mut reactor = Self {
            kernel,
            moment,
            slots: Slab::new(),
            generation: 0,
            ledger: Ledger::default(),
            access: AccessLog::new(config.log.access),
            endpoints: Endpoints::default(),
            queues: Queues::default(),
            lent: Lent::new(Budget::new(moment.now, config.slow_turn)),
            waiters: Waiters::default(),
            deadlines: Deadlines::default(),
            notices: Vec::new(),
            alarm,
            totals: Totals {
                pending_bytes: 0,
                pending_bytes_max: config.max_pending_output_total,
                relief: Time::NEVER,
                descriptors: 0,
                descriptors_max: usize::MAX,
                stale_notices: 0,
                spent_visits: 0,
                outgoing: HashSet::new(),
            },
            stop: Stop::No(Time::NEVER),
            in_force,
            logs: Logs::default(),
            inquired: Inquired { pulse: None, recorder: None, configuration: config.without_secrets(registry).into() },
        };
        for listener in &config.listeners {
            match &listener.listen.passed {
                Some(name) => reactor.take_door(listener, name, registry)?,
                None => {
                    let transport = listener.listen.transport;
                    let opened = bind::open(listener, transport, registry, reactor.kernel.disk(), &reactor.alarm)?;
                    reactor.open_door(listener, opened, &bind::candidates(listener)?)?
                }
            };
        }
        bind::every_passed_socket_is_served(&reactor.kernel)?;
        reactor.in_force.note_transports(&reactor.endpoints);
        reactor.endpoints.set_current();
        reactor.totals.descriptors_max = bind::descriptors_for_connections(&reactor.kernel, &reactor.endpoints)?;
        reactor.reserve_pipes();
        if xray::is_on() || reactor.access.is_on() {
            // A user of the X-ray may want a report as well, and the X-ray costs more than counting.
            reactor.ledger.begin(reactor.moment.now, reactor.generation);
        }
        Ok(reactor)
    }

    /// Sets aside descriptors for the pipes of uploads, once, if a listener takes uploads and there are many descriptors.
    pub(super) fn reserve_pipes(&mut self) {
        let takes_uploads = self.endpoints.iter().any(|endpoint| endpoint.descriptors() > 1);
        if self.lent.buffers.pipes.most() > 0 || !takes_uploads {
            return;
        }
        let (most, used) = (self.totals.descriptors_max, self.totals.descriptors);
        // Connections that the configuration asks for come first.
        let over = most.saturating_sub(bind::wished(&self.endpoints).max(FEW_DESCRIPTORS));
        let pipes = PIPES_MAX.min(most / DESCRIPTORS_PER_PIPE).min(over / 2);
        if let Some(open) = self.kernel.pipes().filter(|_| pipes > 0 && used + 2 * pipes <= most) {
            self.lent.buffers.pipes = Pipes::new(open, pipes);
            if most != usize::MAX {
                self.totals.descriptors_max -= 2 * pipes;
            }
        }
    }

    /// Binds a listener whose service is open, and takes it into a slot. Returns the index of its endpoint, the last one.
    pub(super) fn open_door(
        &mut self,
        listener: &ListenerConfig,
        opened: Opened,
        candidates: &Candidates,
    ) -> Result<u16, NotBound> {
        let token = self.next_token();
        xray::about(token, || What::Visit);
        let bound = bind::bind(&mut self.kernel, listener, opened, candidates, &self.endpoints, token)?;
        Ok(self.take_bound(listener, bound, token)?)
    }

    /// Takes the passed socket `name` of a listener into a slot. Returns the index of its endpoint, the last one.
    fn take_door(&mut self, listener: &ListenerConfig, name: &str, registry: &Registry) -> Result<u16, BindError> {
        let token = self.next_token();
        xray::about(token, || What::Visit);
        let bound = bind::passed(&mut self.kernel, listener, name, registry, token, &self.alarm)?;
        self.take_bound(listener, bound, token)
    }

    /// Takes a bound listener into a slot. Returns the index of its endpoint.
    fn take_bound(&mut self, listener: &ListenerConfig, bound: Bound<K>, token: Token) -> Result<u16, BindError> {
        let index = u16::try_from(self.endpoints.len()).map_err(|_| BindError::Listeners)?;
        let owner = match bound.socket {
            bind::Socket::Listener(socket) => Owner::Listener(Listener::new(socket)),
            bind::Socket::Datagram(socket, protocol) => {
                Owner::Mailbox(Box::new(Mailbox::new(token, &listener.name, socket, protocol)))
            }
        };
        let place = (bound.address, bound.family);
        let endpoint = Endpoint::new(listener, token, place, bound.service, bound.exchange);
        self.endpoints.push(endpoint.allows(bound.allowed));
        let served = xray::serves(|| self.endpoints.last().map(recording::served));
        let endpoint = &mut self.endpoints[index];
        endpoint.served = served;
        endpoint.site.access_log = self.access.is_on().then_some(ACCESS_LOG);
        self.insert(token, index, owner);
        Ok(index)
    }

    /// Returns the listeners in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.endpoints.current()
    }
}

impl<K: Kernel> fmt::Debug for Reactor<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("endpoints", &self.endpoints).field("stop", &self.stop).finish_non_exhaustive()
    }
}
