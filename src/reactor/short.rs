//! Listeners that are short of descriptors.
//!
//! An upload takes two descriptors, any other connection one. If freed descriptors went to the listener that asks first, an
//! upload would wait for as long as others do. So listeners wait in the order in which they ran short, only the first of them accepts,
//! and what is freed is kept until that is enough for it.

use std::collections::VecDeque;

use super::Reactor;
use crate::kernel::Kernel;

/// The listeners that wait for descriptors, in the order in which they began to.
#[derive(Debug, Default)]
pub(super) struct Short(VecDeque<u32>);

impl Short {
    /// Whether a listener may take descriptors that are free: no other one has waited for longer.
    pub(super) fn admits(&self, key: u32) -> bool {
        self.0.front().is_none_or(|first| *first == key)
    }

    /// Puts a listener behind the others, unless it waits already.
    pub(super) fn join(&mut self, key: u32) {
        if !self.0.contains(&key) {
            self.0.push_back(key);
        }
    }

    /// Takes a listener out that has got what it waited for, or waits for something else. Returns whether it waited.
    pub(super) fn leave(&mut self, key: u32) -> bool {
        let before = self.0.len();
        self.0.retain(|waiting| *waiting != key);
        self.0.len() < before
    }

    /// Who accepts next.
    pub(super) fn first(&self) -> Option<u32> {
        self.0.front().copied()
    }

    pub(super) fn contains(&self, key: u32) -> bool {
        self.0.contains(&key)
    }
}

impl<K: Kernel> Reactor<K> {
    /// Has the listener visited that may accept next, if any is short of descriptors.
    pub(super) fn wake_first_in_short(&mut self) {
        if let Some(first) = self.waiters.descriptors.first() {
            self.queue(first);
        }
    }

    /// A listener does not wait for descriptors any more, so the next one may accept.
    pub(super) fn leave_short(&mut self, key: u32) {
        if self.waiters.descriptors.leave(key) {
            self.wake_first_in_short();
        }
    }

    /// A listener that waited for descriptors has got some: others come first now.
    pub(super) fn give_way_in_short(&mut self, key: u32) {
        if self.waiters.descriptors.leave(key) && self.waiters.descriptors.first().is_some() {
            self.waiters.descriptors.join(key);
            self.wake_first_in_short();
        }
    }
}
