//! The monotonic clock as other processes of this machine read it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the time of `CLOCK_MONOTONIC` (`clock_gettime(2)`), which is the same in all processes. An [`Instant`] is of the same
/// clock on Linux, but does not show its number.
///
/// [`Instant`]: std::time::Instant
pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}
