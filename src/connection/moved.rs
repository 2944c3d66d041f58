//! What one half of a relay moved in a visit. The visits of a relay move bytes of two connections, but have one pair of counters.

use crate::visit::Visit;

/// Bytes on the wire of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes received.
    pub(crate) received: u64,
    /// Bytes sent.
    pub(crate) sent: u64,
}

impl Moved {
    /// Returns what all connections of the listener have moved so far.
    pub(super) fn so_far(visit: &Visit<'_>) -> Self {
        Self { received: visit.stats.received_bytes, sent: visit.stats.sent_bytes }
    }

    /// Adds what has been moved since `before`.
    pub(super) fn add_since(&mut self, before: Self, visit: &Visit<'_>) {
        self.received += visit.stats.received_bytes - before.received;
        self.sent += visit.stats.sent_bytes - before.sent;
    }
}
