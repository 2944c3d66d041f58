//! What must be true of a connection between two visits.

use super::held::Pending;
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
        self.line.claim()
    }

    /// Whether the result of a job will wake it.
    pub(crate) fn awaits_job(&self) -> bool {
        self.job_out
    }

    /// Says which rule of waiting is broken, if any. `wakes`: another visit is certain without an edge.
    pub(crate) fn check_waiting(&self, wakes: bool) -> Result<(), &'static str> {
        let Pending { any: pending, full, .. } = self.pending_between_visits();
        let phase = self.phase();
        let wants_input = match phase {
            None => !full,
            Some(Phase::Storing(bulk)) => !(self.job_out || full && self.is_stored(bulk)),
            Some(Phase::Lingering(..)) => true,
            Some(Phase::Working(_) | Phase::Speaking | Phase::Flushing(_) | Phase::Closed(_)) => false,
        };
        let waits_for_input = wants_input && !wakes;
        let has_seen_all = self.input().is_empty() || (self.is_open() && self.starved);
        let rules = [
            (wakes || !self.is_over(), "it is over and has not been reaped"),
            (!(waits_for_input && self.line.is_readable()), "it waits for an edge that nobody owes: readable"),
            (!(waits_for_input && self.line.has_peer_finished()), "it waits for a peer that has finished"),
            (!waits_for_input || has_seen_all, "it waits for input and has some"),
            (wakes || !(pending && self.line.is_writable()), "it waits for an edge that nobody owes: writable"),
            (wakes || pending || !matches!(phase, Some(Phase::Flushing(_))), "it has sent all and does not finish"),
            (
                wakes || self.job_out || full || !matches!(phase, Some(Phase::Working(_))),
                "it waits for a job that is not out",
            ),
            (wakes || full || !matches!(phase, Some(Phase::Speaking)), "it has more to say and there is room"),
        ];
        first_broken(&rules)
    }

    /// Says which bound is exceeded, if any.
    pub(crate) fn check_bounds(&self, limits: &Limits) -> Result<(), &'static str> {
        first_broken(&[
            (self.pending_bytes() < limits.max_pending_output + ONE_MESSAGE_BYTES_MAX, "its outbox is out of bounds"),
            (self.input().len() <= UNCONSUMED_BYTES_MAX + READ_BYTES, "it keeps too much input"),
            (self.held.as_ref().is_none_or(|held| !held.is_nothing()), "it holds nothing and keeps memory for it"),
        ])
    }
}

fn first_broken(rules: &[(bool, &'static str)]) -> Result<(), &'static str> {
    rules.iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, broken)| Err(broken))
}
