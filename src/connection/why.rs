//! Why a connection waits, in one sentence: for what, since when, and what happens if that does not come.
//!
//! The sentence is computed from what the driver itself uses, the phase and the next deadline, so the two cannot disagree.

use std::fmt;
use std::time::Duration;

use super::expiry::Expired;
use super::held::Pending;
use super::{Connection, Phase};
use crate::amounts::Rounded;
use crate::kernel::Transport;
use crate::limits::Limits;
use crate::protocol::{CloseReason, ConnectionId, Within};
use crate::time::Time;
use crate::visit::Visit;

/// The state of a connection, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why {
    /// What the connection waits for.
    wait: Wait,
    /// How long it has waited.
    pub(crate) waited: Duration,
    /// Bytes of output not sent yet.
    pub(crate) pending_bytes: usize,
    /// The peer's FIN has come.
    peer_finished: bool,
    /// The time until the next deadline, and which it is.
    next: Option<(Duration, Expired)>,
    /// The output in the kernel's send queue, if the system can tell.
    queue: Option<Queue>,
}

/// Output that the kernel has taken and the peer has not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// The number of bytes.
    bytes: usize,
    /// How long ago a check found new acknowledgements, if one has.
    acknowledged: Option<Duration>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The next request.
    Idle,
    /// The rest of a request; the time since its first byte.
    Request(Duration),
    /// More of a message that the protocol takes in parts.
    Body,
    /// Silence, which ends a message of the protocol.
    Quiet,
    /// Room in the send queue for pending output.
    Reader(Reader),
    /// Room for more output of the protocol.
    Room,
    /// The result of a job.
    Job,
    /// More of an upload; the number of bytes so far.
    Upload(u64),
    /// A worker that writes an upload; the number of bytes so far.
    Disk(u64),
    /// A worker that empties a pipe of an upload; the number of bytes so far.
    Pipe(u64),
    /// A buffer for an upload; the number of bytes so far.
    Buffer(u64),
    /// A socket that connects to another server.
    Connect(ConnectionId),
    /// The connection that asked for this one, whose protocol has not been given it yet.
    Asker(ConnectionId),
    /// Either peer of a relay to send more, or this one to read.
    Relay(ConnectionId),
    /// Room for the last output; then our FIN is sent.
    Flushing(CloseReason),
    /// The peer's FIN.
    Fin(CloseReason),
    /// The end of the turn, when closed connections are reaped.
    Closed(CloseReason),
}

/// Whether a peer that does not take its output is still read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It is.
    Heard,
    /// It is not, because this connection has too much output pending.
    Full,
    /// It is not, because all connections together have too much output pending.
    Pressed,
}

impl<T: Transport> Connection<T> {
    /// Returns why the connection waits between two visits. `wants_buffer`: it is in the list of uploads that wait for a buffer.
    pub(crate) fn why(&self, limits: &Limits, now: Time, wants_buffer: bool) -> Why {
        self.explain(limits, now, self.pending_between_visits(), self.pending_bytes(), wants_buffer)
    }

    /// Returns why the connection has waited until this visit.
    pub(super) fn why_until(&self, visit: &Visit<'_>) -> Why {
        self.explain(visit.limits, visit.now, self.pending(visit), visit.outbox.len(), false)
    }

    /// Returns why the connection waits, given its pending output.
    fn explain(&self, limits: &Limits, now: Time, pending: Pending, pending_bytes: usize, wants_buffer: bool) -> Why {
        let held = self.held.as_deref();
        let silent = now.duration_from(self.active);
        let blocked = now.duration_from(held.map_or(now, |held| held.blocked.min(now)));
        let (wait, waited) = match self.phase() {
            Some(Phase::Closed(reason)) => (Wait::Closed(*reason), Duration::ZERO),
            Some(Phase::Lingering(reason, since)) => (Wait::Fin(*reason), now.duration_from(*since)),
            Some(Phase::Flushing(reason)) => (Wait::Flushing(*reason), blocked),
            Some(Phase::Working(Some(_)) | Phase::Speaking) => (Wait::Room, blocked),
            Some(Phase::Working(None)) => {
                let wait = if self.job_out { Wait::Connect } else { Wait::Asker };
                (held.and_then(|held| held.other).map_or(Wait::Job, wait), silent)
            }
            Some(Phase::Storing(bulk)) if wants_buffer => (Wait::Buffer(bulk.received()), silent),
            Some(Phase::Storing(bulk)) if bulk.has_pipe_away() => (Wait::Pipe(bulk.received()), silent),
            Some(Phase::Storing(bulk))
                if bulk.is_away() && (self.line.is_readable() || self.line.has_peer_finished() || bulk.is_full()) =>
            {
                (Wait::Disk(bulk.received()), silent)
            }
            Some(Phase::Storing(bulk)) => (Wait::Upload(bulk.received()), silent),
            Some(Phase::Relaying(_)) => {
                let waited = if pending.any { blocked } else { silent };
                (held.and_then(|held| held.other).map_or(Wait::Body, Wait::Relay), waited)
            }
            None if pending.any => {
                let reader = match pending.full {
                    false => Reader::Heard,
                    true if pending_bytes >= limits.max_pending_output => Reader::Full,
                    true => Reader::Pressed,
                };
                (Wait::Reader(reader), blocked)
            }
            None if held.is_some_and(|held| held.quiet != Time::NEVER) => (Wait::Quiet, silent),
            None => match self.within {
                Within::Nothing => (Wait::Idle, silent),
                Within::Request => {
                    let first = held.map_or(now, |held| held.request.min(now));
                    (Wait::Request(now.duration_from(first)), silent)
                }
                Within::Body => (Wait::Body, silent),
            },
        };
        let queue = if pending.any { self.queue(now) } else { None };
        let pending = Pending { due: pending.until, ..pending };
        let (at, expired) = self.next_expiry(limits, pending);
        let next = (at != Time::NEVER).then(|| (at.duration_from(now), expired));
        Why { wait, waited, pending_bytes, peer_finished: self.line.has_peer_finished(), next, queue }
    }

    /// Asks the kernel for its send queue.
    fn queue(&self, now: Time) -> Option<Queue> {
        let acknowledged = self.held.as_ref().and_then(|held| held.taking.acknowledged_at);
        let bytes = self.line.unacknowledged()?;
        Some(Queue { bytes, acknowledged: acknowledged.map(|at| now.duration_from(at)) })
    }
}

impl Wait {
    /// Returns what an upload waits for.
    const fn of_upload(self) -> &'static str {
        match self {
            Self::Disk(_) => "a worker to write an upload",
            Self::Pipe(_) => "a worker to empty the pipe of an upload",
            _ => "more of an upload",
        }
    }
}

impl Why {
    /// Returns the kind of waiting in a word.
    pub(crate) fn name(&self) -> &'static str {
        match self.wait {
            Wait::Idle => "idle",
            Wait::Request(_) => "request",
            Wait::Body => "body",
            Wait::Quiet => "quiet",
            Wait::Reader(_) | Wait::Room => "sending",
            Wait::Job => "job",
            Wait::Upload(_) => "upload",
            Wait::Disk(_) | Wait::Pipe(_) => "writing",
            Wait::Buffer(_) => "buffer",
            Wait::Connect(_) | Wait::Asker(_) => "connecting",
            Wait::Relay(_) => "relaying",
            Wait::Flushing(_) => "flushing",
            Wait::Fin(_) => "lingering",
            Wait::Closed(_) => "closed",
        }
    }

    /// Whether it waits for the next request.
    pub(crate) fn is_idle(&self) -> bool {
        self.wait == Wait::Idle
    }

    /// Whether it waits only to be reaped.
    fn is_closed(&self) -> bool {
        matches!(self.wait, Wait::Closed(_))
    }

    /// Returns the time until the next deadline, if there is one.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.next.map(|(left, _)| left)
    }

    /// Writes what a connection that relays with `other` waits for.
    fn write_relay(&self, f: &mut fmt::Formatter<'_>, other: ConnectionId) -> fmt::Result {
        let waited = Rounded(self.waited);
        write!(f, "relaying with {other}")?;
        if self.pending_bytes == 0 {
            return write!(f, ": nothing for {waited}");
        }
        let pending = Rounded::bytes(self.pending_bytes as u64);
        write!(f, ", waiting for the peer to read: {pending} pending, the last write said EAGAIN {waited} ago")
    }

    /// Writes what happens when the next deadline passes.
    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((left, expired)) = self.next else {
            return f.write_str(if self.is_closed() { "" } else { ", however long it takes" });
        };
        f.write_str(match expired {
            Expired::Quiet => ", the protocol is notified ",
            Expired::Timer => ", its timer fires ",
            Expired::Message => ", its protocol gets a message ",
            _ => ", closed ",
        })?;
        if left.is_zero() {
            return f.write_str("now");
        }
        write!(f, "in {}", Rounded(left))?;
        f.write_str(match expired {
            Expired::Close(CloseReason::RequestTimeout) => " unless it is complete",
            Expired::Close(CloseReason::Lifetime) => " whatever happens",
            Expired::Close(_) if self.is_idle() => " unless a request comes",
            Expired::Close(_) | Expired::Quiet => " unless more comes",
            Expired::Write if matches!(self.wait, Wait::Reader(_) | Wait::Room | Wait::Relay(_)) => " unless it reads",
            Expired::Write => " unless the peer reads",
            Expired::Linger => " at the latest",
            Expired::Timer | Expired::Message => "",
        })
    }
}

/// The sentence; `{:#}` leaves out what happens next.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waited, pending) = (Rounded(self.waited), Rounded::bytes(self.pending_bytes as u64));
        match self.wait {
            Wait::Idle => write!(f, "idle for {waited}"),
            Wait::Request(first) => {
                write!(
                    f,
                    "in the middle of a request: its first byte came {} ago, the last {waited} ago",
                    Rounded(first)
                )
            }
            Wait::Body => write!(f, "in the middle of a body: the last byte came {waited} ago"),
            Wait::Quiet => write!(f, "waiting for a pause to end the message: the last byte came {waited} ago"),
            Wait::Reader(reader) => {
                let until = match reader {
                    Reader::Heard => "waiting for the peer to read, or to send more",
                    Reader::Full => "waiting for the peer to read",
                    Reader::Pressed => {
                        "waiting for the peer to read, because all connections together have too much output"
                    }
                };
                write!(f, "{until}: {pending} pending, the last write said EAGAIN {waited} ago")
            }
            Wait::Room => write!(
                f,
                "waiting for the peer to read, with more output to come: {pending} pending, the last write said EAGAIN {waited} ago"
            ),
            Wait::Job => write!(f, "waiting for a worker to do a job: nothing else for {waited}"),
            Wait::Upload(received) | Wait::Disk(received) | Wait::Pipe(received) => {
                let (what, received) = (self.wait.of_upload(), Rounded::bytes(received));
                write!(f, "waiting for {what}: {received} so far, the last {waited} ago")
            }
            Wait::Buffer(received) => {
                write!(f, "waiting for an upload buffer; all are in use: {} so far", Rounded::bytes(received))
            }
            Wait::Connect(other) => write!(f, "waiting for {other} to be connected to another server: for {waited}"),
            Wait::Asker(asker) => {
                write!(f, "connected to another server, waiting for {asker} to go on with it: for {waited}")
            }
            Wait::Relay(other) => self.write_relay(f, other),
            Wait::Flushing(reason) => {
                write!(f, "closing ({reason}), {pending} still to send: the last write said EAGAIN {waited} ago")
            }
            Wait::Fin(reason) => {
                write!(f, "closing ({reason}), waiting for the peer's FIN; ours was sent {waited} ago")
            }
            Wait::Closed(reason) => write!(f, "closed ({reason})"),
        }?;
        if !f.alternate() {
            self.write_next(f)?;
        }
        if self.pending_bytes > 0
            && !matches!(self.wait, Wait::Reader(_) | Wait::Room | Wait::Relay(_) | Wait::Flushing(_) | Wait::Closed(_))
        {
            write!(f, "; {pending} of output pending")?;
        }
        if let Some(Queue { bytes, acknowledged }) = self.queue {
            write!(f, "; the kernel holds {} that the peer has not acknowledged", Rounded::bytes(bytes as u64))?;
            if let Some(acknowledged) = acknowledged {
                write!(f, ", and some was acknowledged {} ago", Rounded(acknowledged))?;
            }
        }
        if self.peer_finished && !self.is_closed() {
            f.write_str("; the peer's FIN has come")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
