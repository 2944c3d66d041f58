//! What the loop keeps between turns beside its slots, in groups.

use std::collections::VecDeque;

use super::short::Short;
use crate::kernel::Token;
use crate::log_limit::LogLimit;
use crate::time::Time;

/// Slots that wait until others free something.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Uploads that wait for a buffer.
    pub(super) buffer: VecDeque<Token>,
    /// Listeners that wait until a connection is freed.
    pub(super) connections: Vec<u32>,
    /// Listeners that wait for descriptors.
    pub(super) descriptors: Short,
    /// A connection was freed in this turn.
    pub(super) freed: bool,
}

/// What all connections take together, and may take.
#[derive(Debug)]
pub(super) struct Totals {
    /// Bytes of output that are pending.
    pub(super) pending_bytes: usize,
    pub(super) pending_bytes_max: usize,
    /// When to free output of the slowest readers, while more is pending than may be.
    pub(super) relief: Time,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
    /// Notices that came for owners that are gone.
    pub(super) stale_notices: u64,
}

/// Warnings that may repeat, each at a limited rate.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) accept: LogLimit,
    pub(super) job: LogLimit,
    pub(super) slow: LogLimit,
}
