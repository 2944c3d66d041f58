//! How long the visits of a connection are. Rule 5: this chooses the queue for its next visit.

use crate::budget::{Budget, Class};
use crate::limits::QUIET_BYTES_MAX;

/// How long the last visits of a connection were. One byte, because each connection has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pace {
    /// The last visit was short.
    #[default]
    Short,
    /// The last visit took long, the one before it did not. The kernel may have stopped the loop's thread meanwhile, so this
    /// proves nothing.
    LongOnce,
    /// The last visits took long, or the last one read much.
    Long,
}

impl Pace {
    /// Returns the pace after one more visit, which read `bytes_read` bytes.
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

    /// Returns the queue for the next visit.
    #[inline]
    pub(super) fn class(self) -> Class {
        if self == Self::Long { Class::Loud } else { Class::Quiet }
    }
}
