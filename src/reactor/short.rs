//! Rule 5: listeners that are short of descriptors wait in one queue, and only the first one accepts.
//!
//! An upload needs two descriptors, any other connection one. If freed descriptors went to the listener that asks first, an upload
//! might never find two. So freed descriptors are kept until they are enough for the first listener.

use std::collections::VecDeque;

use super::Reactor;
use crate::kernel::Kernel;

/// The listeners that wait for descriptors, the longest wait first.
#[derive(Debug, Default)]
pub(super) struct Short(VecDeque<u32>);

impl Short {
    /// Whether a listener may take free descriptors: no other listener has waited longer.
    pub(super) fn admits(&self, key: u32) -> bool {
        self.0.front().is_none_or(|first| *first == key)
    }

    /// Puts a listener behind the others, unless it waits already.
    pub(super) fn join(&mut self, key: u32) {
        if !self.0.contains(&key) {
            self.0.push_back(key);
        }
    }

    /// Removes a listener. Returns whether it waited.
    pub(super) fn leave(&mut self, key: u32) -> bool {
        let before = self.0.len();
        self.0.retain(|waiting| *waiting != key);
        self.0.len() < before
    }

    /// Returns the listener that may accept next.
    pub(super) fn first(&self) -> Option<u32> {
        self.0.front().copied()
    }

    /// Whether a listener waits.
    pub(super) fn contains(&self, key: u32) -> bool {
        self.0.contains(&key)
    }
}

impl<K: Kernel> Reactor<K> {
    /// Queues the first listener that waits for descriptors, if one does.
    pub(super) fn wake_first_in_short(&mut self) {
        if let Some(first) = self.waiters.descriptors.first() {
            self.queue(first);
        }
    }

    /// Removes a listener from those that wait for descriptors, so that the next one may accept.
    pub(super) fn leave_short(&mut self, key: u32) {
        if self.waiters.descriptors.leave(key) {
            self.wake_first_in_short();
        }
    }

    /// Moves a listener that has got its descriptors behind the others that wait.
    pub(super) fn give_way_in_short(&mut self, key: u32) {
        if self.waiters.descriptors.leave(key) && self.waiters.descriptors.first().is_some() {
            self.waiters.descriptors.join(key);
            self.wake_first_in_short();
        }
    }
}
