//! Deadlines of a connection: which one comes first, and what is done when it has passed.

use super::held::Pending;
use super::{Connection, Phase};
use crate::kernel::Transport;
use crate::limits::Limits;
use crate::protocol::{CloseReason, Event, Within};
use crate::time::Time;
use crate::visit::{Status, Visit};
use crate::xray::{self, Ask, What};

/// A deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Quiet,
    Timer,
    Order(CloseReason),
    Write,
    Linger,
}

impl Expired {
    /// The limit that was reached.
    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Timer => "timer",
            Self::Order(reason) => reason.name(),
            Self::Write => "write timeout",
            Self::Linger => "linger timeout",
        }
    }

    /// Whether the protocol is told, and the connection goes on.
    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Quiet | Self::Timer)
    }
}

impl<T: Transport> Connection<T> {
    /// The earliest deadline between two visits; [`Time::NEVER`] while only a job is awaited.
    pub(crate) fn deadline(&self, limits: &Limits) -> Time {
        self.next_expiry(limits, self.pending_between_visits()).0
    }

    /// What comes first, given what output is pending.
    pub(super) fn next_expiry(&self, limits: &Limits, pending: Pending) -> (Time, Expired) {
        if self.held.is_none() && !pending.any {
            // Rule 8: every connection has a deadline, unless a worker works for it.
            let idle = if self.job_out { Time::NEVER } else { self.active.after(limits.idle_timeout) };
            return (idle, Expired::Order(CloseReason::Idle));
        }
        let write = || pending.due;
        let lifetime = self.held.as_ref().map_or(Time::NEVER, |held| held.lifetime);
        match self.phase() {
            Some(Phase::Closed(_)) => (Time::NEVER, Expired::Linger),
            Some(Phase::Lingering(_, since)) => (since.after(limits.linger_timeout), Expired::Linger),
            // A peer that takes a little now and then does not outlive its lifetime by more than one `write_timeout`.
            Some(Phase::Flushing(_)) => (write().min(lifetime.after(limits.write_timeout)), Expired::Write),
            phase @ (None | Some(Phase::Working(_) | Phase::Storing(_) | Phase::Speaking)) => {
                let mut next = (lifetime, Expired::Order(CloseReason::Lifetime));
                let mut consider = |at: Time, expired| {
                    if at < next.0 {
                        next = (at, expired);
                    }
                };
                if pending.any {
                    consider(write(), Expired::Write);
                } else if !self.job_out {
                    consider(self.active.after(limits.idle_timeout), Expired::Order(CloseReason::Idle));
                }
                if let (None, Some(held), false) = (phase, &self.held, pending.full) {
                    if self.within == Within::Request {
                        let request = held.request.after_limit(limits.request_timeout);
                        consider(request, Expired::Order(CloseReason::RequestTimeout));
                    }
                    consider(held.quiet, Expired::Quiet);
                    consider(held.timer, Expired::Timer);
                }
                next
            }
        }
    }

    /// Whether a deadline has passed, or a shutdown finds the connection between two requests. Bytes that go on coming
    /// faster than a visit may take them are no silence.
    pub(super) fn is_due(&self, (at, expired): (Time, Expired), visit: &Visit<'_>, status: Status) -> bool {
        let spent = status == Status::Again;
        (at <= visit.now && !(spent && matches!(expired, Expired::Quiet))) || (self.may_shut_down(visit) && !spent)
    }

    fn may_shut_down(&self, visit: &Visit<'_>) -> bool {
        visit.stopping && self.is_open() && self.within == Within::Nothing && visit.outbox.is_empty()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, (at, expired): (Time, Expired), visit: &mut Visit<'_>) {
        if at > visit.now {
            return self.close_in_order(CloseReason::Shutdown, Event::Closing, visit);
        }
        if expired == Expired::Write && !self.is_stuck(visit) {
            return;
        }
        xray::record(|| What::Expired(expired.name()));
        if !expired.is_event() {
            log::debug!("{}: its time is over: {}", self.peer(), self.why_until(visit));
        }
        match expired {
            Expired::Quiet => {
                self.tell(Event::Quiet, visit);
            }
            Expired::Timer => {
                self.held().timer = Time::NEVER;
                self.tell(Event::Timer, visit);
            }
            Expired::Order(reason) => self.close_in_order(reason, Event::Closing, visit),
            Expired::Write => {
                self.line.reset_on_close();
                self.leave(Phase::Closed(CloseReason::WriteTimeout), visit);
            }
            Expired::Linger => {
                if let Some(&Phase::Lingering(reason, _)) = self.phase() {
                    self.replace_phase(Phase::Closed(reason), visit.buffers);
                }
            }
        }
    }

    /// Whether the peer is to be given up: it has not acknowledged what it had to, or goes on past its lifetime.
    fn is_stuck(&mut self, visit: &mut Visit<'_>) -> bool {
        let lifetime = self.held().lifetime.after(visit.limits.write_timeout);
        !self.acknowledges(visit) || lifetime <= visit.now
    }

    /// Gives the protocol its last word, then flushes and finishes.
    pub(super) fn close_in_order(&mut self, reason: CloseReason, event: Event, visit: &mut Visit<'_>) {
        if self.is_open() {
            let input = self.take_input();
            self.call(visit, Ask::of(&event), &input, |protocol, cx| protocol.on_event(event, &input, cx));
        }
        if !self.is_over() {
            self.leave(Phase::Flushing(reason), visit);
        }
    }
}
