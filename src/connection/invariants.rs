//! What must be true of a connection between two visits.

use super::{Connection, Phase};
use crate::kernel::Transport;
use crate::limits::{Limits, READ_BYTES, UNCONSUMED_BYTES_MAX};

/// What one message can add to an outbox that was not full: a read, each byte of which grows to three as `uppercase`
/// makes them grow at worst, or one long answer.
const ONE_MESSAGE_BYTES_MAX: usize = 3 * READ_BYTES;

/// What a connection believes about its socket. Each is a claim that the kernel owes an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Nothing is left to read, and the peer may still send.
    pub(crate) drained: bool,
    /// Nothing can be written.
    pub(crate) blocked: bool,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn claim(&self) -> Claim {
        Claim { drained: !self.ready.readable && !self.peer_finished, blocked: !self.ready.writable }
    }

    /// Whether the result of a job will wake it.
    pub(crate) fn awaits_job(&self) -> bool {
        self.job_out
    }

    /// Says which rule is broken, if any. `wakes`: another visit is certain without an edge.
    pub(crate) fn check(&self, limits: &Limits, wakes: bool) -> Result<(), &'static str> {
        let full = !self.outbox.is_empty();
        let listens = match self.phase {
            Phase::Open | Phase::Lingering(_) => true,
            Phase::Working(_) | Phase::Storing(_) | Phase::Flushing(_) | Phase::Closed(_) => false,
        };
        let rules = [
            (!matches!(self.phase, Phase::Closed(_)), "it is over and has not been reaped"),
            (wakes || full || !(listens && self.ready.readable), "it waits for an edge that nobody owes: readable"),
            (wakes || !(full && self.ready.writable), "it waits for an edge that nobody owes: writable"),
            (wakes || self.job_out || !matches!(self.phase, Phase::Working(_)), "it waits for a job that is not out"),
            (self.outbox.len() < limits.max_pending_output + ONE_MESSAGE_BYTES_MAX, "its outbox is out of bounds"),
            (self.input.len() <= UNCONSUMED_BYTES_MAX + READ_BYTES, "it keeps too much input"),
        ];
        rules.iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, broken)| Err(broken))
    }
}
