//! The queues in which slots wait for their visit: one for each class of owner.

use std::collections::VecDeque;

use crate::budget::Class;

/// Slots that are to be visited, each in one queue at most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Listeners and UDP sockets: first in each turn.
    doors: VecDeque<u32>,
    /// Connections that take little at a time.
    quiet: VecDeque<u32>,
    /// Connections that take much, and those that used up their budget.
    loud: VecDeque<u32>,
}

impl Queues {
    pub(super) fn push(&mut self, key: u32, class: Class) {
        self.queue_mut(class).push_back(key);
    }

    pub(super) fn pop(&mut self, class: Class) -> Option<u32> {
        self.queue_mut(class).pop_front()
    }

    pub(super) fn len(&self, class: Class) -> usize {
        self.queue(class).len()
    }

    pub(super) fn are_empty(&self) -> bool {
        self.doors.is_empty() && self.quiet.is_empty() && self.loud.is_empty()
    }

    /// All that wait, in the order of their visits.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.doors.iter().chain(&self.quiet).chain(&self.loud).copied()
    }

    fn queue(&self, class: Class) -> &VecDeque<u32> {
        match class {
            Class::Door => &self.doors,
            Class::Quiet => &self.quiet,
            Class::Loud => &self.loud,
        }
    }

    fn queue_mut(&mut self, class: Class) -> &mut VecDeque<u32> {
        match class {
            Class::Door => &mut self.doors,
            Class::Quiet => &mut self.quiet,
            Class::Loud => &mut self.loud,
        }
    }
}
