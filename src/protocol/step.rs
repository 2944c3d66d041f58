//! What a protocol decides: how much of the input is consumed, and what happens next.

use std::fmt;
use std::time::{Duration, Instant};

use super::job::{Continuation, ErasedSink, Storing};
use super::{Connect, ConnectionId, Context, ProtocolError, Sink, Stored, StreamProtocol};
use crate::job::Job;

/// What a protocol returns to the driver: a decision, or the error that ends the connection.
pub type Reply = Result<Step, ProtocolError>;

/// A protocol's decision: how much of the input is consumed, and what happens next.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// Bytes at the front of the input that the driver will not pass again.
    pub(crate) consumed: usize,
    pub(crate) then: Then,
    pub(crate) timer: Timer,
}

impl Step {
    pub(super) const fn of(then: Then) -> Self {
        Self { consumed: 0, then, timer: Timer::Unchanged }
    }

    /// Consumes a message of `consumed` bytes; the driver calls again for the next one, if input is left. On input, 0 is a
    /// bug: the same call would repeat for ever.
    pub const fn again(consumed: usize) -> Self {
        Self { consumed, then: Then::Again, timer: Timer::Unchanged }
    }

    /// Waits for more bytes. `within` chooses the deadline.
    pub const fn wait(within: Within) -> Self {
        Self::of(Then::Wait { within, quiet: None })
    }

    /// Waits for more bytes. If none arrives for `quiet`, the driver delivers [`Event::Quiet`](super::Event::Quiet); zero
    /// means never.
    pub const fn wait_quiet(within: Within, quiet: Duration) -> Self {
        Self::of(Then::Wait { within, quiet: Some(quiet) })
    }

    /// Runs `work`, which may block (a file, a name lookup, heavy computation), on a worker thread. The connection waits
    /// until `work` returns. Then the driver calls `then`, a method of the protocol, with the result and the input that has
    /// not been consumed.
    ///
    /// A connection has at most one job at a time, so results come in the order of the jobs. A panic in `work` ends the
    /// connection as a bug. If no worker takes the job, the driver delivers [`Event::NoWorker`](super::Event::NoWorker).
    ///
    /// ```
    /// use reactor::protocol::{Context, Reply, Step, StreamProtocol};
    /// use reactor::testing::{Script, converse};
    ///
    /// /// Answers each byte with the sum of all numbers up to it.
    /// struct Sums;
    ///
    /// impl StreamProtocol for Sums {
    ///     fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
    ///         let last = u64::from(input[0]);
    ///         Ok(Step::job(move || (1..=last).sum(), Self::tell).consuming(1))
    ///     }
    /// }
    ///
    /// impl Sums {
    ///     fn tell(&mut self, sum: u64, _rest: &[u8], cx: &mut Context<'_>) -> Reply {
    ///         cx.out.extend_from_slice(sum.to_string().as_bytes());
    ///         Ok(Step::again(0))
    ///     }
    /// }
    ///
    /// assert_eq!(converse(Sums, &Script::new().send([100]).fin()).sent, b"5050");
    /// ```
    ///
    /// The compiler checks the type of the result:
    ///
    /// ```compile_fail,E0271
    /// # use reactor::protocol::{Context, Reply, Step, StreamProtocol};
    /// # struct Sums;
    /// # impl StreamProtocol for Sums {
    /// #     fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
    /// Ok(Step::job(|| "5050", Self::tell))
    /// #     }
    /// # }
    /// # impl Sums {
    /// #     fn tell(&mut self, _: u64, _: &[u8], _: &mut Context<'_>) -> Reply {
    /// #         Ok(Step::again(0))
    /// #     }
    /// # }
    /// ```
    pub fn job<P: StreamProtocol, T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
        then: fn(&mut P, T, &[u8], &mut Context<'_>) -> Reply,
    ) -> Self {
        Self::of(Then::Job(Job::new(move || Continuation::new(work(), then))))
    }

    /// Runs `work`, which has no result, on a worker thread. Then the driver delivers the next message, if input is left.
    pub fn run(work: impl FnOnce() + Send + 'static) -> Self {
        Self::of(Then::Job(Job::new(move || {
            work();
            Continuation::go_on()
        })))
    }

    /// Writes the input that is not consumed, and the bytes that follow, to `sink` on a worker thread: up to `at_most` bytes,
    /// or up to the peer's FIN. The driver goes on reading meanwhile. At the end it calls `then`, a method of the protocol,
    /// with the sink, the outcome, and the input after those bytes.
    pub fn bulk<P: StreamProtocol, S: Sink>(
        sink: S,
        at_most: u64,
        then: fn(&mut P, Stored<S>, &[u8], &mut Context<'_>) -> Reply,
    ) -> Self {
        Self::of(Then::Bulk { to: Box::new(Storing { sink, then }), at_most })
    }

    /// Announces more output: the driver delivers [`Event::Room`](super::Event::Room) when less than `max_pending_output`
    /// is pending, and no input before. For output that is made without a job, because a job's result waits for room anyway.
    /// A protocol that appends nothing at `Room` and announces more output again is closed as a bug.
    pub const fn more() -> Self {
        Self::of(Then::More)
    }

    /// Sends what is pending, then closes the connection gracefully; further input is discarded.
    pub const fn finish() -> Self {
        Self::of(Then::Finish)
    }

    /// Returns the same step, and sets the timer of the connection: at `at` the driver delivers
    /// [`Event::Timer`](super::Event::Timer), whatever the peer sends. `None` stops it.
    ///
    /// A connection has one timer, so a later `until` moves it. Steps without `until` leave it as it is. It fires once, in the
    /// first turn of the loop at or after `at` in which the connection waits for input: not while a job runs, contents are
    /// being stored, or output is held back. A time that has passed means the next turn. A timer alone does not keep the connection
    /// open: `idle_timeout` counts from the last byte received or output sent. `examples/ticker.rs` uses it.
    pub fn until(mut self, at: impl Into<Option<Instant>>) -> Self {
        self.timer = at.into().map_or(Timer::Stopped, Timer::At);
        self
    }

    /// Returns the same step, with `count` bytes consumed.
    pub fn consuming(mut self, count: usize) -> Self {
        self.consumed = count;
        self
    }

    /// Closes the connection: the result of a job is for another protocol.
    pub(super) const fn wrong_protocol() -> Self {
        Self::of(Then::Bug("the result of its job is for another protocol"))
    }
}

/// What a step does to the timer of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Unchanged,
    Stopped,
    At(Instant),
}

/// What the driver does after a call.
pub(crate) enum Then {
    /// A message has been handled: call again if input is left, otherwise wait for the next message.
    Again,
    /// Wait for more bytes.
    Wait {
        /// What the protocol is in the middle of: chooses the deadline.
        within: Within,
        /// If nothing arrives for this long, the driver delivers `Event::Quiet`.
        quiet: Option<Duration>,
    },
    /// Run this on a worker; the connection waits until it returns a [`Continuation`], which calls the protocol.
    Job(Job),
    /// Write the next bytes to a sink: up to `at_most` of them, or up to the peer's FIN. Reading goes on while a worker
    /// writes, unless it has the bytes in a pipe.
    Bulk {
        /// The sink, and the method that is called at the end.
        to: Box<dyn ErasedSink>,
        /// The number of bytes after which the driver stops.
        at_most: u64,
    },
    /// Connect to another server; the connection waits for the result.
    Connect(Box<Connect>),
    /// Join with another connection: neither protocol is called again.
    Relay(ConnectionId),
    /// Call again when less than `max_pending_output` is pending. Until then no input is delivered.
    More,
    /// Send what is pending and close; further input is discarded.
    Finish,
    /// Close: the protocol broke a rule. Only the driver makes this one.
    Bug(&'static str),
}

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again => f.write_str("Again"),
            Self::Wait { within, quiet } => {
                f.debug_struct("Wait").field("within", within).field("quiet", quiet).finish()
            }
            Self::Job(job) => f.debug_tuple("Job").field(job).finish(),
            Self::Bulk { at_most, .. } => f.debug_struct("Bulk").field("at_most", at_most).finish_non_exhaustive(),
            Self::Connect(connect) => f.debug_tuple("Connect").field(connect).finish(),
            Self::Relay(other) => f.debug_tuple("Relay").field(other).finish(),
            Self::More => f.write_str("More"),
            Self::Finish => f.write_str("Finish"),
            Self::Bug(what) => f.debug_tuple("Bug").field(what).finish(),
        }
    }
}

/// What a waiting protocol is in the middle of. It chooses the deadline, and whether a shutdown waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Within {
    /// Between requests: only `idle_timeout` runs, and a shutdown closes the connection.
    #[default]
    Nothing,
    /// In the middle of a request: `request_timeout` runs from its first byte, and a shutdown waits for its end.
    Request,
    /// In the middle of contents, such as a file: only `idle_timeout` runs, between bytes, and a shutdown waits for the end.
    Body,
}
