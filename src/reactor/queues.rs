//! The queues in which slots wait for their visit: one for each class of owner.

use std::collections::VecDeque;

use crate::budget::Class;

/// Slots that are to be visited, each in one queue at most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Listeners and UDP sockets: first in each turn.
    pub(super) doors: VecDeque<u32>,
    /// Connections that take little at a time.
    pub(super) quiet: VecDeque<u32>,
    /// Connections that take much, and those that used up their budget.
    pub(super) loud: VecDeque<u32>,
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
        self.doors.is_empty() && self.quiet.is_empty() && self.loud.is_empty()
    }

    /// All that wait, in the order of their visits.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.doors.iter().chain(&self.quiet).chain(&self.loud).copied()
    }
}
