//! The loop: a poll, a slab of slots, and turns. Who calls what in a turn, and in which file:
//!
//! ```text
//! run, turn                reactor.rs          drive turns on the thread of the caller
//! └ cycle                  reactor.rs          one turn
//!   ├ wait                 reactor.rs          polls: not at all while a slot is queued, else until the next deadline
//!   ├ note                 reactor.rs          marks slots ready; no protocol runs, so no slot changes meanwhile
//!   │ ├ note_done          reactor/errands.rs  the result of a job
//!   │ ├ obey               reactor/stop.rs     a signal, or a call of a `Handle`
//!   │ ├ relieve            reactor/relief.rs   too much output is pending: resets the slowest readers
//!   │ ├ expire_stop        reactor/stop.rs     the next step of a stop: a graceful one has taken too long
//!   │ └ deliver            reactor/deliver.rs  messages to connections that have been sent some
//!   ├ run_ready            reactor.rs          visits ready slots by budget; the rest waits for the next turn
//!   │ ├ drive_door         reactor.rs          a listener or a UDP socket
//!   │ │ ├ drive_listener   reactor/accept.rs   accepts; `take_in` (reactor/open.rs) makes connections
//!   │ │ ├ tick             reactor/tick.rs     calls a service that asked to be called regularly
//!   │ │ └ drive_mailbox    reactor.rs          calls `Mailbox::drive` (datagram.rs)
//!   │ └ drive_connection   reactor.rs          calls `Connection::drive` (connection.rs)
//!   │   ├ drive_opening    reactor/open.rs     or, before there is a protocol, `Opening::drive` (connection/opening.rs)
//!   │   └ settle           reactor/errands.rs  submits a job, connects, relays, arms the deadline, queues the slot again
//!   ├ register_new         reactor/register.rs registers the sockets that were accepted, unless they have closed
//!   ├ pause_reads          reactor/pause.rs    for uploads through pipes: no events of input while a worker empties one
//!   └ reap                 reactor/reap.rs     frees slots, and nothing else does: in a turn no slot has two owners
//! ```

#![warn(clippy::missing_docs_in_private_items)]

mod accept;
mod access;
mod connect;
mod deliver;
mod drops;
mod errands;
mod invariants;
mod kept;
mod ledger;
mod open;
mod pause;
mod queues;
mod reap;
mod recording;
mod register;
mod relay;
mod relief;
pub(crate) mod reload;
mod report;
mod short;
mod slots;
mod slow;
mod snapshot;
mod start;
mod stop;
mod tick;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use self::access::AccessLog;
pub(crate) use self::invariants::Census;
use self::kept::{InForce, Inquired, Logs, Totals, Waiters};
use self::ledger::Ledger;
use self::queues::Queues;
use self::slots::{Owner, Remains, Slot};
use self::stop::Stop;
pub use self::stop::{Stopped, Turn};
use crate::budget::Class;
use crate::deadlines::Deadlines;
use crate::endpoint::Endpoints;
use crate::kernel::{Kernel, Mio, Notice};
use crate::messages::Alarm;
use crate::protocol::{ConnectionId, Place};
use crate::time::Time;
use crate::visit::{Left, Lent, Moment, Mood, Status, Visit};
use crate::xray::{self, What};

/// A server: its listeners, its connections, and the loop that drives them on the thread that runs it.
pub struct Reactor<K: Kernel = Mio> {
    /// The operating system, or a simulated one.
    kernel: K,
    /// Rule 12: the time of this turn.
    moment: Moment,
    /// Everything that the loop owns. A [token](crate::kernel::Token) names a slot and its owner.
    slots: Slab<Slot<K>>,
    /// The generation of the newest owner of a slot.
    generation: u32,
    /// The age of each owner, and its bytes once an administrator has asked for a report or if there is an access log.
    ledger: Ledger,
    /// The lines that connections get when they end.
    access: AccessLog,
    /// The listeners in the order of the configuration; a slot stores the index of its endpoint.
    endpoints: Endpoints,
    /// Slots that wait for a visit or for reaping.
    queues: Queues,
    /// The buffers and the budget, which each visit borrows.
    lent: Lent,
    /// Slots that wait until another slot frees a resource.
    waiters: Waiters,
    /// The time of each slot's next visit, even if no event comes.
    deadlines: Deadlines,
    /// Events, results and commands that the last wait returned; empty between turns.
    notices: Vec<Notice>,
    /// Whether an exchange has messages to deliver.
    alarm: Arc<Alarm>,
    /// Resources of all connections together, with their limits.
    totals: Totals,
    /// The state of a stop.
    stop: Stop,
    /// The configuration, and how a new one takes its place.
    in_force: InForce,
    /// The limited log lines of the loop.
    logs: Logs,
    /// What protocols inquire about.
    inquired: Inquired,
}

impl<K: Kernel> Reactor<K> {
    /// Runs turns until the server is stopped.
    ///
    /// # Errors
    /// The poll itself failed; a peer cannot cause this.
    pub fn run(&mut self) -> io::Result<Stopped> {
        loop {
            let turn = self.cycle(None)?;
            if xray::is_on() {
                // The X-ray may wait for a key before the next turn, and that time belongs to no turn.
                self.end_turn(self.time());
            }
            if let Turn::Stopped(stopped) = turn {
                self.endpoints.gather();
                self.report();
                return Ok(stopped);
            }
        }
    }

    /// Runs one turn, which waits for at most `timeout`, or with `None` until an event or a deadline.
    ///
    /// # Errors
    /// The poll itself failed.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        let turn = self.cycle(timeout);
        // The time until the program calls the next turn belongs to no turn.
        self.end_turn(self.time());
        turn
    }

    /// Runs one turn, unless the server has stopped.
    fn cycle(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        if let Turn::Stopped(stopped) = self.outcome() {
            return Ok(Turn::Stopped(stopped));
        }
        xray::turn(|number| self.turn_begins(number));
        self.wait(timeout)?;
        self.note();
        self.run_ready();
        self.register_new();
        self.pause_reads();
        self.reap();
        Ok(self.outcome())
    }

    /// Polls, and begins the turn with the time at which the poll returned.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let until_deadline = if self.queues.are_empty() && !self.has_messages() {
            let now = self.time();
            self.end_turn(now);
            let next = self.next_deadline();
            (next != Time::NEVER).then(|| next.duration_from(now))
        } else {
            Some(Duration::ZERO)
        };
        let timeout = timeout.into_iter().chain(until_deadline).min();
        self.kernel.wait(&mut self.notices, timeout)?;
        self.moment = Moment::new(self.moment.origin, self.kernel.now());
        self.begin_turn();
        Ok(())
    }

    /// Returns the time at which the loop must wake up even if no event comes.
    fn next_deadline(&self) -> Time {
        let slots = self.deadlines.next().unwrap_or(Time::NEVER);
        slots.min(self.stop.deadline()).min(self.totals.relief)
    }

    /// Reads the clock.
    fn time(&self) -> Time {
        Time::since(self.moment.origin, self.kernel.now())
    }

    /// Marks the slots of all notices and expired deadlines ready.
    fn note(&mut self) {
        let mut notices = std::mem::take(&mut self.notices);
        for notice in notices.drain(..) {
            match notice {
                Notice::Ready(token, readiness) => {
                    // Rule 4: an event for an earlier owner of the slot is ignored.
                    let Some(slot) = self.slot(token) else {
                        self.totals.stale_notices += 1;
                        xray::about(token, || What::Stale);
                        continue;
                    };
                    xray::about(token, move || What::Event(readiness));
                    let class = match &mut slot.owner {
                        Owner::Connection(connection) => {
                            connection.note_ready(readiness);
                            connection.class()
                        }
                        Owner::Mailbox(mailbox) => {
                            mailbox.note_ready(readiness);
                            Class::Door
                        }
                        Owner::Listener(_) => Class::Door,
                        Owner::Opening(opening) => {
                            opening.note_ready(readiness);
                            Class::Quiet
                        }
                        Owner::Remains(_) => continue,
                    };
                    if slot.mark_queued() {
                        self.queues.of(class).push_back(token.slot);
                    }
                }
                Notice::Done(token, result) => self.note_done(token, result),
                Notice::Waiting(waiting) => self.warn_of_waiting(waiting),
                Notice::Command(command) => self.obey(command),
            }
        }
        self.notices = notices;
        while let Some(slot) = self.deadlines.pop(self.moment.now) {
            xray::about(self.token(slot), || What::Due);
            self.queue(slot);
        }
        self.relieve();
        self.expire_stop();
        if self.has_messages() {
            self.deliver();
        }
    }

    /// Visits ready slots as long as the turn has time.
    fn run_ready(&mut self) {
        // Rule 5: doors, then quiet connections, then loud ones. A slot that is queued meanwhile waits for the next turn.
        for _ in 0..self.queues.doors.len() {
            self.drive_door();
        }
        for _ in 0..self.queues.quiet.len() {
            let Some(key) = self.queues.quiet.pop_front() else { break };
            self.drive_connection(key, Class::Quiet);
            if self.lent.budget.quiet_time_is_up() {
                break;
            }
        }
        for _ in 0..self.queues.loud.len() {
            let Some(key) = self.queues.loud.pop_front() else { break };
            self.drive_connection(key, Class::Loud);
            if self.lent.budget.loud_time_is_up() {
                break;
            }
        }
    }

    /// Visits the listener or UDP socket that has waited longest.
    fn drive_door(&mut self) {
        let Some(key) = self.queues.doors.pop_front() else { return };
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        slot.queued = false;
        self.lent.budget.begin_visit(Class::Door, slot.endpoint);
        match slot.owner {
            Owner::Listener(_) => {
                self.drive_listener(key);
                self.tick(key);
            }
            Owner::Mailbox(_) => self.drive_mailbox(key),
            Owner::Opening(_) | Owner::Connection(_) | Owner::Remains(_) => {}
        }
    }

    /// Visits a connection, or the opening of one.
    fn drive_connection(&mut self, key: u32, class: Class) {
        let counts = self.ledger.is_counting();
        let Some((Owner::Connection(connection), mut visit)) = self.begin_visit(key, class) else {
            return self.drive_opening(key);
        };
        xray::about(visit.place.id.token(), || What::Visit);
        let pending_before = connection.pending_bytes();
        // Bytes are counted only after the first report or for an access log, so that the hot path pays no more than a branch.
        let before = counts.then_some((visit.stats.received_bytes, visit.stats.sent_bytes));
        let left @ Left { status, deadline } = connection.drive(&mut visit);
        let moved =
            before.map(|(received, sent)| (visit.stats.received_bytes - received, visit.stats.sent_bytes - sent));
        let errand = visit.errand.take();
        let pending_after = connection.pending_bytes();
        let now = visit.now;
        xray::record(move || recording::left(status, pending_after, deadline, now));
        // Rule 6: while this total is over its limit, all connections read less.
        self.totals.pending_bytes = self.totals.pending_bytes + pending_after - pending_before;
        if let Some((received, sent)) = moved {
            let pending = if let Status::Closed = status { pending_before } else { pending_after };
            self.ledger.add(key, received, sent, pending > 0);
        }
        self.settle(key, left, errand, Class::Loud);
        self.wake_buffer_waiters();
    }

    /// Visits a UDP socket.
    fn drive_mailbox(&mut self, key: u32) {
        let Some((Owner::Mailbox(mailbox), mut visit)) = self.visit(key) else { return };
        xray::about(visit.place.id.token(), || What::Visit);
        let mut left @ Left { status, deadline } = mailbox.drive(&mut visit);
        let errand = visit.errand.take();
        xray::record(|| recording::left(status, 0, deadline, visit.now));
        if self.access.is_on() {
            left = self.log_drops(key, left);
        }
        self.settle(key, left, errand, Class::Door);
    }

    /// Begins the visit of a slot that was taken out of its queue.
    #[inline]
    fn begin_visit(&mut self, key: u32, class: Class) -> Option<(&mut Owner<K>, Visit<'_>)> {
        let slot = self.slots.get_mut(key as usize)?;
        slot.queued = false;
        self.lent.budget.begin_visit(class, slot.endpoint);
        self.visit(key)
    }

    /// Returns the owner of a slot, and what its visit borrows.
    #[inline]
    fn visit(&mut self, key: u32) -> Option<(&mut Owner<K>, Visit<'_>)> {
        let pressed = self.is_pressed();
        let slot = self.slots.get_mut(key as usize)?;
        let who = slot.token(key);
        let endpoint = &mut self.endpoints[slot.endpoint];
        let mood = Mood { pressed, stopping: endpoint.stopping };
        let place = Place { id: ConnectionId::of(who), site: &endpoint.site, clock: &self.kernel };
        let served = (&mut endpoint.stats, &endpoint.limits);
        let visit = Visit::new(&mut self.lent, &self.moment, place, served, mood);
        Some((&mut slot.owner, visit))
    }
}

#[cfg(test)]
mod tests;
