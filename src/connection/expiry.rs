//! Deadlines of a connection: which one comes first, and what happens when it has passed.

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
    /// The pause that the protocol asked for with `wait_quiet`.
    Quiet,
    /// The timer of the protocol.
    Timer,
    /// A message waits for the protocol, or for the output.
    Message,
    /// A limit after which the connection is closed gracefully.
    Close(CloseReason),
    /// The time of a peer that has output pending: to look at its acknowledgements, or to reset it.
    Write,
    /// The time for the peer's FIN.
    Linger,
}

impl Expired {
    /// Returns the name of the limit for the X-ray.
    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Timer => "timer",
            Self::Message => "message",
            Self::Close(reason) => reason.name(),
            Self::Write => "write timeout",
            Self::Linger => "linger timeout",
        }
    }

    /// Whether the deadline is an event for the protocol, after which the connection goes on.
    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Quiet | Self::Timer | Self::Message)
    }

    /// Whether it is due whatever the peer has sent meanwhile.
    pub(super) fn blames_no_peer(self) -> bool {
        matches!(self, Self::Timer | Self::Message)
    }
}

impl<T: Transport> Connection<T> {
    /// Returns the earliest deadline between two visits; [`Time::NEVER`] while the connection waits only for a job.
    pub(crate) fn deadline(&self, limits: &Limits) -> Time {
        self.next_expiry(limits, self.pending_between_visits()).0
    }

    /// Returns the earliest deadline, given the pending output.
    pub(super) fn next_expiry(&self, limits: &Limits, pending: Pending) -> (Time, Expired) {
        if self.held.is_none() && !pending.any {
            // Rule 8: every connection has a deadline, unless a worker runs its job.
            let idle = if self.job_out { Time::NEVER } else { self.active.after(limits.idle_timeout) };
            return (idle, Expired::Close(CloseReason::Idle));
        }
        let write = || pending.due;
        let lifetime = self.held.as_ref().map_or(Time::NEVER, |held| held.lifetime);
        match self.phase() {
            Some(Phase::Closed(_)) => (Time::NEVER, Expired::Linger),
            Some(Phase::Lingering(_, since)) => (since.after(limits.linger_timeout), Expired::Linger),
            // A peer that acknowledges a little now and then outlives `lifetime` by at most one `write_timeout`.
            Some(Phase::Flushing(_)) => (write().min(lifetime.after(limits.write_timeout)), Expired::Write),
            phase @ (None | Some(Phase::Working(_) | Phase::Storing(_) | Phase::Speaking | Phase::Relaying(_))) => {
                let mut next = (lifetime, Expired::Close(CloseReason::Lifetime));
                let mut consider = |at: Time, expired| {
                    if at < next.0 {
                        next = (at, expired);
                    }
                };
                if pending.any {
                    consider(write(), Expired::Write);
                } else if !self.job_out && !matches!(phase, Some(Phase::Working(None))) {
                    consider(self.active.after(limits.idle_timeout), Expired::Close(CloseReason::Idle));
                }
                if let (None | Some(Phase::Relaying(_)), Some(held)) = (phase, &self.held) {
                    consider(held.asked_to_close, Expired::Close(CloseReason::Asked));
                }
                if let (None, Some(held), false) = (phase, &self.held, pending.full) {
                    if self.within == Within::Request {
                        let request = held.request.after_limit(limits.request_timeout);
                        consider(request, Expired::Close(CloseReason::RequestTimeout));
                    }
                    consider(held.quiet, Expired::Quiet);
                    consider(held.timer, Expired::Timer);
                    consider(held.letters_due(), Expired::Message);
                }
                next
            }
        }
    }

    /// Whether a deadline has passed, or the server is stopping and the connection is between requests. If the budget is used
    /// up, more input may be there: that is not silence.
    pub(super) fn is_due(&self, (at, expired): (Time, Expired), visit: &Visit<'_>, status: Status) -> bool {
        let spent = status == Status::Again;
        (at <= visit.now && !(spent && matches!(expired, Expired::Quiet | Expired::Message)))
            || (self.may_shut_down(visit) && !spent)
    }

    /// Whether the server is stopping and the connection is between requests.
    fn may_shut_down(&self, visit: &Visit<'_>) -> bool {
        visit.stopping && self.is_open() && self.within == Within::Nothing && visit.outbox.is_empty()
    }

    /// Does what is due: notifies the protocol or closes the connection.
    pub(super) fn expire(&mut self, (at, expired): (Time, Expired), visit: &mut Visit<'_>) {
        if at > visit.now {
            return self.close_gracefully(CloseReason::Shutdown, Event::Closing, visit);
        }
        if expired == Expired::Write && !self.is_stuck(visit) {
            return;
        }
        if expired != Expired::Message {
            xray::record(|| What::Expired(expired.name()));
        }
        if !expired.is_event() {
            log::debug!("{}: deadline expired: {}", self.peer(), self.why_until(visit));
        }
        match expired {
            Expired::Quiet => {
                self.notify(Event::Quiet, visit);
            }
            Expired::Timer => {
                self.held().timer = Time::NEVER;
                self.notify(Event::Timer, visit);
            }
            Expired::Message => self.open_letters(visit),
            Expired::Close(reason) => self.close_gracefully(reason, Event::Closing, visit),
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

    /// Whether to reset the peer: it has acknowledged too little, or `lifetime` and one `write_timeout` have expired.
    pub(super) fn is_stuck(&mut self, visit: &mut Visit<'_>) -> bool {
        let lifetime = self.held().lifetime.after(visit.limits.write_timeout);
        !self.acknowledges(visit) || lifetime <= visit.now
    }

    /// Lets the protocol append last output, then sends what is pending and our FIN.
    pub(super) fn close_gracefully(&mut self, reason: CloseReason, event: Event, visit: &mut Visit<'_>) {
        if self.is_open() {
            let input = self.take_input();
            self.call(visit, Ask::of(&event), &input, |protocol, cx| protocol.on_event(event, &input, cx));
        }
        if !self.is_closed() {
            self.leave(Phase::Flushing(reason), visit);
        }
    }
}
