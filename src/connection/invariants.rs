//! Invariants of a connection between two visits.

use super::held::Pending;
use super::{Connection, Phase};
use crate::kernel::Transport;
use crate::limits::{Limits, READ_BYTES, UNCONSUMED_BYTES_MAX};

/// The most that one message can add to an outbox that was not full: a read whose bytes all become three (the worst case of
/// `uppercase`), or one long answer.
const ONE_MESSAGE_BYTES_MAX: usize = 3 * READ_BYTES;

/// What a connection claims about its socket. Rule 1: each claim means that the kernel will report an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Nothing is left to read, and the peer may still send.
    pub(crate) drained: bool,
    /// Nothing can be written.
    pub(crate) blocked: bool,
}

impl<T: Transport> Connection<T> {
    /// Returns what the connection claims about its socket.
    pub(crate) fn claim(&self) -> Claim {
        let Claim { drained, blocked } = self.line.claim();
        // While a worker empties a pipe, the job wakes the connection, and not the bytes that arrive.
        Claim { drained: drained && !self.has_pipe_away(), blocked }
    }

    /// Whether the result of a job will wake the connection.
    pub(crate) fn awaits_job(&self) -> bool {
        self.job_out
    }

    /// Checks the rules of waiting. `wakes`: another visit is certain without an edge.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check_waiting(&self, wakes: bool) -> Result<(), &'static str> {
        let Pending { any: pending, full, .. } = self.pending_between_visits();
        let phase = self.phase();
        let wants_input = match phase {
            None => !full,
            Some(Phase::Storing(bulk)) => !(self.job_out || full && self.is_stored(bulk)),
            Some(Phase::Lingering(..)) => true,
            Some(Phase::Working(_) | Phase::Speaking | Phase::Relaying(_) | Phase::Flushing(_) | Phase::Closed(_)) => {
                false
            }
        };
        let waits_for_input = wants_input && !wakes;
        let has_seen_all = self.input().is_empty() || (self.is_open() && self.starved);
        let rules = [
            (wakes || !self.is_closed(), "it is closed and has not been reaped"),
            (!(waits_for_input && self.line.is_readable()), "it waits for an edge that will not come: readable"),
            (!(waits_for_input && self.line.has_peer_finished()), "it waits for a peer that has finished"),
            (!waits_for_input || has_seen_all, "it waits for input and has some"),
            (wakes || !(pending && self.line.is_writable()), "it waits for an edge that will not come: writable"),
            (
                wakes || pending || !matches!(phase, Some(Phase::Flushing(_))),
                "it has sent everything and does not send its FIN",
            ),
            (
                wakes
                    || self.job_out
                    || full
                    || self.waits_for_asker().is_some()
                    || !matches!(phase, Some(Phase::Working(_))),
                "it waits for a job that is not out",
            ),
            (wakes || full || !matches!(phase, Some(Phase::Speaking)), "it has more output, and there is room for it"),
            (
                wakes || full || phase.is_some() || self.held.as_ref().is_none_or(|held| held.letters.is_none()),
                "a message waits, and there is room for it",
            ),
        ];
        first_broken(&rules)
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// The bound that is exceeded.
    pub(crate) fn check_bounds(&self, limits: &Limits) -> Result<(), &'static str> {
        first_broken(&[
            (self.pending_bytes() < limits.max_pending_output + ONE_MESSAGE_BYTES_MAX, "its outbox is too long"),
            (self.input().len() <= UNCONSUMED_BYTES_MAX + READ_BYTES, "it keeps too much input"),
            (self.held.as_ref().is_none_or(|held| !held.is_nothing()), "it is idle, and keeps memory for a busy state"),
        ])
    }
}

/// Returns the text of the first rule that is not kept.
fn first_broken(rules: &[(bool, &'static str)]) -> Result<(), &'static str> {
    rules.iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, broken)| Err(broken))
}
