//! What the kernel tells the loop.

use std::time::Duration;

use crate::job::Outcome;
use crate::panics::Panicked;
use crate::token::Token;

/// What happened while the loop waited.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A socket may be ready. A hint: only a system call knows.
    Ready(Token, Readiness),
    /// A job is done.
    Done(Token, Result<Outcome, Panicked>),
    /// Jobs have waited for a worker for long, which the administrator should know.
    Waiting(Waiting),
    /// A signal or a [`Handle`](crate::Handle) asks for something.
    Command(Command),
}

/// What a socket may be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Reading, or accepting.
    pub readable: bool,
    /// Writing.
    pub writable: bool,
    /// A FIN, an error or urgent data came along: a short read proves nothing now.
    pub in_doubt: bool,
}

/// Jobs of a listener that wait for a worker, and have waited for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The index of the listener in the configuration.
    pub listener: u16,
    /// How many of its jobs no worker has taken yet.
    pub jobs: usize,
    /// How many workers it has; all of them are busy.
    pub workers: usize,
    /// How long the first of the jobs has waited.
    pub since: Duration,
}

/// What the loop can be asked to do, by a signal or through a [`Handle`](crate::Handle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Stop in order: see [`Handle::stop`](crate::Handle::stop).
    Stop,
    /// Stop now: see [`Handle::abort`](crate::Handle::abort).
    Abort,
    /// A signal that asks to stop: in order the first time, now the second time.
    Terminate,
    /// Log the counters.
    Report,
}
