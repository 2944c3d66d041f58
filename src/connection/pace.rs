//! How much a connection takes at a time: what decides in which queue it waits for its next visit.

use crate::budget::{Budget, Class};

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
    /// What it is after one visit more.
    pub(super) fn after(self, visit: &Budget) -> Self {
        match self {
            _ if visit.read_much() => Self::Long,
            _ if !visit.took_long() => Self::Short,
            Self::Short => Self::LongOnce,
            Self::LongOnce | Self::Long => Self::Long,
        }
    }

    pub(super) fn class(self) -> Class {
        if self == Self::Long { Class::Loud } else { Class::Quiet }
    }
}
