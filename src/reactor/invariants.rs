//! Invariants that are true between two turns. The simulation checks them after each turn.

use super::{Owner, Reactor, Slot};
use crate::bulk::{Buffers, Pipes};
use crate::config::ListenerConfig;
use crate::connection::opener::Opens;
use crate::connection::{Claim, Connection};
use crate::endpoint::{Endpoint, Tenant};
use crate::kernel::{Kernel, Token};
use crate::listener::Pause;
use crate::protocol::ConnectionId;
use crate::time::Time;

/// The numbers of what a reactor holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Listeners.
    pub(crate) listeners: usize,
    /// Datagram sockets.
    pub(crate) mailboxes: usize,
    /// Connections with or without a protocol.
    pub(crate) connections: usize,
    /// Connections that have no protocol yet.
    pub(crate) openings: usize,
    /// Slots of closed connections whose job is still running.
    pub(crate) remains: usize,
    /// Jobs whose results are still to come.
    pub(crate) jobs: usize,
    /// Slots that have a deadline.
    pub(crate) deadlines: usize,
    /// Buffers that uploads hold.
    pub(crate) buffers: usize,
    /// Uploads that wait for a buffer.
    pub(crate) buffer_waiters: usize,
    /// Bytes of pending output.
    pub(crate) pending_bytes: usize,
    /// Descriptors that connections may need.
    pub(crate) descriptors: usize,
    /// Notices that were ignored because their owner had closed.
    pub(crate) stale_notices: u64,
}

impl<K: Kernel> Reactor<K> {
    /// Counts what the reactor holds.
    ///
    /// # Errors
    /// The invariant that is broken.
    pub(crate) fn census(&self) -> Result<Census, String> {
        let mut census = Census {
            deadlines: self.deadlines.len(),
            buffers: self.lent.buffers.lent(),
            descriptors: self.totals.descriptors,
            stale_notices: self.totals.stale_notices,
            ..Census::default()
        };
        let mut connecting = 0;
        for (key, slot) in &self.slots {
            let queued = self.queues.iter().filter(|ready| *ready as usize == key).count();
            if queued != usize::from(slot.queued) {
                return Err(format!("slot {key} is {queued} times in the queues"));
            }
            match &slot.owner {
                Owner::Listener(listener) => {
                    census.listeners += 1;
                    let wakes = self.totals.descriptors > 0 || self.deadlines.at(key as u32) != Time::NEVER;
                    let is_short = self.waiters.descriptors.contains(key as u32);
                    // The listeners in front of it wake it, one after the other.
                    let front = self.waiters.descriptors.first().and_then(|first| self.slots.get(first as usize));
                    let is_woken = is_short && front.is_some_and(|front| front.queued);
                    let is_timed = listener.paused == Some(Pause::Rate) && self.deadlines.at(key as u32) != Time::NEVER;
                    let waits = is_timed || wakes && (listener.waits_for_room || is_short);
                    if listener.paused.is_some() && !slot.queued && !is_woken && !waits {
                        return Err(format!("slot {key} does not accept, and nothing will change that"));
                    }
                }
                Owner::Mailbox(mailbox) => {
                    census.mailboxes += 1;
                    let endpoint = &self.endpoints[slot.endpoint];
                    if endpoint.stats.datagrams_accounted() + mailbox.unsent() as u64
                        != endpoint.stats.received_datagrams
                    {
                        return Err(format!("{} unsent, and datagrams do not add up: {endpoint}", mailbox.unsent()));
                    }
                }
                Owner::Opening(opening) => {
                    census.connections += 1;
                    census.openings += 1;
                    connecting += usize::from(opening.asker().is_some_and(|asker| self.awaits_result(asker)));
                    census.pending_bytes += opening.pending_bytes();
                    let checked = opening.check_waiting(slot.queued, self.deadlines.at(key as u32));
                    checked.map_err(|broken| format!("slot {key}: {broken}"))?;
                }
                Owner::Remains(_) => {
                    census.remains += 1;
                    // If the slot waits for reaping, its job has returned.
                    census.jobs += usize::from(!slot.queued);
                }
                Owner::Connection(connection) => {
                    census.connections += 1;
                    census.buffer_waiters += usize::from(slot.wants_buffer);
                    census.jobs += usize::from(connection.awaits_job());
                    census.pending_bytes += connection.pending_bytes();
                    let limits = &self.endpoints[slot.endpoint].limits;
                    let wakes = slot.queued || (slot.wants_buffer && !connection.is_closed());
                    let checked = connection.check_waiting(wakes).and_then(|()| connection.check_bounds(limits));
                    checked.map_err(|broken| format!("slot {key}: {broken}"))?;
                    self.check_next(key as u32, slot, connection).map_err(|broken| format!("slot {key} {broken}"))?;
                }
            }
        }
        // A connection that waits for a socket which connects has no job at the kernel.
        census.jobs -= connecting;
        self.check_sums(&census)?;
        self.check_endpoints()?;
        self.check_messages()?;
        Ok(census)
    }

    /// Whether a connection waits for the result of an errand.
    fn awaits_result(&self, who: Token) -> bool {
        let slot = self.slots.get(who.slot as usize).filter(|slot| slot.generation == who.generation);
        matches!(slot.map(|slot| &slot.owner), Some(Owner::Connection(connection)) if connection.awaits_job())
    }

    /// Returns the endpoint whose listener has waited longest for descriptors.
    pub(crate) fn first_in_short(&self) -> Option<usize> {
        Some(self.slots.get(self.waiters.descriptors.first()? as usize)?.endpoint.into())
    }

    /// Limits the buffers and the pipes of all uploads together, so that a simulation with few uploads runs out of them. An upload
    /// gets a pipe at once: the simulated ones are too small for more.
    pub(crate) fn limit_buffers(&mut self, most: usize, pipes: usize) {
        let before = std::mem::replace(&mut self.lent.buffers.pipes, Pipes::none());
        self.lent.buffers = Buffers::new(most).with_pipes(before.hurried(pipes));
    }

    /// Makes all connections begin with this opening, in a simulation.
    pub(crate) fn open_with(&mut self, opens: Opens) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.opens = Some(opens));
    }

    /// Returns the bytes of all messages between connections that are under way.
    pub(crate) fn message_bytes(&self) -> usize {
        self.check_messages().unwrap_or(usize::MAX)
    }

    /// Returns the bytes of output that a connection has pending.
    pub(crate) fn pending_bytes(&self, id: ConnectionId) -> usize {
        self.connection(id).map_or(0, Connection::pending_bytes)
    }

    /// Whether a connection takes messages.
    pub(crate) fn takes_messages(&self, id: ConnectionId) -> bool {
        self.connection(id).is_some_and(Connection::takes_messages)
    }

    /// Returns a connection that has a protocol.
    fn connection(&self, id: ConnectionId) -> Option<&Connection<K::Stream>> {
        let token = id.token();
        let slot = self.slots.get(token.slot as usize).filter(|slot| slot.generation == token.generation)?;
        if let Owner::Connection(connection) = &slot.owner { Some(connection) } else { None }
    }

    /// Checks the messages of each listener. Returns their bytes.
    fn check_messages(&self) -> Result<usize, String> {
        let waiting = |id| self.connection(id).map_or(0, Connection::waiting_posts);
        let checked = self.endpoints.iter().map(|endpoint| {
            let checked = endpoint.site.exchange.check(waiting);
            checked.map_err(|broken| format!("{}: {broken}", endpoint.name()))
        });
        checked.sum()
    }

    /// Returns what waiting connections claim about their sockets.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (Token, Claim)> {
        self.slots.iter().filter_map(|(key, slot)| match &slot.owner {
            Owner::Connection(connection) => Some((slot.token(key as u32), connection.claim())),
            Owner::Opening(opening) => Some((slot.token(key as u32), opening.claim())),
            _ => None,
        })
    }

    /// Returns the listeners and datagram sockets that wait because they claim that their sockets are drained.
    pub(crate) fn drained(&self) -> impl Iterator<Item = Token> {
        self.slots.iter().filter_map(|(key, slot)| {
            let drained = match &slot.owner {
                Owner::Listener(listener) => listener.paused.is_none(),
                Owner::Mailbox(mailbox) => mailbox.is_drained(),
                Owner::Opening(_) | Owner::Connection(_) | Owner::Remains(_) => false,
            };
            (drained && !slot.queued).then_some(slot.token(key as u32))
        })
    }

    /// Checks that something will happen to a connection: its deadline, its job, or its relay.
    fn check_next(&self, key: u32, slot: &Slot<K>, connection: &Connection<K::Stream>) -> Result<(), String> {
        let limits = &self.endpoints[slot.endpoint].limits;
        let (due, armed) = (connection.deadline(limits), self.deadlines.at(key));
        if !slot.queued && armed > due {
            return Err(format!("is due at {due:?}, but armed for {armed:?}"));
        }
        if let Some(asker) = connection.waits_for_asker() {
            return self.check_asker(ConnectionId::of(slot.token(key)), asker);
        }
        if !slot.queued && due == Time::NEVER && !connection.awaits_job() {
            return Err("has neither a deadline, nor a job, nor a visit before it".to_owned());
        }
        let Some(other) = connection.relays_with() else { return Ok(()) };
        Ok(self.check_relay(slot, connection, other)?)
    }

    /// Checks that the connection for which a new one waits will let it go.
    fn check_asker(&self, made: ConnectionId, asker: ConnectionId) -> Result<(), String> {
        let token = asker.token();
        match self.slots.get(token.slot as usize).filter(|slot| slot.generation == token.generation) {
            Some(Slot { owner: Owner::Connection(asker), .. }) if asker.keeps_waiting(made) => Ok(()),
            _ => Err("waits for a connection that will not let it go".to_owned()),
        }
    }

    /// Checks one half of a relay against the other one.
    fn check_relay(
        &self,
        slot: &Slot<K>,
        connection: &Connection<K::Stream>,
        other: ConnectionId,
    ) -> Result<(), &'static str> {
        let Some(half) = self.slots.get(other.token().slot as usize) else {
            return Err("relays, and the other half has ended");
        };
        let Owner::Connection(other) = &half.owner else { return Err("relays with no connection") };
        let limits = &self.endpoints[slot.endpoint].limits;
        if slot.queued || half.queued { Ok(()) } else { connection.check_relay(other, limits, self.is_pressed()) }
    }

    /// Checks that the endpoints are those of the configuration in force, and that each slot has its own.
    fn check_endpoints(&self) -> Result<(), &'static str> {
        let tenants = self.slots.iter().map(|(key, slot)| {
            let tenant = match slot.owner {
                Owner::Listener(_) | Owner::Mailbox(_) => Tenant::Door(slot.token(key as u32)),
                Owner::Opening(_) => Tenant::Opening,
                Owner::Connection(_) | Owner::Remains(_) => Tenant::Connection,
            };
            (slot.endpoint, tenant)
        });
        self.endpoints.check(tenants)?;
        let (configured, current) = (&self.in_force.config.listeners, self.endpoints.current());
        let is_of = |(config, endpoint): (&ListenerConfig, &Endpoint)| {
            (&config.name, &config.limits, config.backlog) == (&endpoint.site.name, &endpoint.limits, endpoint.backlog)
                && (&*config.protocol, config.listen.transport) == (endpoint.protocol(), endpoint.transport())
        };
        if configured.len() == current.len() && configured.iter().zip(current).all(is_of) {
            Ok(())
        } else {
            Err("the listeners are not those of the configuration in force")
        }
    }

    /// Whether each endpoint remembers only proxies of its own connections.
    fn are_proxies_of_living(&self) -> bool {
        let mut remembered = (0..)
            .zip(self.endpoints.iter())
            .flat_map(|(index, endpoint)| endpoint.site.proxies.connections().map(move |id| (index, id.token())));
        remembered.all(|(index, Token { slot, generation })| {
            let slot = self.slots.get(slot as usize);
            slot.is_some_and(|slot| (slot.generation, slot.endpoint) == (generation, index))
        })
    }

    /// Checks the totals against the slots.
    fn check_sums(&self, census: &Census) -> Result<(), String> {
        let lives = |key: u32| self.slots.contains(key as usize);
        let open: usize = self.endpoints.iter().map(|endpoint| endpoint.connections).sum();
        let opening: usize = self.endpoints.iter().map(|endpoint| endpoint.opening).sum();
        let visits = !self.queues.are_empty();
        let served = census.buffer_waiters == 0 || self.lent.buffers.free() == 0 || visits;
        let rules = [
            (self.queues.iter().all(lives), "a free slot is in a queue"),
            (self.queues.new.is_empty(), "a connection is not registered after its first turn"),
            (self.lent.outbox.is_empty(), "the shared outbox is not empty"),
            (self.totals.pending_bytes == census.pending_bytes, "pending_bytes is not the sum of all pending output"),
            (opening == census.openings, "the connections without a protocol do not add up"),
            (open == census.connections + census.remains, "the open connections do not add up"),
            (self.are_proxies_of_living(), "the proxy of a connection that has ended is remembered"),
            (served, "an upload waits for a buffer although one is free, and no visit will wake it"),
            (census.deadlines <= self.slots.len(), "there are more deadlines than slots"),
        ];
        match rules.iter().find(|(kept, _)| !kept) {
            Some((_, broken)) => Err((*broken).to_owned()),
            None => Ok(()),
        }
    }
}
