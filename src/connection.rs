//! Drives one stream: the second of the three hops of a byte. The reactor notes what happened, then calls `drive`.
//! `transitions.rs` has the table of the phases; `opening.rs` has what comes before a protocol.
//!
//! ```text
//! drive                      connection.rs    rounds, until the connection may wait or its budget is used up
//!  ├ unstow                  held.rs          pending output goes back to the loop's outbox
//!  ├ flush                   connection.rs    first in each round
//!  │  └ Line::flush          line.rs          write(2), until all is sent or `EAGAIN`
//!  ├ converse                conversation.rs  in conversation: one read, or the rest of the last one, or the FIN
//!  │  ├ Line::read           line.rs          read(2), through layer.rs if there is a layer
//!  │  └ deliver, call        conversation.rs  `on_bytes` for each message
//!  │     └ decide            conversation.rs  does what the returned `Step` asks for
//!  ├ resume, speak           conversation.rs  a job's result, or room for more output
//!  ├ store                   storing.rs       an upload: from the socket to buffers, and jobs that write them
//!  ├ (relay)                relaying.rs      called by the loop, with the other half
//!  ├ finish_writing, discard phase.rs         our FIN, then input is discarded until the peer's
//!  ├ is_due, expire          expiry.rs        the next deadline
//!  └ stow                    held.rs          keeps output that the kernel did not take
//! ```
//!
//! **Waiting is a claim.** [`Status::Waiting`] means: every direction that is still wanted returned `WouldBlock` last (or a
//! short read proved the same), or a job is running whose result wakes the connection. A connection that returns it too
//! early sleeps for ever, because edge-triggered readiness reports a change once.

#![warn(clippy::missing_docs_in_private_items)]

pub(crate) mod asked;
mod conversation;
mod ends;
mod expiry;
mod fin;
mod held;
mod invariants;
pub(crate) mod layer;
mod letters;
mod line;
pub(crate) mod moved;
pub(crate) mod opener;
pub(crate) mod opening;
mod pace;
mod phase;
pub(crate) mod proxied;
mod recording;
mod relaying;
mod round;
mod storing;
mod taking;
mod transitions;
mod why;

use self::held::Held;
pub(crate) use self::invariants::Claim;
pub(crate) use self::letters::Took;
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

/// One connection and its protocol. Most connections are idle, so what only a busy one needs is behind a pointer.
pub(crate) struct Connection<T> {
    /// The socket, and what has been proved about it.
    line: Line<T>,
    /// The protocol has seen all of the input and asked for more.
    starved: bool,
    /// The last read filled the limit of a quiet visit and is not delivered yet: the next read continues it.
    cut_short: bool,
    /// A worker runs a job of this connection, and its result will come.
    job_out: bool,
    /// What the protocol is in the middle of. It chooses the deadlines.
    within: Within,
    /// How long the last visits took. It chooses the queue for the next visit.
    pace: Pace,
    /// The plug-in's part.
    protocol: Box<dyn StreamProtocol>,
    /// The peer, as the kernel or the opening named it.
    peer: PackedPeer,
    /// When a byte was last received, a job finished, or all output was sent.
    active: Time,
    /// Input, output, deadlines and the phase, while there are any. Rule 11: an idle connection holds no buffers.
    held: Option<Box<Held>>,
}

impl<T: Transport> Connection<T> {
    /// Makes a connection whose opening is complete. Its first visit needs no event.
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

    /// Returns the peer.
    pub(crate) fn peer(&self) -> Peer {
        self.peer.unpack()
    }

    /// Returns the queue for its next visit.
    pub(crate) fn class(&self) -> Class {
        self.pace.class()
    }

    /// Calls `on_open`, so that the protocol can send first.
    pub(crate) fn open(&mut self, visit: &mut Visit<'_>) {
        self.unstow(visit);
        self.greet(visit);
        self.open_received(visit);
        // Bytes that followed the opening have not been delivered yet.
        self.starved &= self.input().is_empty();
        self.stow(visit);
    }

    /// Notes an event.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.line.note_ready(readiness);
    }

    /// Notes the result of the job.
    pub(crate) fn note_done(&mut self, result: Result<Outcome, Panicked>, now: Time, buffers: &mut Buffers) {
        self.end_job(now);
        let returned = Returned::new(result, buffers);
        if let Some(panicked) = returned.panicked() {
            self.hold_bug(format!("a job panicked{}", panicked.detail()));
        }
        match (self.phase_mut(), returned) {
            (Some(Phase::Working(done)), returned) => *done = Some(returned),
            (Some(Phase::Storing(bulk)), Returned::Bulk(sink, result)) => bulk.take_back(sink, result),
            // The sink was lost with the job.
            (Some(Phase::Storing(_)), _) => {
                self.replace_phase(Phase::Closed(CloseReason::Bug("a job panicked")), buffers);
            }
            (_, returned) => {
                buffers.pipes.rest();
                self.hold_remains(returned.into_remains());
            }
        }
    }

    /// Notes that no worker took the job, which was dropped. The next visit notifies the protocol.
    pub(crate) fn note_refused(&mut self, now: Time, buffers: &mut Buffers) {
        self.end_job(now);
        match self.phase_mut() {
            Some(Phase::Working(done)) => *done = Some(Returned::Refused),
            Some(Phase::Storing(_)) => self.replace_phase(Phase::Working(Some(Returned::Refused)), buffers),
            _ => {}
        }
    }

    /// Makes one visit. Rule 5: it ends when its budget is used up.
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
                Some(Phase::Relaying(_)) => return self.leave_to_relay(visit),
                Some(&mut Phase::Flushing(reason)) => self.finish_writing(reason, visit),
                Some(&mut Phase::Lingering(reason, _)) => self.discard(reason, visit),
                Some(Phase::Closed(_)) => break Left { status: Status::Closed, deadline: Time::NEVER },
            };
            let status = match round {
                Round::Progress => continue,
                // Rule 1: every direction that it wants returned `WouldBlock` last, or a job's result will come.
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
            // A timer or a message blames no peer, so the socket need not be asked. A stop may come before they are due.
            let blames_no_peer = next.1.blames_no_peer() && next.0 <= visit.now;
            if asked || blames_no_peer {
                self.expire(next, visit);
            } else {
                // Rule 8: a delayed loop must not count against the peer, so the socket is asked once more.
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

    /// Sends pending output until the kernel takes no more. Inlined: a visit begins without output.
    #[inline(always)]
    fn flush(&mut self, visit: &mut Visit<'_>) {
        if !visit.outbox.is_empty() && self.line.is_writable() && !self.is_closed() {
            self.send(visit);
        }
    }

    /// Sends pending output, which there is.
    #[inline(never)]
    fn send(&mut self, visit: &mut Visit<'_>) {
        let (was_full, pending) = (self.is_held_back(), visit.outbox.len());
        let flushed = self.line.flush(visit.outbox);
        let sent = pending - visit.outbox.len();
        visit.stats.sent_bytes += sent as u64;
        visit.written += sent;
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
