//! Drives one stream: deliver, flush, decide, read.
//!
//! This is the second of the three hops of a byte. The reactor calls [`Connection::drive`] when something may have
//! happened; the connection reads, hands the bytes to its protocol, and writes what the protocol appended, until it
//! may wait.
//!
//! **Waiting is a claim.** [`Status::Waiting`] means: every direction that is still wanted said `WouldBlock` last (or a
//! short read proved the same), or a job is out whose result will wake us. Whoever returns it too early sleeps for
//! ever, because edge-triggered readiness does not tell twice.

mod conversation;
mod ends;
mod expiry;
mod held;
mod invariants;
pub(crate) mod layer;
mod line;
pub(crate) mod opening;
mod pace;
mod phase;
mod recording;
mod round;
mod storing;
mod taking;
mod transitions;
mod why;

use self::expiry::Expired;
use self::held::Held;
pub(crate) use self::invariants::Claim;
use self::line::Line;
use self::opening::Opened;
use self::pace::Pace;
use self::phase::Phase;
pub(crate) use self::round::Ended;
use self::round::Round;
use crate::budget::Class;
use crate::bulk::{Buffers, Returned};
use crate::job::Outcome;
use crate::kernel::Transport;
use crate::limits::{Limits, VISIT_UNITS};
use crate::notice::Readiness;
use crate::panics::Panicked;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::{CloseReason, StreamProtocol, Within};
use crate::time::Time;
use crate::visit::{Left, Status, Visit};

/// One TCP connection and its protocol.
///
/// There may be very many, most of them idle: what only a busy one needs stands behind a pointer.
pub(crate) struct Connection<T> {
    line: Line<T>,
    /// The protocol has seen all of the input and asked for more.
    starved: bool,
    /// The last read brought as much as a quiet visit may take, and nothing of it has been delivered: what else has come
    /// belongs to it.
    cut_short: bool,
    /// A worker is busy for this connection, and its result will come.
    job_out: bool,
    within: Within,
    pace: Pace,
    protocol: Box<dyn StreamProtocol>,
    peer: PackedPeer,
    /// The last byte received, job finished, or output drained.
    active: Time,
    held: Option<Box<Held>>,
}

impl<T: Transport> Connection<T> {
    /// A connection whose opening is complete. Its first visit needs no event.
    pub(crate) fn new(opened: Opened<T>, protocol: Box<dyn StreamProtocol>, limits: &Limits, now: Time) -> Self {
        let Opened { line, peer, received, layer } = opened;
        let mut connection = Self {
            line,
            starved: true,
            cut_short: false,
            job_out: false,
            within: Within::Nothing,
            pace: Pace::default(),
            protocol,
            peer,
            active: now,
            held: None,
        };
        connection.hold_lifetime(limits, now);
        if !received.is_empty() || layer.is_some() {
            connection.hold_received(received, layer);
        }
        connection
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer.unpack()
    }

    /// How much it takes at a time, as its last visits showed.
    pub(crate) fn class(&self) -> Class {
        self.pace.class()
    }

    /// Lets the protocol speak first.
    pub(crate) fn open(&mut self, visit: &mut Visit<'_>) {
        self.unstow(visit);
        self.greet(visit);
        self.open_received(visit);
        // What came behind the opening has not been shown to the protocol yet.
        self.starved &= self.input().is_empty();
        self.stow(visit);
    }

    /// An event came for this connection.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.line.note_ready(readiness);
    }

    /// The result of the job came.
    pub(crate) fn note_done(&mut self, result: Result<Outcome, Panicked>, now: Time, buffers: &mut Buffers) {
        self.job_out = false;
        self.active = now;
        let returned = Returned::new(result, buffers);
        if let Some(panicked) = returned.panicked() {
            self.hold_bug(format!("a job panicked{}", panicked.detail()));
        }
        match (self.phase_mut(), returned) {
            (Some(Phase::Working(done)), returned) => *done = Some(returned),
            (Some(Phase::Storing(bulk)), Returned::Bulk(sink, result)) => bulk.welcome_back(sink, result),
            // The sink went with the job.
            (Some(Phase::Storing(_)), _) => {
                self.replace_phase(Phase::Closed(CloseReason::Bug("a job panicked")), buffers);
            }
            (_, returned) => self.hold_remains(returned.into_remains()),
        }
    }

    /// No worker took the job, and what was in it is gone. The next visit tells the protocol.
    pub(crate) fn note_refused(&mut self, now: Time, buffers: &mut Buffers) {
        self.job_out = false;
        self.active = now;
        match self.phase_mut() {
            Some(Phase::Working(done)) => *done = Some(Returned::Refused),
            Some(Phase::Storing(_)) => self.replace_phase(Phase::Working(Some(Returned::Refused)), buffers),
            _ => {}
        }
    }

    /// Does what can be done within the budget of a visit.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Left {
        self.unstow(visit);
        let mut asked = false;
        let left = loop {
            // Rule 3: output is written first.
            self.flush(visit);
            let round = match self.phase_mut() {
                None => self.converse(visit),
                Some(Phase::Working(_)) => self.resume(visit),
                Some(Phase::Storing(_)) => self.store(visit),
                Some(Phase::Speaking) => self.speak(visit),
                Some(&mut Phase::Flushing(reason)) => self.finish_writing(reason, visit),
                Some(&mut Phase::Lingering(reason, _)) => self.discard(reason, visit),
                Some(Phase::Closed(_)) => break Left { status: Status::Closed, deadline: Time::NEVER },
            };
            let status = match round {
                Round::Progress => continue,
                // Rule 1: every direction that it wants said `WouldBlock` last, or a result is to come.
                Round::Rest => Status::Waiting,
                Round::Spent => Status::Again,
                Round::WantsBuffer => Status::WantsBuffer,
            };
            if !visit.outbox.is_empty() {
                self.note_taking(visit);
            }
            let next = self.next_expiry(visit.limits, self.pending(visit));
            if !self.is_due(next, visit, status) {
                break Left { status, deadline: next.0 };
            }
            if asked || next.1 == Expired::Timer {
                self.expire(next, visit);
            } else {
                // Rule 8: a loop that was held up must not blame the peer for it: what arrived in the meantime counts.
                self.line.ask_again();
                asked = true;
            }
        };
        let read = visit.budget.bytes_read();
        visit.charge(VISIT_UNITS.saturating_add(read.saturating_add(visit.written) as u32));
        self.stow(visit);
        self.pace = self.pace.after(read, visit.budget);
        left
    }

    /// Sends what is pending, as long as the kernel takes it.
    fn flush(&mut self, visit: &mut Visit<'_>) {
        if visit.outbox.is_empty() || !self.line.is_writable() || self.is_over() {
            return;
        }
        let was_full = self.is_held_back();
        let flushed = self.line.flush(visit.outbox, |count| {
            visit.stats.sent_bytes += count as u64;
            visit.written += count;
        });
        if let Err(error) = flushed {
            return self.fail(error.kind(), visit);
        }
        if visit.outbox.is_empty() {
            self.active = visit.now;
        }
        if was_full && !self.is_full(visit) {
            self.note_full(false, visit);
            if self.within == Within::Request {
                self.held().request = visit.now;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
