//! Rule 12: time is an argument: one monotonic number, read once a turn and handed on.

use std::time::{Duration, Instant};

/// Nanoseconds since the loop was made; eight bytes, where an [`Instant`] takes sixteen. Good for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    /// Later than everything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The time at `now`, for a loop made at `origin`.
    pub(crate) fn since(origin: Instant, now: Instant) -> Self {
        Self(nanoseconds(now.saturating_duration_since(origin)))
    }

    /// The time `later` after this one; [`Time::NEVER`] if it cannot be told.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(later)))
    }

    /// The time `later` after this one, or [`Time::NEVER`] if there is no such limit.
    pub(crate) fn after_limit(self, later: Option<Duration>) -> Self {
        later.map_or(Self::NEVER, |later| self.after(later))
    }

    /// Nanoseconds from `before` until this time; zero if that is later.
    #[inline]
    pub(crate) fn nanoseconds_from(self, before: Self) -> u64 {
        self.0.saturating_sub(before.0)
    }

    /// This time in four bytes.
    pub(crate) fn stamp(self) -> Stamp {
        Stamp((self.0 / STAMP_NANOSECONDS) as u32)
    }

    /// How long from `now` until this time; zero if it has passed.
    pub(crate) fn duration_from(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }
}

/// When something began, to a tenth of a second, in four bytes: for what there are very many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

const STAMP_NANOSECONDS: u64 = 100_000_000;

impl Stamp {
    /// How long ago it was, for what is less than 13 years old: stamps wrap round.
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
    fn absurd_durations_mean_never_instead_of_wrapping_round() {
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
    fn an_age_is_right_when_stamps_wrap_round() {
        let begin = Time(u64::from(u32::MAX) * STAMP_NANOSECONDS);
        assert_eq!(begin.stamp().age(begin.after(Duration::from_secs(7))), Duration::from_secs(7));
    }
}
