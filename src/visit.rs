//! A visit: what the loop lends to a driver (`connection.rs`, `datagram.rs`), and how the visit ends.

#![warn(clippy::missing_docs_in_private_items)]

use std::time::Instant;

use crate::budget::Budget;
use crate::bulk::Buffers;
use crate::job::Job;
use crate::limits::{Limits, READ_BUFFER_BYTES};
use crate::outbox::Outbox;
use crate::protocol::{Connect, ConnectionId, Place};
use crate::stats::Stats;
use crate::time::Time;

/// What all drivers use, one after the other.
#[derive(Debug)]
pub(crate) struct Lent {
    /// Input is read into this buffer.
    pub(crate) read_buffer: Box<[u8]>,
    /// Output is appended here. Rule 11: empty between visits, so that nothing can go to the wrong peer.
    pub(crate) outbox: Outbox,
    /// The buffers of uploads.
    pub(crate) buffers: Buffers,
    /// What the current visit and turn may still do.
    pub(crate) budget: Budget,
}

impl Lent {
    /// Allocates the buffers.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            outbox: Outbox::default(),
            buffers: Buffers::default(),
            budget,
        }
    }
}

/// The time of a turn. Rule 12: it is the same for all visits of the turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// When the loop was made: [`Time`] counts from here.
    pub(crate) origin: Instant,
    /// The time, in nanoseconds from `origin`.
    pub(crate) now: Time,
    /// The same, as protocols get it.
    pub(crate) instant: Instant,
}

impl Moment {
    /// Returns the moment `instant` of a loop that was made at `origin`.
    pub(crate) fn new(origin: Instant, instant: Instant) -> Self {
        Self { origin, now: Time::since(origin, instant), instant }
    }
}

/// What the state of the whole server demands of each driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// All connections together have too much output pending: read little, and only from peers that have none pending.
    pub(crate) pressed: bool,
    /// The server or the listener is stopping: connections between requests close.
    pub(crate) stopping: bool,
}

/// One visit of the owner of a slot.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    /// [`Lent::read_buffer`].
    pub(crate) read_buffer: &'a mut [u8],
    /// [`Lent::outbox`].
    pub(crate) outbox: &'a mut Outbox,
    /// [`Lent::buffers`].
    pub(crate) buffers: &'a mut Buffers,
    /// [`Lent::budget`].
    pub(crate) budget: &'a mut Budget,
    /// [`Moment::now`].
    pub(crate) now: Time,
    /// The time of the turn.
    pub(crate) moment: &'a Moment,
    /// The owner, its listener and the clock.
    pub(crate) place: Place<'a>,
    /// The counters of the listener or UDP socket.
    pub(crate) stats: &'a mut Stats,
    /// The limits of the listener or UDP socket.
    pub(crate) limits: &'a Limits,
    /// [`Mood::pressed`].
    pub(crate) pressed: bool,
    /// [`Mood::stopping`].
    pub(crate) stopping: bool,
    /// Bytes of output that the kernel took.
    pub(crate) written: usize,
    /// What the loop is asked to do after the visit. Not in [`Left`], which would not fit into two registers with it.
    pub(crate) errand: Option<Errand>,
}

impl<'a> Visit<'a> {
    /// Begins a visit at `moment` of the owner that `place` names.
    #[inline]
    pub(crate) fn new(
        lent: &'a mut Lent,
        moment: &'a Moment,
        place: Place<'a>,
        (stats, limits): (&'a mut Stats, &'a Limits),
        mood: Mood,
    ) -> Self {
        let Lent { read_buffer, outbox, buffers, budget } = lent;
        let Mood { pressed, stopping } = mood;
        let now = moment.now;
        Self {
            read_buffer,
            outbox,
            buffers,
            budget,
            now,
            moment,
            place,
            stats,
            limits,
            pressed,
            stopping,
            written: 0,
            errand: None,
        }
    }

    /// Counts work. Rule 12: reads the clock only after enough work for the time to matter.
    #[inline]
    pub(crate) fn charge(&mut self, units: u32) {
        if self.budget.charge(units) {
            self.look();
        }
    }

    /// Reads the clock.
    #[cold]
    fn look(&mut self) {
        self.budget.look(self.now.after(self.place.clock.now().saturating_duration_since(self.moment.instant)));
    }
}

/// What a driver asks of the loop, which does it after the visit and notifies the driver of the result or the refusal.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Run this job on a worker.
    Job(Job),
    /// Connect to another server.
    Connect(Box<Connect>),
    /// Join the connection with this one.
    Relay(ConnectionId),
    /// Let go of the new connection that the protocol has now been given; then the errand that it asked for, if there is one.
    LetGo(ConnectionId, Option<Box<Self>>),
}

/// The result of a visit, beside its errand. It fits into two registers.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Left {
    /// How the visit ended.
    pub(crate) status: Status,
    /// When the next visit is due even if nothing happens; [`Time::NEVER`] for none.
    pub(crate) deadline: Time,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Rule 1: nothing can be done before an edge, a result or a deadline.
    Waiting,
    /// The budget is used up. No edge will follow, so it needs another visit.
    Again,
    /// It needs a buffer of the pool, and another visit when one is free.
    WantsBuffer,
    /// It relays: the loop moves bytes between it and the other half.
    Relays,
    /// It has ended: reap it.
    Closed,
}
