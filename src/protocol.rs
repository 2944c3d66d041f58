//! The whole plug-in surface: what a protocol is given, and what it decides.
//!
//! A protocol never sees a socket, a token or a clock. Bytes go in; bytes and a [`Step`] come out. Looping, fairness,
//! back-pressure, deadlines and closing belong to the driver (`connection.rs`), so a protocol cannot forget them.
//!
//! - [`StreamProtocol`]: one value for each TCP connection.
//! - [`DatagramProtocol`]: one value for each UDP socket.
//! - [`Service`]: one value for each listener; reads the options and makes the protocols.
//! - [`Job`] and [`Sink`]: what may block goes to a worker thread.
//!
//! `examples/plugin.rs` is a complete protocol of one's own, with its test.

mod context;
pub mod file;
pub mod greeting;
mod service;
pub mod sum;
pub mod time;
pub mod uppercase;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

pub use self::context::Context;
pub(crate) use self::context::Site;
pub use self::service::{Admission, NoOptions, OptionError, Refusal, Service, Setup, SetupError, StreamService};
pub use crate::job::{Job, Outcome};
pub use crate::outbox::Outbox;
pub use crate::peer::{Credentials, Peer};
pub use crate::token::ConnectionId;

/// One connection's side of a protocol: a state machine over bytes.
///
/// The driver calls, in this order: [`on_open`](Self::on_open) once; [`on_bytes`](Self::on_bytes) and
/// [`on_event`](Self::on_event) as things happen; [`on_close`](Self::on_close) once, whatever ended the connection.
///
/// ```
/// use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
/// use reactor::testing::{Script, converse};
///
/// /// Answers each line by its length.
/// struct Lengths;
///
/// impl StreamProtocol for Lengths {
///     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
///         let Some(length) = input.iter().position(|byte| *byte == b'\n') else {
///             return Ok(Step::wait(Within::Request));
///         };
///         cx.out.extend_from_slice(format!("{length}\n").as_bytes());
///         Ok(Step::again(length + 1))
///     }
/// }
///
/// let heard = converse(Lengths, &Script::new().send("one\nth").send("ree\n").fin());
/// assert_eq!(heard.sent, b"3\n5\n");
/// ```
pub trait StreamProtocol: Send {
    /// The connection has been accepted. A protocol in which the server speaks first appends to `cx.out` here.
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let _ = cx;
        Ok(Step::wait(Within::Nothing))
    }

    /// Handles at most one message from the front of `input`.
    ///
    /// `input` is everything that has been received and not consumed, never empty. After [`Then::Wait`] the same bytes
    /// come again, with more behind them; a protocol that scans remembers how far it got, so that its work stays linear
    /// however the bytes drip in.
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply;

    /// Something other than bytes happened; `rest` is what has not been consumed.
    ///
    /// The default finishes at [`Event::Eof`], and waits on after everything else.
    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        let _ = (rest, cx);
        match event {
            Event::Eof => Ok(Step::finish()),
            _ => Ok(Step::wait(Within::Nothing)),
        }
    }

    /// The connection is over. What has to be discarded and may block is handed back as a last job.
    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        let _ = reason;
        None
    }
}

/// What [`StreamService::connect`] gives is a protocol too, so that a test can hand it to [`crate::testing::converse`].
impl<P: StreamProtocol + ?Sized> StreamProtocol for Box<P> {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        (**self).on_open(cx)
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        (**self).on_bytes(input, cx)
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        (**self).on_event(event, rest, cx)
    }

    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        (**self).on_close(reason)
    }
}

/// What a protocol answers to the driver: a decision, or the error that ends the connection.
pub type Reply = Result<Step, ProtocolError>;

/// How many bytes of the input are done with, and what happens next.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// How many bytes at the front of the input are done with, and will not be shown again.
    pub consumed: usize,
    /// What the driver does next.
    pub then: Then,
}

impl Step {
    /// One message of `consumed` bytes is done with; call again for the next one, if anything is left.
    pub const fn again(consumed: usize) -> Self {
        Self { consumed, then: Then::Again }
    }

    /// Nothing can be done before more arrives.
    pub const fn wait(within: Within) -> Self {
        Self { consumed: 0, then: Then::Wait { within, quiet: None } }
    }

    /// Nothing can be done before more arrives, or before nothing has arrived for `quiet`: then comes
    /// [`Event::Quiet`].
    pub const fn wait_quiet(within: Within, quiet: Duration) -> Self {
        Self { consumed: 0, then: Then::Wait { within, quiet: Some(quiet) } }
    }

    /// Let a worker do `job`; its result comes as [`Event::Done`].
    pub const fn job(job: Job) -> Self {
        Self { consumed: 0, then: Then::Job(job) }
    }

    /// Write the bytes that follow to `to`, at most `at_most` of them; [`Event::Stored`] says how that ended.
    pub const fn bulk(to: Box<dyn Sink>, at_most: u64) -> Self {
        Self { consumed: 0, then: Then::Bulk { to, at_most } }
    }

    /// There is more to say than fits: call again with [`Event::Room`] when there is room. For output that is made without
    /// a job; a job's result waits for room anyway.
    pub const fn more() -> Self {
        Self { consumed: 0, then: Then::More }
    }

    /// Send what is pending, then close.
    pub const fn finish() -> Self {
        Self { consumed: 0, then: Then::Finish }
    }

    /// The same step, with `count` bytes consumed.
    pub fn consuming(mut self, count: usize) -> Self {
        self.consumed = count;
        self
    }
}

/// What the driver does after a call.
pub enum Then {
    /// A message has been handled: call again if input is left, otherwise wait for the next message.
    Again,
    /// Wait for more bytes.
    Wait {
        /// What the protocol is in the middle of: picks the deadline.
        within: Within,
        /// If nothing arrives for this long, the protocol is told so by [`Event::Quiet`].
        quiet: Option<Duration>,
    },
    /// Run this on a worker; the connection rests until [`Event::Done`] brings the result.
    Job(Job),
    /// The next bytes go to a file: up to `at_most` of them, or up to the peer's FIN. Reading goes on while a worker
    /// writes. Ends with [`Event::Stored`].
    Bulk {
        /// Where they go.
        to: Box<dyn Sink>,
        /// The number of bytes after which it is over.
        at_most: u64,
    },
    /// Call [`StreamProtocol::on_event`] with [`Event::Room`] when less than `max_pending_output` is pending. Until then no
    /// input is delivered. A protocol that is called so, says nothing and asks again is closed as a bug.
    More,
    /// Send what is pending and close; further input is discarded.
    Finish,
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
            Self::More => f.write_str("More"),
            Self::Finish => f.write_str("Finish"),
        }
    }
}

/// What a waiting protocol is in the middle of. It picks the deadline, and tells a shutdown what to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Within {
    /// Between requests: only `idle_timeout` runs, and a shutdown closes the connection.
    #[default]
    Nothing,
    /// In the middle of a request: `request_timeout` runs from its first byte, and a shutdown waits for its end.
    Request,
    /// In the middle of contents: `idle_timeout` runs between bytes, and a shutdown waits for their end.
    Body,
}

/// What happened, other than bytes.
///
/// Back-pressure holds events back as it does bytes: while `max_pending_output` is pending, none is delivered but
/// [`Event::Closing`], after which nothing follows.
#[derive(Debug)]
pub enum Event {
    /// The peer has sent its last byte (FIN), and everything before it has been delivered. Unless it starts a job, a
    /// protocol that waits after this is finished.
    Eof,
    /// Nothing has arrived for as long as [`Then::Wait`] asked.
    Quiet,
    /// The job is done; what it returned.
    Done(Outcome),
    /// The contents are over; how that ended.
    Stored(Stored),
    /// There is room again for what [`Step::more`] announced.
    Room,
    /// No worker takes the job, or what was received for a [`Then::Bulk`]: no thread can be started, or too many jobs of the
    /// listener wait. The connection is about to close; what comes back is not asked for more than its output.
    NoWorker,
    /// We are about to close in order (idle, lifetime, shutdown): the last chance to append what was held back. The
    /// decision that comes back is not asked for more than its output.
    Closing,
}

/// How a [`Then::Bulk`] ended.
pub struct Stored {
    /// The sink, given back.
    pub sink: Box<dyn Sink>,
    /// How many bytes it was given: less than `at_most` if the peer's FIN came first.
    pub bytes: u64,
    /// Whether it took them all. After an error the bytes that follow are discarded.
    pub result: io::Result<()>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("bytes", &self.bytes).field("result", &self.result).finish_non_exhaustive()
    }
}

/// Where bulk data goes. It is written to by one worker at a time, in order.
pub trait Sink: Any + Send {
    /// Takes all of `bytes`, or says why not. May block.
    ///
    /// # Errors
    /// Whatever the file or device says; the contents are over then.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// An error that ends its connection: `reply` is sent, then the connection is flushed and closed in order.
#[derive(Debug, Clone)]
pub struct ProtocolError {
    /// The name of the counter: a few words that do not depend on what the peer sent.
    pub reason: &'static str,
    /// What the peer is told, byte for byte.
    pub reply: Cow<'static, str>,
}

impl ProtocolError {
    /// An error counted as `reason`, of which the peer is told `reply`.
    pub fn new(reason: &'static str, reply: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, reply: reply.into() }
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer had finished, and everything was answered.
    Eof,
    /// The protocol decided so.
    Finished,
    /// The protocol refused what the peer sent; the name of the counter.
    Refused(&'static str),
    /// A protocol or its job panicked, or broke the rules of [`StreamProtocol`].
    Bug(&'static str),
    /// No worker took a job: no thread could be started, or too many jobs of the listener wait.
    NoWorker,
    /// Nothing was received for `idle_timeout`.
    Idle,
    /// A request took longer than `request_timeout`.
    RequestTimeout,
    /// The connection is older than `lifetime`.
    Lifetime,
    /// The peer acknowledged none of our output for `write_timeout`, or too little for `min_send_rate`.
    WriteTimeout,
    /// All connections together had more output pending than `max_pending_output_total`, and this one's peer took least of
    /// its share.
    OutputTotal,
    /// The server shuts down.
    Shutdown,
    /// The socket failed, most often because the peer reset the connection.
    Transport(io::ErrorKind),
}

impl CloseReason {
    /// The name of the counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Finished => "finished",
            Self::Refused(reason) => reason,
            Self::Bug(_) => "bug",
            Self::NoWorker => "no worker",
            Self::Idle => "idle",
            Self::RequestTimeout => "request timeout",
            Self::Lifetime => "lifetime",
            Self::WriteTimeout => "write timeout",
            Self::OutputTotal => "max_pending_output_total",
            Self::Shutdown => "shutdown",
            Self::Transport(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => "reset",
            Self::Transport(_) => "socket error",
        }
    }
}

impl CloseReason {
    /// The same in a few words that say of a bug what it is.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Bug(what) => what,
            _ => self.name(),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bug(what) => write!(f, "bug: {what}"),
            Self::Transport(kind) => write!(f, "{kind}"),
            _ => f.write_str(self.name()),
        }
    }
}

/// A protocol over UDP: one request, at most one reply.
///
/// ```
/// use std::net::SocketAddr;
/// use reactor::protocol::{Context, DatagramProtocol, Dropped};
/// use reactor::testing::ask;
///
/// /// Answers a datagram by its first byte.
/// struct First;
///
/// impl DatagramProtocol for First {
///     fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
///         let first = payload.first().ok_or(Dropped("empty"))?;
///         cx.out.push(*first);
///         Ok(())
///     }
/// }
///
/// let peer: SocketAddr = "192.0.2.1:4000".parse()?;
/// assert_eq!(ask(&mut First, b"abc", peer), Ok(b"a".to_vec()));
/// assert_eq!(ask(&mut First, b"", peer), Err(Dropped("empty")));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub trait DatagramProtocol: Send {
    /// Handles one datagram. What is appended to `cx.out` is sent to `cx.peer` as one datagram; nothing appended, nothing
    /// sent.
    ///
    /// # Errors
    /// [`Dropped`], for what deserves no answer: a server that answers garbage can be made to talk to another such
    /// server for ever (CVE-2024-2169).
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped>;

    /// The longest payload that can be a request; longer ones are dropped as `too long` before they get here. It is asked
    /// for once, when the socket is bound.
    fn payload_bytes_max(&self) -> usize {
        crate::limits::DATAGRAM_BYTES_MAX
    }
}

/// A datagram that gets no answer; the name of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped(pub &'static str);

#[cfg(test)]
mod tests {
    pub(crate) mod chance;
}
