//! Locks by which the files of a living process are told from those that a dead one has left.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

use crate::attempt::{Attempt, attempt};

/// Locks a file until it is closed (`flock(2)`), without waiting. `false`: it is open elsewhere, and locked there.
///
/// # Errors
/// [`lacks_locks`](crate::errno::lacks_locks): its file system has none.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match attempt(|| Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)) {
        Attempt::Done(()) => Ok(true),
        Attempt::WouldBlock => Ok(false),
        Attempt::Failed(error) => Err(error),
    }
}
