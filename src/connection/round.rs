//! The result of one round of a visit, and what is left of a closed connection.

use super::asked::Asked;
use crate::protocol::{CloseReason, ConnectionId, Job, Within};

/// How one round of a visit ended. It is as wide as a number of bytes, so that a read returns either in a register.
#[repr(usize)]
pub(super) enum Round {
    /// Something was done; another round follows.
    Progress,
    /// Nothing can be done.
    Rest,
    /// The budget is used up.
    Spent,
    /// An upload needs a buffer, and the pool is empty.
    WantsBuffer,
}

/// What is left when a connection has ended.
pub(crate) struct Ended<T> {
    /// The socket, to be closed.
    pub(crate) transport: T,
    /// Why the connection closed.
    pub(crate) reason: CloseReason,
    /// A bug for the log.
    pub(crate) bug: Option<Box<str>>,
    /// The last job: it drops what may block.
    pub(crate) last: Option<Job>,
    /// The result of an errand is still to come. If it is a job, the last job follows it.
    pub(crate) job_out: bool,
    /// The socket that connects for it, the new connection that waits for it, or the other half of its relay; the loop tells that
    /// one.
    pub(crate) other: Option<ConnectionId>,
    /// It was joined with `other`.
    pub(crate) relayed: bool,
    /// The connection for which this socket was to connect, and failed.
    pub(crate) asked: Option<Box<Asked>>,
    /// What the protocol was in the middle of.
    pub(crate) within: Within,
}
