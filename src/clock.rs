//! The clocks of the kernel, for code that is not generic over the kernel.

use std::fmt;
use std::time::{Instant, SystemTime};

/// The clocks of the kernel, as a driver reads them.
pub(crate) trait Clock {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn wall_clock(&self) -> SystemTime;
}

/// Stopped clocks, for tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Still(pub(crate) Instant, pub(crate) SystemTime);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall_clock(&self) -> SystemTime {
        self.1
    }
}

impl fmt::Debug for dyn Clock + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
