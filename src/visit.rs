//! A visit: what the loop lends to the owner of a slot, and what came of it. Both drivers take it alike.

use std::time::Instant;

use crate::budget::Budget;
use crate::bulk::Buffers;
use crate::job::Job;
use crate::limits::{Limits, READ_BUFFER_BYTES};
use crate::outbox::Outbox;
use crate::protocol::Place;
use crate::stats::Stats;
use crate::time::Time;

/// What all owners of slots use, one after the other.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) read_buffer: Box<[u8]>,
    /// Rule 11: empty between visits, so that nothing can go to the wrong peer.
    pub(crate) outbox: Outbox,
    /// The buffers of uploads.
    pub(crate) buffers: Buffers,
    /// What the visit that is under way may still do, and the turn.
    pub(crate) budget: Budget,
}

impl Lent {
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
    /// When the loop was made: what [`Time`] counts from.
    pub(crate) origin: Instant,
    pub(crate) now: Time,
    pub(crate) instant: Instant,
}

impl Moment {
    pub(crate) fn new(origin: Instant, instant: Instant) -> Self {
        Self { origin, now: Time::since(origin, instant), instant }
    }
}

/// What the loop asks of an owner, whatever it is in the middle of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// All connections together have too much output pending: read little, and only for peers that take theirs.
    pub(crate) pressed: bool,
    /// The server stops: a connection between two requests closes.
    pub(crate) stopping: bool,
}

/// One visit of the owner of a slot.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) read_buffer: &'a mut [u8],
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) budget: &'a mut Budget,
    pub(crate) now: Time,
    pub(crate) moment: &'a Moment,
    /// Whose visit it is, and by which clocks.
    pub(crate) place: Place<'a>,
    pub(crate) stats: &'a mut Stats,
    pub(crate) limits: &'a Limits,
    pub(crate) pressed: bool,
    pub(crate) stopping: bool,
    /// Bytes of output that the kernel took.
    pub(crate) written: usize,
    /// What is asked of the loop, once the visit has ended. It is here and not in [`Left`], because a job in that would make each
    /// visit return its result through memory.
    pub(crate) errand: Option<Errand>,
}

impl<'a> Visit<'a> {
    /// A visit at `moment` of the owner that `place` names.
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

    /// Counts work that has been done, and reads the clock when it was so much that it may tell something.
    #[inline]
    pub(crate) fn charge(&mut self, units: u32) {
        if self.budget.charge(units) {
            self.look();
        }
    }

    #[cold]
    fn look(&mut self) {
        self.budget.look(self.now.after(self.place.clock.now().saturating_duration_since(self.moment.instant)));
    }
}

/// What an owner asks of the loop, which does it after the visit and notifies the owner of the result or the refusal.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Have a worker do this.
    Job(Job),
}

/// What a visit came to, beside its errand. It fits into two registers.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Left {
    pub(crate) status: Status,
    /// When the next visit is due though nothing happens; [`Time::NEVER`] while only an errand is awaited.
    pub(crate) deadline: Time,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing can be done before an edge, a result or a deadline.
    Waiting,
    /// The budget is used up: nothing is owed, so it wants another visit.
    Again,
    /// It wants a buffer of the pool, and another visit when there is one.
    WantsBuffer,
    /// It has ended: reap it.
    Closed,
}
