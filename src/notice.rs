//! The notices of the kernel to the loop.

use std::time::Duration;

use crate::job::Outcome;
use crate::panics::Panicked;
use crate::token::{ConnectionId, Token};

/// A thing that happened while the loop waited.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A socket may be ready. This is a hint: only a system call shows it.
    Ready(Token, Readiness),
    /// A job has finished.
    Done(Token, Result<Outcome, Panicked>),
    /// Jobs have waited for a worker for long; the log tells the administrator.
    Waiting(Waiting),
    /// A signal or a [`Handle`](crate::Handle) asks for something.
    Command(Command),
}

/// The operations that a socket may be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Reading, or accepting.
    pub readable: bool,
    /// Writing.
    pub writable: bool,
    /// The event includes a FIN, an error or urgent data, so a short read does not prove that nothing is left.
    pub in_doubt: bool,
}

/// Jobs of a listener that have waited for a worker for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The index of the listener in the configuration.
    pub listener: u16,
    /// The number of jobs that no worker has taken yet.
    pub jobs: usize,
    /// The number of workers of the listener; all are busy.
    pub workers: usize,
    /// The time that the oldest of the jobs has waited.
    pub since: Duration,
}

/// A command to the loop, by a signal or through a [`Handle`](crate::Handle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Stop gracefully: see [`Handle::stop`](crate::Handle::stop).
    Stop,
    /// Stop now: see [`Handle::abort`](crate::Handle::abort).
    Abort,
    /// A signal asks to stop: gracefully the first time, now the second time.
    Terminate,
    /// Log the counters.
    Report,
    /// Close this connection: see [`Handle::close`](crate::Handle::close).
    Close(ConnectionId),
    /// Read the configuration again: see [`Handle::reload`](crate::Handle::reload).
    Reload,
}
