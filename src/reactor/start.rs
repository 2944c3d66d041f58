//! Starting a server: binds its listeners and puts them into slots.

use std::fmt;
use std::io;

use slab::Slab;

use super::kept::{Inquired, Logs, Totals, Waiters};
use super::ledger::Ledger;
use super::queues::Queues;
use super::slots::Owner;
use super::stop::Stop;
use super::{Reactor, recording};
use crate::bind::{self, BindError};
use crate::budget::Budget;
use crate::config::Config;
use crate::datagram::Mailbox;
use crate::deadlines::Deadlines;
use crate::endpoint::{Endpoint, Endpoints};
use crate::kernel::{Handle, Kernel, Mio};
use crate::listener::Listener;
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

    /// Makes SIGTERM and SIGINT stop the server, the second one at once, and SIGUSR1 [report](Handle::report).
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
    pub fn with_kernel(kernel: K, config: &Config, registry: &Registry) -> Result<Self, BindError> {
        let origin = kernel.now();
        let moment = Moment::new(origin, origin);
        let mut reactor = Self {
            kernel,
            moment,
            slots: Slab::new(),
            generation: 0,
            ledger: Ledger::default(),
            endpoints: Endpoints::default(),
            queues: Queues::default(),
            lent: Lent::new(Budget::new(moment.now, config.slow_turn)),
            waiters: Waiters::default(),
            deadlines: Deadlines::default(),
            notices: Vec::new(),
            totals: Totals {
                pending_bytes: 0,
                pending_bytes_max: config.max_pending_output_total,
                relief: Time::NEVER,
                descriptors: 0,
                descriptors_max: usize::MAX,
                stale_notices: 0,
            },
            stop: Stop::No,
            shutdown_timeout: config.shutdown_timeout,
            logs: Logs::default(),
            inquired: Inquired { pulse: None, recorder: None, configuration: config.without_secrets(registry).into() },
        };
        for listener in &config.listeners {
            let index = u16::try_from(reactor.endpoints.len()).map_err(|_| BindError::Listeners)?;
            let token = reactor.next_token();
            xray::about(token, || What::Visit);
            let bound = bind::bind(&mut reactor.kernel, listener, registry, &reactor.endpoints, token)?;
            let owner = match bound.socket {
                bind::Socket::Listener(socket) => Owner::Listener(Listener::new(socket)),
                bind::Socket::Datagram(socket, protocol) => {
                    Owner::Mailbox(Box::new(Mailbox::new(token, &listener.name, socket, protocol)))
                }
            };
            reactor.endpoints.push(Endpoint::new(listener, token, bound.address, bound.service));
            xray::serves(|| reactor.endpoints.last().map(recording::served));
            reactor.insert(token, index, owner);
        }
        reactor.totals.descriptors_max = bind::descriptors_for_connections(&reactor.kernel, &reactor.endpoints)?;
        if xray::is_on() {
            // A user of the X-ray may want a report as well, and the X-ray costs more than counting.
            reactor.ledger.begin(reactor.moment.now, reactor.generation);
        }
        Ok(reactor)
    }

    /// Returns the listeners in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl<K: Kernel> fmt::Debug for Reactor<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("endpoints", &self.endpoints).field("stop", &self.stop).finish_non_exhaustive()
    }
}
