//! The queues of slots: one of ready slots for each class of owner, and one of slots to be reaped.

use std::collections::VecDeque;

use super::pause::Piped;
use crate::budget::Class;

/// Rule 5: each queue is first come, first served. A slot is in one queue at most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Listeners and datagram sockets, which come first in each turn.
    pub(super) doors: VecDeque<u32>,
    /// Connections that need little work at a time.
    pub(super) quiet: VecDeque<u32>,
    /// Connections that need much work, and those that used up their budget.
    pub(super) loud: VecDeque<u32>,
    /// Slots to be reaped: an event no longer gets them a visit.
    pub(super) ended: VecDeque<u32>,
    /// Slots whose socket was accepted in this turn and is not registered yet. They are in another queue as well, or have been visited.
    pub(super) new: Vec<u32>,
    /// Uploads through pipes, which the end of a turn looks at. They are in no order, and may be in a queue as well.
    pub(super) piped: Vec<Piped>,
}

impl Queues {
    /// Returns the queue of a class.
    #[inline]
    pub(super) fn of(&mut self, class: Class) -> &mut VecDeque<u32> {
        match class {
            Class::Door => &mut self.doors,
            Class::Quiet => &mut self.quiet,
            Class::Loud => &mut self.loud,
        }
    }

    /// Whether no slot waits, so that the loop may sleep.
    #[inline]
    pub(super) fn are_empty(&self) -> bool {
        self.doors.is_empty() && self.quiet.is_empty() && self.loud.is_empty() && self.ended.is_empty()
    }

    /// Returns all queued slots, in the order in which a turn takes them.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.doors.iter().chain(&self.quiet).chain(&self.loud).chain(&self.ended).copied()
    }
}
