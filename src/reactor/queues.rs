//! The queues in which slots wait: for their visit, one for each class of owner, and for their end.

use std::collections::VecDeque;

use crate::budget::Class;

/// Slots that the loop has to do with, each in one queue at most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Listeners and UDP sockets: first in each turn.
    pub(super) doors: VecDeque<u32>,
    /// Connections that take little at a time.
    pub(super) quiet: VecDeque<u32>,
    /// Connections that take much, and those that used up their budget.
    pub(super) loud: VecDeque<u32>,
    /// Slots that are over, and are to be reaped: no event concerns them any more.
    pub(super) over: VecDeque<u32>,
}

impl Queues {
    /// That of a class.
    #[inline]
    pub(super) fn of(&mut self, class: Class) -> &mut VecDeque<u32> {
        match class {
            Class::Door => &mut self.doors,
            Class::Quiet => &mut self.quiet,
            Class::Loud => &mut self.loud,
        }
    }

    #[inline]
    pub(super) fn are_empty(&self) -> bool {
        self.doors.is_empty() && self.quiet.is_empty() && self.loud.is_empty() && self.over.is_empty()
    }

    /// All that wait, in the order in which a turn takes them.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.doors.iter().chain(&self.quiet).chain(&self.loud).chain(&self.over).copied()
    }
}
