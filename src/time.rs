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

    /// How long from `now` until this time; zero if it has passed.
    pub(crate) fn duration_from(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
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
}
