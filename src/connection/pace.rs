//! How much a connection takes at a time: what decides in which queue it waits for its next visit.

use crate::budget::{Budget, Class};
use crate::limits::QUIET_BYTES_MAX;

/// What the last visits of a connection were like. One byte, in each of many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pace {
    /// The last visit was short.
    #[default]
    Short,
    /// The last visit took long, the one before it did not. The system may have stopped the loop in the middle of it, so that
    /// proves nothing.
    LongOnce,
    /// The last visits took long, or the last one read much.
    Long,
}

impl Pace {
    /// What it is after one visit more, which read so many bytes.
    #[inline]
    pub(super) fn after(self, bytes_read: usize, visit: &Budget) -> Self {
        if bytes_read >= QUIET_BYTES_MAX {
            Self::Long
        } else if !visit.took_long() {
            Self::Short
        } else if self == Self::Short {
            Self::LongOnce
        } else {
            Self::Long
        }
    }

    #[inline]
    pub(super) fn class(self) -> Class {
        if self == Self::Long { Class::Loud } else { Class::Quiet }
    }
}
