//! The loop: a poll, a slab of slots, and turns.
//!
//! One [turn](Reactor::turn) is *wait, note, run, reap*:
//!
//! - **wait** for events; not at all while a slot is queued, else until the next deadline.
//! - **note** each event, deadline and result: it only marks its slot ready. No protocol runs, so nothing changes meanwhile.
//! - **run** the ready slots, each within its budget: listeners and UDP sockets, then connections that take little, then
//!   those that take much. What a slot leaves over, and slots for which the turn has no time, are for a later turn.
//! - **reap** the slots that are over, within a budget as well. This is the only place where a slot is freed, so an event
//!   can never meet a newer owner of its slot within a turn; across turns the generation in the token sees to it.

mod accept;
mod errands;
mod invariants;
mod kept;
mod ledger;
mod open;
mod queues;
mod reap;
mod recording;
mod relief;
mod report;
mod short;
mod slots;
mod slow;
mod start;
mod stop;

use std::io;
use std::time::Duration;

use slab::Slab;

pub(crate) use self::invariants::Census;
use self::kept::{Logs, Totals, Waiters};
use self::ledger::Ledger;
use self::queues::Queues;
use self::slots::{Owner, Remains, Slot};
use self::stop::Stop;
pub use self::stop::Stopped;
use crate::budget::Class;
use crate::deadlines::Deadlines;
use crate::endpoint::Endpoints;
use crate::kernel::{Kernel, Mio, Notice};
use crate::protocol::{ConnectionId, Place};
use crate::time::Time;
use crate::visit::{Left, Lent, Moment, Mood, Visit};
use crate::xray::{self, What};

/// A server: everything it listens on, every connection, and the loop that drives them, on the thread that runs it.
pub struct Reactor<K: Kernel = Mio> {
    kernel: K,
    /// The time of this turn.
    moment: Moment,
    /// Everything that the loop owns. A [token](crate::kernel::Token) names a slot and its owner.
    slots: Slab<Slot<K>>,
    /// The newest owner of a slot.
    generation: u32,
    ledger: Ledger,
    /// What is served, in the order of the configuration; a slot knows its endpoint by the index.
    endpoints: Endpoints,
    /// Slots that are to be visited, and to be reaped.
    queues: Queues,
    /// What each visit is lent.
    lent: Lent,
    /// Slots that wait until others free something.
    waiters: Waiters,
    deadlines: Deadlines,
    /// What happened while the loop waited; empty between turns.
    notices: Vec<Notice>,
    totals: Totals,
    stop: Stop,
    shutdown_timeout: Duration,
    logs: Logs,
}

/// Whether another turn is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// The server is running.
    Running,
    /// It has ended.
    Stopped(Stopped),
}

impl<K: Kernel> Reactor<K> {
    /// Turns until the server is stopped.
    ///
    /// # Errors
    /// The poll itself failed; nothing that a peer does can cause it.
    pub fn run(&mut self) -> io::Result<Stopped> {
        loop {
            let turn = self.cycle(None)?;
            if xray::is_on() {
                // It may make the next turn wait for a key.
                self.end_turn(self.time());
            }
            if let Turn::Stopped(stopped) = turn {
                self.report();
                return Ok(stopped);
            }
        }
    }

    /// One turn, which waits for at most `timeout`; `None` lets it wait until something happens.
    ///
    /// # Errors
    /// The poll itself failed.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        let turn = self.cycle(timeout);
        // What the program does before the next turn is not the loop's time.
        self.end_turn(self.time());
        turn
    }

    fn cycle(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        if let Turn::Stopped(stopped) = self.outcome() {
            return Ok(Turn::Stopped(stopped));
        }
        xray::turn(|number| self.turn_begins(number));
        self.wait(timeout)?;
        self.note();
        self.run_ready();
        self.reap();
        Ok(self.outcome())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let until_deadline = if self.queues.are_empty() {
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
        self.end_turn(self.moment.now);
        self.lent.budget.begin_turn(self.moment.now);
        Ok(())
    }

    /// When something has to be done though nothing happens.
    fn next_deadline(&self) -> Time {
        let slots = self.deadlines.next().unwrap_or(Time::NEVER);
        slots.min(self.stop.deadline().unwrap_or(Time::NEVER)).min(self.totals.relief)
    }

    /// What the clock says.
    fn time(&self) -> Time {
        Time::since(self.moment.origin, self.kernel.now())
    }

    fn note(&mut self) {
        let mut notices = std::mem::take(&mut self.notices);
        for notice in notices.drain(..) {
            match notice {
                Notice::Ready(token, readiness) => {
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
                Notice::Waiting(waiting) => self.tell_waiting(waiting),
                Notice::Command(command) => self.obey(command),
            }
        }
        self.notices = notices;
        while let Some(slot) = self.deadlines.pop(self.moment.now) {
            xray::about(self.token(slot), || What::Due);
            self.queue(slot);
        }
        self.relieve();
        if let Stop::Orderly(until) = self.stop
            && until <= self.moment.now
        {
            let connections =
                self.slots.iter().any(|(_, slot)| matches!(slot.owner, Owner::Connection(_) | Owner::Opening(_)));
            let what = if connections { "cutting the connections" } else { "closing the sockets" };
            log::warn!("shutdown_timeout is over: {what} that are left");
            self.cut(Stopped::InOrder);
        }
    }

    fn run_ready(&mut self) {
        // Rule 5: doors, then quiet connections, then loud ones. What comes into a queue meanwhile waits for the next turn.
        for _ in 0..self.queues.doors.len() {
            self.drive_door();
        }
        for _ in 0..self.queues.quiet.len() {
            let Some(key) = self.queues.quiet.pop_front() else { break };
            self.drive_connection(key, Class::Quiet);
            if self.lent.budget.quiet_is_over() {
                break;
            }
        }
        for _ in 0..self.queues.loud.len() {
            let Some(key) = self.queues.loud.pop_front() else { break };
            self.drive_connection(key, Class::Loud);
            if self.lent.budget.loud_is_over() {
                break;
            }
        }
    }

    fn drive_door(&mut self) {
        let Some(key) = self.queues.doors.pop_front() else { return };
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        slot.queued = false;
        self.lent.budget.begin_visit(Class::Door, slot.endpoint);
        match slot.owner {
            Owner::Listener(_) => self.drive_listener(key),
            Owner::Mailbox(_) => self.drive_mailbox(key),
            Owner::Opening(_) | Owner::Connection(_) | Owner::Remains(_) => {}
        }
    }

    fn drive_connection(&mut self, key: u32, class: Class) {
        let counts = self.ledger.is_open();
        let Some((Owner::Connection(connection), mut visit)) = self.begin_visit(key, class) else {
            return self.drive_opening(key);
        };
        xray::about(visit.place.id.token(), || What::Visit);
        let pending_before = connection.pending_bytes();
        let before = counts.then_some((visit.stats.received_bytes, visit.stats.sent_bytes));
        let left @ Left { status, deadline } = connection.drive(&mut visit);
        let moved =
            before.map(|(received, sent)| (visit.stats.received_bytes - received, visit.stats.sent_bytes - sent));
        let errand = visit.errand.take();
        let pending_after = connection.pending_bytes();
        let now = visit.now;
        xray::record(move || recording::left(status, pending_after, deadline, now));
        self.totals.pending_bytes = self.totals.pending_bytes + pending_after - pending_before;
        if let Some((received, sent)) = moved {
            self.ledger.add(key, received, sent);
        }
        self.settle(key, left, errand, Class::Loud);
        self.wake_buffer_waiters();
    }

    fn drive_mailbox(&mut self, key: u32) {
        let Some((Owner::Mailbox(mailbox), mut visit)) = self.visit(key) else { return };
        xray::about(visit.place.id.token(), || What::Visit);
        let left @ Left { status, deadline } = mailbox.drive(&mut visit);
        let errand = visit.errand.take();
        xray::record(|| recording::left(status, 0, deadline, visit.now));
        self.settle(key, left, errand, Class::Door);
    }

    /// Whether all connections together have too much output pending.
    fn is_pressed(&self) -> bool {
        self.totals.pending_bytes > self.totals.pending_bytes_max
    }

    /// The owner of a slot that has been taken out of its queue, and what it needs for a visit.
    #[inline]
    fn begin_visit(&mut self, key: u32, class: Class) -> Option<(&mut Owner<K>, Visit<'_>)> {
        let slot = self.slots.get_mut(key as usize)?;
        slot.queued = false;
        self.lent.budget.begin_visit(class, slot.endpoint);
        self.visit(key)
    }

    /// The owner of a slot, and what it needs for a visit.
    #[inline]
    fn visit(&mut self, key: u32) -> Option<(&mut Owner<K>, Visit<'_>)> {
        let (pressed, stopping) = (self.is_pressed(), self.is_stopping());
        let slot = self.slots.get_mut(key as usize)?;
        let who = slot.token(key);
        let endpoint = &mut self.endpoints[slot.endpoint];
        let mood = Mood { pressed, stopping };
        let place = Place { id: ConnectionId::of(who), site: &endpoint.site, clock: &self.kernel };
        let served = (&mut endpoint.stats, &endpoint.limits);
        let visit = Visit::new(&mut self.lent, &self.moment, place, served, mood);
        Some((&mut slot.owner, visit))
    }
}

#[cfg(test)]
mod tests;
