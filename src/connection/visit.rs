//! A visit: what a connection is lent by the loop, and how it may end.

use std::time::{Instant, SystemTime};

use crate::budget::{Budget, Clock};
use crate::bulk::Buffers;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::protocol::{CloseReason, Job};
use crate::stats::Stats;
use crate::time::Time;

/// What all connections share during a visit.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    /// The read buffer of the loop.
    pub(crate) read_buffer: &'a mut [u8],
    /// The output buffer of the loop: empty between visits, so that nothing can go to the wrong peer.
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) buffers: &'a mut Buffers,
    /// What the visit may still do.
    pub(crate) budget: &'a mut Budget,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) stats: &'a mut Stats,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Time,
    pub(crate) instant: Instant,
    pub(crate) wall_clock: SystemTime,
    /// All connections together have too much output pending.
    pub(crate) pressed: bool,
    /// The server stops: a connection between two requests closes.
    pub(crate) stopping: bool,
    /// Bytes of output that the kernel took.
    pub(crate) written: usize,
    /// The job that the visit hands out, if any.
    pub(crate) job: Option<Job>,
}

impl Visit<'_> {
    #[cold]
    fn look(&mut self) {
        self.budget.look(self.now.after(self.clock.now().saturating_duration_since(self.instant)));
    }

    /// Counts work that has been done, and reads the clock when it was so much that it may tell something.
    #[inline]
    pub(crate) fn charge(&mut self, units: u32) {
        if self.budget.charge(units) {
            self.look();
        }
    }
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
    /// It is over: reap it.
    Closed,
}

/// What one round of a visit came to.
pub(super) enum Round {
    /// Something was done; look again.
    Progress,
    /// Nothing can be done.
    Rest,
    /// The budget is used up.
    Spent,
    /// There is no buffer to go on with.
    WantsBuffer,
}

/// What is left when a connection is over.
pub(crate) struct Ended<T> {
    pub(crate) transport: T,
    pub(crate) reason: CloseReason,
    /// A panic that the log has to tell, in words.
    pub(crate) bug: Option<Box<str>>,
    /// The last job: discards what may block.
    pub(crate) last: Option<Job>,
    /// A worker is still busy for it; the last job comes after that.
    pub(crate) job_out: bool,
}
