//! Rule 5: the budgets of a visit and of a turn, in bytes, work and time.
//!
//! Reading the clock costs more than a hundredth of a request. So work is counted in
//! [units](crate::limits::CALL_UNITS), by two instructions, and the clock is read when a window of units is full. The
//! window follows the measured cost of a unit, so that the clock is read about every [`LOOK_EVERY`], at most after each
//! call of a protocol.

#![warn(clippy::missing_docs_in_private_items)]

use std::time::Duration;

use crate::limits::{
    DOOR_VISIT_TIME, LOOK_EVERY, LOUD_TURN_TIME, LOUD_VISIT_TIME, LOUD_VISIT_UNITS, QUIET_BYTES_MAX, QUIET_TURN_TIME,
    QUIET_VISIT_TIME, QUIET_VISIT_UNITS, REAP_TURN_TIME, VISIT_BYTES_MAX, WINDOW_UNITS_MAX,
};
use crate::time::Time;

/// The class of a visited slot, which decides the budget of the visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A listener or a datagram socket.
    Door,
    /// A connection that needs little work at a time.
    Quiet,
    /// A connection that needs much work: it is visited after the quiet ones.
    Loud,
}

/// The remaining budget of the visit and of the turn. Durations are in nanoseconds, which are fast to compare.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Units counted since the last reading of the clock.
    used: u32,
    /// Units after which the clock is read again.
    window: u32,
    /// The time of the last reading.
    read_at: Time,
    /// The time at which the turn began.
    turn_began: Time,
    /// The age of the turn at the last reading.
    age: u64,
    /// The age up to which the turn may reap.
    reaps_until: u64,
    /// Whether a turn has begun whose end has not been measured.
    in_turn: bool,
    /// The class of the slot that is visited.
    class: Class,
    /// Whether the visit may continue.
    open: bool,
    /// Whether the visit may read more: it is likely to have the time to deliver the input.
    reads: bool,
    /// Bytes that the visit may still read.
    bytes: usize,
    /// The value of `used` at the begin of the visit, or 0 if the clock was read in it.
    visit_from: u32,
    /// Units that the visit had used at the last reading.
    visit_units: u32,
    /// Time that the visit had used at the last reading.
    visit_time: u64,
    /// The endpoints that the turn has served: one bit for each, the last bit for all beyond.
    served: u64,
    /// The longest time between two readings that took too long.
    slow: Option<Slow>,
    /// The time between two readings from which it is reported.
    slow_turn: u64,
    /// Whether the end of each turn is reported.
    watched: bool,
    /// Whether the end of this turn is reported: the turn is slow, or each is.
    reports: bool,
}

/// A part of a turn that took too long, and the endpoints that the turn had served by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow {
    /// The time that this part took.
    pub(crate) took: Duration,
    /// As [`Budget::served`].
    served: u64,
}

impl Slow {
    /// Whether the endpoint with this index was served.
    pub(crate) fn concerns(self, endpoint: usize) -> bool {
        self.served & bit(endpoint) != 0
    }
}

/// Returns the bit of an endpoint in [`Budget::served`].
fn bit(endpoint: usize) -> u64 {
    1 << endpoint.min(63)
}

impl Budget {
    /// Makes a budget. `slow_turn`: the time from which a turn is reported; `None` for never.
    pub(crate) fn new(now: Time, slow_turn: Option<Duration>) -> Self {
        let mut budget = Self {
            used: 0,
            window: WINDOW_UNITS_MAX,
            read_at: now,
            turn_began: now,
            age: 0,
            reaps_until: 0,
            in_turn: false,
            class: Class::Quiet,
            open: true,
            reads: true,
            bytes: QUIET_BYTES_MAX,
            visit_from: 0,
            visit_units: 0,
            visit_time: 0,
            served: 0,
            slow: None,
            slow_turn: u64::MAX,
            watched: false,
            reports: false,
        };
        budget.set_slow_turn(slow_turn);
        budget
    }

    /// Sets the time from which a turn is reported; `None` for never.
    pub(crate) fn set_slow_turn(&mut self, slow_turn: Option<Duration>) {
        self.slow_turn = slow_turn.map_or(u64::MAX, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Makes [`Budget::end_turn`] report each turn.
    pub(crate) fn watch(&mut self) {
        (self.watched, self.reports) = (true, true);
    }

    /// Begins a turn.
    #[inline]
    pub(crate) fn begin_turn(&mut self, now: Time) {
        self.turn_began = now;
        self.read_at = now;
        self.age = 0;
        self.used = 0;
        self.visit_from = 0;
        self.served = 0;
        self.in_turn = true;
    }

    /// Ends the turn, if one has begun. Returns whether a part of it took too long, or whether each turn is reported: one branch
    /// for both.
    #[inline]
    pub(crate) fn end_turn(&mut self, now: Time) -> bool {
        if self.in_turn && now.nanoseconds_from(self.read_at) >= nanoseconds(LOOK_EVERY) {
            self.look(now);
        }
        self.in_turn = false;
        self.reports
    }

    /// Takes the part that took too long.
    pub(crate) fn take_slow(&mut self) -> Option<Slow> {
        self.reports = self.watched;
        self.slow.take()
    }

    /// Begins the visit of a socket of `endpoint`.
    #[inline]
    pub(crate) fn begin_visit(&mut self, class: Class, endpoint: u16) {
        self.class = class;
        self.bytes = if class == Class::Quiet { QUIET_BYTES_MAX } else { VISIT_BYTES_MAX };
        self.visit_from = self.used;
        self.visit_units = 0;
        self.visit_time = 0;
        self.open = true;
        self.reads = true;
        self.serve(endpoint);
    }

    /// Notes that protocols of this endpoint are called: if the turn takes too long, they may be the cause.
    #[inline]
    pub(crate) fn serve(&mut self, endpoint: u16) {
        self.served |= bit(endpoint.into());
    }

    /// Counts work that was done. Returns whether the clock must be [read](Self::look).
    #[inline]
    #[must_use]
    pub(crate) fn charge(&mut self, units: u32) -> bool {
        self.used = self.used.saturating_add(units);
        self.used >= self.window
    }

    /// Counts bytes that were read.
    #[inline]
    pub(crate) fn take_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
    }

    /// Charges the visit with its share of the time until `now`, and chooses the next window.
    #[cold]
    pub(crate) fn look(&mut self, now: Time) {
        let took = now.nanoseconds_from(self.read_at);
        let used = u64::from(self.used.max(1));
        let own = self.used - self.visit_from;
        self.visit_units = self.visit_units.saturating_add(own);
        self.visit_time = self.visit_time.saturating_add(took.saturating_mul(own.into()) / used);
        self.open &= self.visit_units < self.units() && self.visit_time < self.time();
        // The visit should be able to deliver what it reads, because the rest would have to be kept.
        self.reads =
            self.units() > self.visit_units.saturating_mul(2) && self.time() > self.visit_time.saturating_mul(2);
        if took >= self.slow_turn && self.slow.is_none_or(|slow| slow.took.as_nanos() < took.into()) {
            self.slow = Some(Slow { took: Duration::from_nanos(took), served: self.served });
            self.reports = true;
        }
        // The system may have stopped the loop, so one long interval shrinks the window only by a factor of 8.
        let least = (self.window / 8).max(1);
        let next = used.saturating_mul(nanoseconds(LOOK_EVERY)) / took.max(1);
        self.window = u32::try_from(next).unwrap_or(u32::MAX).clamp(least, WINDOW_UNITS_MAX);
        self.used = 0;
        self.visit_from = 0;
        self.read_at = now;
        self.age = now.nanoseconds_from(self.turn_began);
    }

    /// Whether the visit has used up its work or its time, so that it must not call a protocol again.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        !self.open
    }

    /// Bytes that the visit may still read.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        if self.reads { self.bytes } else { 0 }
    }

    /// Whether a quiet connection has as much input as a loud one: it then waits for the other quiet ones.
    #[inline]
    pub(crate) fn turns_loud(&self) -> bool {
        self.class == Class::Quiet && self.bytes == 0
    }

    /// Ends the visit.
    pub(crate) fn spend(&mut self) {
        self.open = false;
    }

    /// Returns the bytes that the visit has read.
    #[inline]
    pub(crate) fn bytes_read(&self) -> usize {
        let most = if self.class == Class::Quiet { QUIET_BYTES_MAX } else { VISIT_BYTES_MAX };
        most - self.bytes
    }

    /// Whether the visit took longer than a quiet connection may, as far as the clock was read.
    #[inline]
    pub(crate) fn took_long(&self) -> bool {
        self.visit_time >= nanoseconds(QUIET_VISIT_TIME)
    }

    /// Whether the turn has no time left for quiet connections.
    #[inline]
    pub(crate) fn quiet_time_is_up(&self) -> bool {
        self.age >= nanoseconds(QUIET_TURN_TIME)
    }

    /// Whether the turn has no time left for loud connections.
    #[inline]
    pub(crate) fn loud_time_is_up(&self) -> bool {
        self.age >= nanoseconds(LOUD_TURN_TIME)
    }

    /// Begins reaping. Closing takes less than half as long as accepting, so half of the turn's time suffices.
    #[inline]
    pub(crate) fn begin_reaping(&mut self) {
        self.reaps_until = self.age + nanoseconds(REAP_TURN_TIME).max(self.age / 2);
    }

    /// Whether the turn has no time left for reaping.
    #[inline]
    pub(crate) fn reaping_time_is_up(&self) -> bool {
        self.age >= self.reaps_until
    }

    /// Returns the units that a visit of this class may use.
    #[inline]
    fn units(&self) -> u32 {
        if self.class == Class::Quiet { QUIET_VISIT_UNITS } else { LOUD_VISIT_UNITS }
    }

    /// Returns the nanoseconds that a visit of this class may take.
    #[inline]
    fn time(&self) -> u64 {
        nanoseconds(match self.class {
            Class::Door => DOOR_VISIT_TIME,
            Class::Quiet => QUIET_VISIT_TIME,
            Class::Loud => LOUD_VISIT_TIME,
        })
    }
}

/// Returns a constant duration in nanoseconds.
const fn nanoseconds(span: Duration) -> u64 {
    span.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::limits::CALL_UNITS;

    /// A budget, and a clock that the test moves.
    struct Loop(Budget, Time);

    impl Loop {
        fn new() -> Self {
            let origin = Instant::now();
            let now = Time::since(origin, origin);
            let mut budget = Budget::new(now, Some(Duration::from_millis(250)));
            budget.begin_turn(now);
            Self(budget, now)
        }

        /// Calls a protocol that takes the time `takes`. Returns whether the visit may continue.
        fn call(&mut self, takes: Duration) -> bool {
            self.1 = self.1.after(takes);
            if self.0.charge(CALL_UNITS) {
                self.0.look(self.1);
            }
            !self.0.is_spent()
        }

        /// Returns the number of calls that a visit makes, and their total time.
        fn visit(&mut self, class: Class, takes: Duration) -> (u32, Duration) {
            let began = self.1;
            self.0.begin_visit(class, 0);
            let mut calls = 1;
            while self.call(takes) {
                calls += 1;
                assert!(calls < 1_000_000, "the visit does not end");
            }
            (calls, self.1.duration_from(began))
        }
    }

    #[test]
    fn expensive_calls_are_soon_measured_one_by_one() {
        let mut turn = Loop::new();
        (0..5).for_each(|_| _ = turn.visit(Class::Loud, Duration::from_millis(1)));
        assert_eq!(turn.visit(Class::Loud, Duration::from_millis(1)).0, 1);
        assert_eq!(turn.visit(Class::Quiet, Duration::from_millis(1)).0, 1);
    }

    #[test]
    fn a_visit_ends_when_its_time_is_used_up() {
        let mut turn = Loop::new();
        for (class, most) in [(Class::Loud, LOUD_VISIT_TIME), (Class::Quiet, QUIET_VISIT_TIME)] {
            turn.visit(class, Duration::from_micros(2));
            let (_, took) = turn.visit(class, Duration::from_micros(2));
            assert!(took >= most && took <= most + 2 * LOOK_EVERY, "{class:?}: {took:?}");
        }
    }

    #[test]
    fn units_of_work_end_a_visit_too() {
        let mut turn = Loop::new();
        let (calls, _) = turn.visit(Class::Loud, Duration::ZERO);
        assert!(calls * CALL_UNITS <= LOUD_VISIT_UNITS + WINDOW_UNITS_MAX, "{calls} calls");
    }

    #[test]
    fn a_visit_is_not_charged_for_the_one_before_it() {
        let mut turn = Loop::new();
        turn.0.begin_visit(Class::Loud, 0);
        for _ in 0..WINDOW_UNITS_MAX / CALL_UNITS - 1 {
            assert!(turn.call(Duration::from_micros(5)));
        }
        turn.0.begin_visit(Class::Quiet, 0);
        assert!(turn.call(Duration::from_micros(5)), "it has made one call");
        assert!(!turn.0.took_long());
    }

    #[test]
    fn a_slow_part_of_a_turn_names_the_endpoints_that_it_served() {
        let mut turn = Loop::new();
        turn.0.begin_visit(Class::Quiet, 3);
        turn.call(Duration::from_secs(2));
        assert!(turn.0.end_turn(turn.1));
        let slow = turn.0.take_slow().expect("it took two seconds");
        assert!(slow.took >= Duration::from_secs(2));
        assert!(slow.concerns(3) && !slow.concerns(2));
        turn.0.begin_turn(turn.1);
        assert!(!turn.0.end_turn(turn.1));
    }

    #[test]
    fn a_turn_without_a_visit_has_an_end_too() {
        let mut turn = Loop::new();
        turn.0.begin_visit(Class::Quiet, 0);
        turn.call(Duration::ZERO);
        turn.0.begin_visit(Class::Quiet, 0);
        turn.0.begin_turn(turn.1);
        assert!(!turn.0.end_turn(turn.1.after(LOOK_EVERY)));
    }

    #[test]
    fn each_turn_is_reported_once_it_is_watched_and_slow_ones_still_are() {
        let mut turn = Loop::new();
        assert!(!turn.0.end_turn(turn.1));
        turn.0.watch();
        for slow in [false, true, false] {
            turn.0.begin_turn(turn.1);
            turn.1 = turn.1.after(if slow { Duration::from_secs(1) } else { LOOK_EVERY });
            assert!(turn.0.end_turn(turn.1));
            assert_eq!(turn.0.take_slow().is_some(), slow);
        }
    }

    #[test]
    fn time_between_two_turns_belongs_to_no_turn() {
        let mut turn = Loop::new();
        assert!(!turn.0.end_turn(turn.1));
        assert!(!turn.0.end_turn(turn.1.after(Duration::from_secs(9))));
    }
}
