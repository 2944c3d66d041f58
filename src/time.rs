//! Rule 12: time is an argument: one monotonic number, read once a turn and passed on.

use std::time::{Duration, Instant};

/// Nanoseconds since the loop was created, in eight bytes; an [`Instant`] takes sixteen. Overflows after 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    /// When the loop was created.
    pub(crate) const ORIGIN: Self = Self(0);

    /// Later than every other time.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Returns the time at `now`, for a loop created at `origin`.
    pub(crate) fn since(origin: Instant, now: Instant) -> Self {
        Self(nanoseconds(now.saturating_duration_since(origin)))
    }

    /// Returns the time `later` after this one; [`Time::NEVER`] on overflow.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(later)))
    }

    /// Returns the time `later` after this one; [`Time::NEVER`] if there is no limit.
    pub(crate) fn after_limit(self, later: Option<Duration>) -> Self {
        later.map_or(Self::NEVER, |later| self.after(later))
    }

    /// Returns the nanoseconds from `before` until this time; zero if `before` is later.
    #[inline]
    pub(crate) fn nanoseconds_from(self, before: Self) -> u64 {
        self.0.saturating_sub(before.0)
    }

    /// Returns this time in four bytes, rounded down.
    pub(crate) fn stamp(self) -> Stamp {
        Stamp((self.0 / STAMP_NANOSECONDS) as u32)
    }

    /// Returns the duration from `now` until this time; zero if it has passed.
    pub(crate) fn duration_from(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }
}

/// A time to a tenth of a second, in four bytes, for values that are stored very often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

const STAMP_NANOSECONDS: u64 = 100_000_000;

impl Stamp {
    /// Returns the age of the stamp, if it is less than 13 years: stamps wrap around.
    pub(crate) fn age(self, now: Time) -> Duration {
        Duration::from_nanos(u64::from(now.stamp().0.wrapping_sub(self.0)) * STAMP_NANOSECONDS)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_durations_mean_never_instead_of_wrapping_around() {
        let now = Time(5);
        assert_eq!(now.after(Duration::MAX), Time::NEVER);
        assert_eq!(Time::NEVER.after(Duration::from_secs(1)), Time::NEVER);
        assert_eq!(now.after_limit(None), Time::NEVER);
        assert_eq!(now.duration_from(Time(9)), Duration::ZERO);
    }

    #[test]
    fn an_age_is_right_to_a_tenth_of_a_second() {
        let start = Time(0);
        for (begin, end, age) in [(0, 0, 0), (0, 99, 0), (1_999, 3_250, 1_300), (86_400_000, 86_500_050, 100_000)] {
            let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
            assert_eq!(at(begin).stamp().age(at(end)), Duration::from_millis(age), "{begin} {end}");
        }
    }

    #[test]
    fn an_age_is_right_when_stamps_wrap_around() {
        let begin = Time(u64::from(u32::MAX) * STAMP_NANOSECONDS);
        assert_eq!(begin.stamp().age(begin.after(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
