//! File locks, which distinguish the files of a running process from the leftovers of a dead one.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

use crate::attempt::{Attempt, attempt};

/// Locks a file until it is closed (`flock(2)`), without waiting. Returns `false` if it is locked through another open.
///
/// # Errors
/// [`is_missing_locks`](crate::errno::is_missing_locks): the file system does not support locks.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match attempt(|| Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)) {
        Attempt::Done(()) => Ok(true),
        Attempt::WouldBlock => Ok(false),
        Attempt::Failed(error) => Err(error),
    }
}
