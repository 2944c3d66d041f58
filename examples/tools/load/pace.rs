use std::ffi::c_int;
use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::options::Cli;

/// Decides when requests should leave.
pub(crate) struct Pace {
    start: Instant,
    end: Instant,
    /// Of an open loop; `None` is a closed loop, in which a request leaves when there is room.
    arrivals: Option<Arrivals>,
    stopped: Option<Stop>,
}

/// Why a run ended early.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    Signal(c_int),
    /// The limit of uploads was reached.
    Files,
}

/// How long after the end an open loop still sends requests that were due before.
const GRACE: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(cli: &Cli, start: Instant) -> Self {
        let arrivals = cli.rate.map(|rate| Arrivals::new(rate, cli.ramp.clone(), cli.arrivals, cli.seed));
        Self { start, end: start + cli.warmup() + cli.duration, arrivals, stopped: None }
    }

    /// Ends the run early: no request that is due from now on is sent.
    pub(crate) fn stop(&mut self, now: Instant, why: Stop) {
        if now < self.end {
            self.end = now;
            self.stopped = Some(why);
        }
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Returns how long the run has lasted.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Takes the next request if it is due, and returns the time at which it was due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        self.take_up_to(1, now).map(|(due, _)| due)
    }

    /// Takes the next requests that were due at one time, `most` of them at most. Returns that time and their number.
    pub(crate) fn take_up_to(&mut self, most: usize, now: Instant) -> Option<(Instant, usize)> {
        let due = self.next_due();
        let Some(arrivals) = &mut self.arrivals else {
            return (now < self.end).then_some((now, most));
        };
        let due = due.filter(|due| *due <= now && now < self.end + GRACE)?;
        arrivals.advance();
        Some((due, 1))
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self.arrivals {
            None => now < self.end,
            Some(_) => now < self.end + GRACE && self.next_due().is_some_and(|due| due <= now),
        }
    }

    /// Returns when the next request of an open loop is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.start.checked_add(self.arrivals.as_ref()?.due())?;
        (due < self.end).then_some(due)
    }

    /// Whether no more requests will be taken, except those that are late already.
    pub(crate) fn has_ended(&self, now: Instant) -> bool {
        now >= self.end && !self.is_due(now)
    }

    /// The number of requests that were due and never sent.
    pub(crate) fn unsent(&self) -> u64 {
        self.arrivals.as_ref().map_or(0, |arrivals| arrivals.left(self.end.duration_since(self.start)))
    }
}
