//! Deadlines of a connection: which one comes first, and what is done when it has passed.

use std::mem;

use super::{Connection, Phase, Status, Visit};
use crate::kernel::{Panicked, Transport};
use crate::limits::Limits;
use crate::protocol::{CloseReason, Event, Within};
use crate::time::Time;

/// When things happened that deadlines count from.
pub(super) struct Clock {
    /// The connection was accepted.
    pub(super) opened: Time,
    /// The last byte received, job finished, or output drained.
    pub(super) active: Time,
    /// The first byte of the request that the protocol is in the middle of.
    pub(super) request: Time,
    /// The last time that the peer took output, or that there was new output after none.
    pub(super) progress: Time,
    /// When silence is to be told to the protocol.
    pub(super) quiet: Time,
    /// When lingering began.
    pub(super) finished: Time,
}

impl Clock {
    /// That of a connection accepted at `now`.
    pub(super) fn new(now: Time) -> Self {
        Self { opened: now, active: now, request: now, progress: now, quiet: Time::NEVER, finished: now }
    }
}

/// A deadline that has passed.
#[derive(Clone, Copy)]
enum Expired {
    Quiet,
    Order(CloseReason),
    Write,
    Linger,
}

impl<T: Transport> Connection<T> {
    /// The earliest deadline; [`Time::NEVER`] while only a job is awaited.
    pub(crate) fn deadline(&self, limits: &Limits) -> Time {
        self.next_expiry(limits, !self.outbox.is_empty(), self.full).0
    }

    /// What comes first, given whether output is `pending`, and so much that the outbox is `full`.
    fn next_expiry(&self, limits: &Limits, pending: bool, full: bool) -> (Time, Expired) {
        let write = (self.clock.progress.after(limits.write_timeout), Expired::Write);
        match self.phase {
            Phase::Closed(_) => (Time::NEVER, Expired::Linger),
            Phase::Lingering(_) => (self.clock.finished.after(limits.linger_timeout), Expired::Linger),
            // A peer that takes a little now and then does not outlive its lifetime by more than one `write_timeout`.
            Phase::Flushing(_) => {
                let lifetime = self.clock.opened.after_limit(limits.lifetime).after(limits.write_timeout);
                (write.0.min(lifetime), Expired::Write)
            }
            Phase::Open | Phase::Working(_) | Phase::Storing(_) => {
                let open = matches!(self.phase, Phase::Open);
                let lifetime = self.clock.opened.after_limit(limits.lifetime);
                let mut next = (lifetime, Expired::Order(CloseReason::Lifetime));
                let mut consider = |at: Time, expired| {
                    if at < next.0 {
                        next = (at, expired);
                    }
                };
                if pending {
                    consider(write.0, write.1);
                } else if !self.job_out {
                    consider(self.clock.active.after(limits.idle_timeout), Expired::Order(CloseReason::Idle));
                }
                if open && self.within == Within::Request && !full {
                    let request = self.clock.request.after_limit(limits.request_timeout);
                    consider(request, Expired::Order(CloseReason::RequestTimeout));
                }
                if open {
                    consider(self.clock.quiet, Expired::Quiet);
                }
                next
            }
        }
    }

    /// Whether a deadline has passed, or a shutdown finds the connection between two requests. Bytes that go on coming
    /// faster than a visit may take them are no silence.
    pub(super) fn is_due(&self, visit: &Visit<'_>, status: Status) -> bool {
        let (at, expired) = self.next_expiry(visit.limits, !visit.outbox.is_empty(), self.is_full(visit));
        let spent = status == Status::Again;
        (at <= visit.now && !(spent && matches!(expired, Expired::Quiet))) || (self.may_shut_down(visit) && !spent)
    }

    fn may_shut_down(&self, visit: &Visit<'_>) -> bool {
        let between_requests = matches!(self.phase, Phase::Open) && self.within == Within::Nothing;
        visit.stopping && between_requests && visit.outbox.is_empty()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, visit: &mut Visit<'_>) {
        let (at, expired) = self.next_expiry(visit.limits, !visit.outbox.is_empty(), self.is_full(visit));
        if at > visit.now {
            return self.close_in_order(CloseReason::Shutdown, visit);
        }
        match expired {
            Expired::Quiet => {
                self.tell(Event::Quiet, visit);
            }
            Expired::Order(reason) => self.close_in_order(reason, visit),
            Expired::Write => {
                self.transport.reset_on_close();
                self.leave(Phase::Closed(CloseReason::WriteTimeout), visit);
            }
            Expired::Linger => {
                if let Phase::Lingering(reason) = self.phase {
                    self.phase = Phase::Closed(reason);
                }
            }
        }
    }

    /// Gives the protocol its last word, then flushes and finishes.
    fn close_in_order(&mut self, reason: CloseReason, visit: &mut Visit<'_>) {
        if matches!(self.phase, Phase::Open) {
            let input = mem::take(&mut self.input);
            match self.ask(visit, |protocol, cx| protocol.on_event(Event::Closing, &input, cx)) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    visit.outbox.extend_from_slice(error.reply.as_bytes());
                }
                Err(Panicked) => return self.leave(Phase::Closed(CloseReason::Bug("it panicked")), visit),
            }
        }
        self.leave(Phase::Flushing(reason), visit);
    }
}
