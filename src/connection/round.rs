//! What one round of a visit comes to, and what is left of a connection in the end.

use crate::protocol::{CloseReason, Job};

/// What one round of a visit came to. It is as wide as a number of bytes, so that a read returns either in a register.
#[repr(usize)]
pub(super) enum Round {
    /// Something was done; look again.
    Progress,
    /// Nothing can be done.
    Rest,
    /// The budget is used up.
    Spent,
    /// There is no buffer to go on with.
    WantsBuffer,
}

/// What is left when a connection has ended.
pub(crate) struct Ended<T> {
    pub(crate) transport: T,
    pub(crate) reason: CloseReason,
    /// A panic that the log has to tell, in words.
    pub(crate) bug: Option<Box<str>>,
    /// The last job: discards what may block.
    pub(crate) last: Option<Job>,
    /// A worker is still busy for it; the last job comes after that.
    pub(crate) job_out: bool,
}
