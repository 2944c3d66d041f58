//! Why a connection waits, in one sentence: for whom, since when, and what becomes of it if nobody comes.
//!
//! It is read off what the driver goes by anyway, the phase and the next deadline, so it cannot tell another story than
//! the one that happens.

use std::fmt;
use std::time::Duration;

use super::expiry::Expired;
use super::held::Pending;
use super::{Connection, Phase};
use crate::amounts::Rounded;
use crate::kernel::Transport;
use crate::limits::Limits;
use crate::protocol::{CloseReason, Within};
use crate::time::Time;
use crate::visit::Visit;

/// The state of a connection as a person asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why {
    wait: Wait,
    /// How long nothing has happened that would have ended the wait.
    pub(crate) waited: Duration,
    pub(crate) pending_bytes: usize,
    /// The peer's FIN has come.
    peer_finished: bool,
    /// The deadline that passes next, and in what time.
    next: Option<(Duration, Expired)>,
    /// What the kernel holds of the output besides, where it tells.
    queue: Option<Queue>,
}

/// Output that the kernel has taken and the peer has not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    bytes: usize,
    /// How long ago a look showed that the peer had acknowledged some, if one has.
    acknowledged: Option<Duration>,
}

/// For what it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The next request.
    Idle,
    /// The rest of a request whose first byte came so long ago.
    Request(Duration),
    /// More of something long that the protocol takes in parts.
    Body,
    /// Silence, by which the protocol tells that a message is complete.
    Quiet,
    /// Room for the output.
    Reader(Reader),
    /// Room for more that the protocol has to say.
    Room,
    /// The result of a job.
    Job,
    /// More of an upload, of which so many bytes have come.
    Upload(u64),
    /// A worker that writes what has come.
    Disk(u64),
    /// A buffer for what comes next.
    Buffer(u64),
    /// Room for the rest of the output; then it is over.
    Flushing(CloseReason),
    /// The peer's FIN.
    Fin(CloseReason),
    /// The end of the turn.
    Reaper(CloseReason),
}

/// What a peer that does not take its output keeps from happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Nothing: it may still send.
    Heard,
    /// It is not read from, because it has too much pending.
    Full,
    /// It is not read from, because all connections together have too much pending.
    Pressed,
}

impl<T: Transport> Connection<T> {
    /// Why it waits between two visits. `wants_buffer`: it stands in the list of those who wait for one.
    pub(crate) fn why(&self, limits: &Limits, now: Time, wants_buffer: bool) -> Why {
        self.explain(limits, now, self.pending_between_visits(), self.pending_bytes(), wants_buffer)
    }

    /// Why it has waited up to this visit.
    pub(super) fn why_until(&self, visit: &Visit<'_>) -> Why {
        self.explain(visit.limits, visit.now, self.pending(visit), visit.outbox.len(), false)
    }

    fn explain(&self, limits: &Limits, now: Time, pending: Pending, pending_bytes: usize, wants_buffer: bool) -> Why {
        let held = self.held.as_deref();
        let silent = now.duration_from(self.active);
        let blocked = now.duration_from(held.map_or(now, |held| held.blocked.min(now)));
        let (wait, waited) = match self.phase() {
            Some(Phase::Closed(reason)) => (Wait::Reaper(*reason), Duration::ZERO),
            Some(Phase::Lingering(reason, since)) => (Wait::Fin(*reason), now.duration_from(*since)),
            Some(Phase::Flushing(reason)) => (Wait::Flushing(*reason), blocked),
            Some(Phase::Working(Some(_)) | Phase::Speaking) => (Wait::Room, blocked),
            Some(Phase::Working(None)) => (Wait::Job, silent),
            Some(Phase::Storing(bulk)) if wants_buffer => (Wait::Buffer(bulk.received()), silent),
            Some(Phase::Storing(bulk))
                if bulk.is_away() && (self.line.is_readable() || self.line.has_peer_finished() || bulk.is_full()) =>
            {
                (Wait::Disk(bulk.received()), silent)
            }
            Some(Phase::Storing(bulk)) => (Wait::Upload(bulk.received()), silent),
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

    fn queue(&self, now: Time) -> Option<Queue> {
        let acknowledged = self.held.as_ref().and_then(|held| held.taking.acknowledged_at);
        let bytes = self.line.unacknowledged()?;
        Some(Queue { bytes, acknowledged: acknowledged.map(|at| now.duration_from(at)) })
    }
}

impl Why {
    /// The kind of waiting in a word or two.
    pub(crate) fn name(&self) -> &'static str {
        match self.wait {
            Wait::Idle => "idle",
            Wait::Request(_) => "request",
            Wait::Body => "body",
            Wait::Quiet => "quiet",
            Wait::Reader(_) | Wait::Room => "sending",
            Wait::Job => "job",
            Wait::Upload(_) => "upload",
            Wait::Disk(_) => "writing",
            Wait::Buffer(_) => "buffer",
            Wait::Flushing(_) => "flushing",
            Wait::Fin(_) => "lingering",
            Wait::Reaper(_) => "over",
        }
    }

    /// Whether it waits for nobody in particular.
    pub(crate) fn is_idle(&self) -> bool {
        self.wait == Wait::Idle
    }

    fn is_over(&self) -> bool {
        matches!(self.wait, Wait::Reaper(_))
    }

    /// The time until a deadline passes, if one runs.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.next.map(|(left, _)| left)
    }

    /// What happens by itself if nothing else does.
    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((left, expired)) = self.next else {
            return f.write_str(if self.is_over() { "" } else { ", however long it takes" });
        };
        f.write_str(match expired {
            Expired::Quiet => ", the protocol is told ",
            Expired::Timer => ", its timer fires ",
            _ => ", closed ",
        })?;
        if left.is_zero() {
            return f.write_str("now");
        }
        write!(f, "in {}", Rounded(left))?;
        f.write_str(match expired {
            Expired::Order(CloseReason::RequestTimeout) => " unless it is complete",
            Expired::Order(CloseReason::Lifetime) => " whatever happens",
            Expired::Order(_) if self.is_idle() => " unless a request comes",
            Expired::Order(_) | Expired::Quiet => " unless more comes",
            Expired::Write if matches!(self.wait, Wait::Reader(_) | Wait::Room) => " unless it reads",
            Expired::Write => " unless the peer reads",
            Expired::Linger => " at the latest",
            Expired::Timer => "",
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
                    Reader::Pressed => "waiting for the peer to read, because all together have too much output",
                };
                write!(f, "{until}: {pending} pending, the last write said EAGAIN {waited} ago")
            }
            Wait::Room => write!(
                f,
                "waiting for the peer to read, with more to say: {pending} pending, the last write said EAGAIN {waited} ago"
            ),
            Wait::Job => write!(f, "waiting for a worker to do a job: nothing else for {waited}"),
            Wait::Upload(received) => {
                write!(f, "waiting for more of an upload: {} so far, the last {waited} ago", Rounded::bytes(received))
            }
            Wait::Disk(received) => {
                let received = Rounded::bytes(received);
                write!(f, "waiting for a worker to write an upload: {received} so far, the last {waited} ago")
            }
            Wait::Buffer(received) => {
                write!(f, "waiting for a buffer, of which other uploads have all: {} so far", Rounded::bytes(received))
            }
            Wait::Flushing(reason) => {
                write!(f, "over ({reason}) but for {pending} pending: the last write said EAGAIN {waited} ago")
            }
            Wait::Fin(reason) => write!(f, "over ({reason}) but for the peer's FIN: ours went out {waited} ago"),
            Wait::Reaper(reason) => write!(f, "over ({reason})"),
        }?;
        if !f.alternate() {
            self.write_next(f)?;
        }
        if self.pending_bytes > 0
            && !matches!(self.wait, Wait::Reader(_) | Wait::Room | Wait::Flushing(_) | Wait::Reaper(_))
        {
            write!(f, "; {pending} of output pending")?;
        }
        if let Some(Queue { bytes, acknowledged }) = self.queue {
            write!(f, "; the kernel holds {} that the peer has not acknowledged", Rounded::bytes(bytes as u64))?;
            if let Some(acknowledged) = acknowledged {
                write!(f, ", and some was acknowledged {} ago", Rounded(acknowledged))?;
            }
        }
        if self.peer_finished && !self.is_over() {
            f.write_str("; its FIN has come")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
