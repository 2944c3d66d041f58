//! The clocks of the kernel, for code that must not depend on which kernel it is.

use std::fmt;
use std::time::{Instant, SystemTime};

/// The clocks of the kernel, as a driver reads them.
pub(crate) trait Clock {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn wall_clock(&self) -> SystemTime;
}

/// Clocks that do not move.
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
