//! The pulse: how the loop spends its time. Measured from the first inquiry on, so that a server without inquiries pays
//! nothing: the branch that looks for a slow turn looks for the pulse too.

use super::super::Reactor;
use crate::kernel::Kernel;
use crate::snapshot;
use crate::time::Time;

/// The measurements so far.
#[derive(Debug)]
pub(in crate::reactor) struct Pulse {
    /// When the turn began; `None` between two turns.
    began: Option<Time>,
    /// When the last turn ended.
    rested: Time,
    /// What was measured.
    measured: snapshot::Pulse,
}

impl Pulse {
    /// Measures from `now` on, in the middle of a turn.
    fn new(now: Time) -> Self {
        Self { began: Some(now), rested: now, measured: snapshot::Pulse::default() }
    }

    /// Ends the turn, and begins to wait.
    pub(in crate::reactor) fn rest(&mut self, now: Time) {
        if let Some(began) = self.began.take() {
            self.measured.turns.add(now.nanoseconds_from(began));
            self.rested = now;
        }
    }

    /// Ends the wait and begins a turn, in which a deadline at or before `now` is due.
    ///
    /// The clock is not read before a poll that does not sleep, so that poll belongs to the turn before.
    pub(in crate::reactor) fn beat(&mut self, now: Time, deadline: Option<Time>) {
        self.rest(now);
        self.measured.waited += now.nanoseconds_from(self.rested);
        self.began = Some(now);
        if let Some(due) = deadline.filter(|due| *due <= now) {
            self.measured.lateness.add(now.nanoseconds_from(due));
        }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Returns the measurements so far, and starts to measure at the first call.
    pub(super) fn take_pulse(&mut self) -> snapshot::Pulse {
        let now = self.moment.now;
        self.lent.budget.watch();
        self.inquired.pulse.get_or_insert_with(|| Box::new(Pulse::new(now))).measured
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_nanosecond_is_of_a_turn_or_of_waiting() {
        let origin = Instant::now();
        let at = |nanoseconds| Time::since(origin, origin + Duration::from_nanos(nanoseconds));
        let mut pulse = Pulse::new(at(0));
        pulse.rest(at(500));
        pulse.beat(at(2_000), None);
        // A poll that did not sleep.
        pulse.beat(at(7_000), Some(at(7_001)));
        pulse.rest(at(8_000));
        // The program that drives the turns did something else before the next wait.
        pulse.rest(at(90_000));
        pulse.beat(at(100_000), Some(at(98_000)));
        let snapshot::Pulse { turns, waited, lateness } = pulse.measured;
        assert_eq!((turns.count(), turns.sum, waited), (3, 500 + 5_000 + 1_000, 1_500 + 92_000));
        assert_eq!((lateness.count(), lateness.sum), (1, 2_000));
    }
}
