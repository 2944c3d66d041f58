//! The plug-in interface: what a protocol receives, and what it decides.
//!
//! A protocol never sees a socket, a token or a clock. Bytes go in; bytes and a [`Step`] come out. The driver
//! (`connection.rs`) reads, writes, shares the loop's time fairly, applies back-pressure and deadlines, and closes: a
//! protocol cannot forget these.
//!
//! - [`StreamProtocol`]: one value for each TCP connection.
//! - [`DatagramProtocol`]: one value for each UDP socket.
//! - [`Registry`](crate::Registry): registers a protocol in one call, with a function that makes one value for each connection.
//! - [`Service`]: the same as a type, for a protocol over both transports or with options that its own code must check.
//! - [`Step::job`], and [`Step::bulk`] with a [`Sink`]: work that may block runs on a worker thread.
//!
//! A protocol runs on the loop's thread: while it computes or blocks, no other connection is served. If it panics, its own
//! connection is closed and counted as `bug`; the server goes on.
//!
//! `examples/plugin.rs` is a complete protocol with its test.

pub mod admin;
pub mod agent;
mod context;
mod datagram;
pub mod file;
pub mod greeting;
mod inquiry;
mod job;
mod service;
mod step;
pub mod sum;
pub mod time;
pub mod uppercase;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;

pub use self::context::Context;
pub(crate) use self::context::{Ends, Place, Site};
pub use self::datagram::{DatagramProtocol, Dropped};
pub(crate) use self::job::{Continuation, ErasedSink};
pub use self::job::{Sink, Stored};
pub use self::service::{
    Acceptor, Admission, IntoAdmission, NoOptions, OptionError, Refusal, Service, Setup, SetupError, StreamService,
};
pub use self::step::{Reply, Step, Within};
pub(crate) use self::step::{Then, Timer};
use crate::framing::TooLong;
pub use crate::job::Job;
pub use crate::outbox::Outbox;
pub use crate::peer::{Credentials, Peer};
pub use crate::token::ConnectionId;

/// The protocol of one TCP connection: a state machine over bytes.
///
/// The driver calls, in this order: [`on_open`](Self::on_open) once; as things happen, [`on_bytes`](Self::on_bytes),
/// [`on_event`](Self::on_event) and the methods that take the results of jobs ([`Step::job`], [`Step::bulk`]);
/// [`on_close`](Self::on_close) once, whatever ended the connection.
///
/// A protocol may wait with up to 1 MiB of input unconsumed; with more, its connection is closed as `too long`. A protocol
/// that breaks a rule, such as consuming more than `input` has, is closed as a [bug](CloseReason::Bug).
///
/// ```
/// use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
/// use reactor::testing::{Script, converse};
///
/// /// Answers each line with its length in bytes.
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
pub trait StreamProtocol: Any + Send {
    /// Called before any input is delivered. A protocol in which the server speaks first appends to `cx.out` here.
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let _ = cx;
        Ok(Step::wait(Within::Nothing))
    }

    /// Handles at most one message at the front of `input`.
    ///
    /// `input` is everything that has been received and not consumed; it is never empty. After [`Step::wait`] the driver
    /// passes the same bytes again, followed by new ones. A protocol that scans for the end of a message must remember how
    /// far it got, as [`framing`](crate::framing) does: otherwise bytes that arrive one by one make its work quadratic.
    ///
    /// # Errors
    /// [`ProtocolError`]: its reply is sent, then the connection is closed gracefully.
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply;

    /// Handles something other than bytes. `rest` is the input that has not been consumed; it may be empty.
    ///
    /// The default finishes at [`Event::Eof`], and waits for more bytes after every other event.
    ///
    /// # Errors
    /// [`ProtocolError`], as for [`on_bytes`](Self::on_bytes).
    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        let _ = (rest, cx);
        match event {
            Event::Eof => Ok(Step::finish()),
            _ => Ok(Step::wait(Within::Nothing)),
        }
    }

    /// Called when the connection has ended. Returns a last job for what remains to be done and may block, such as closing
    /// a file; its result is dropped.
    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        let _ = reason;
        None
    }

    /// Returns the wrapped protocol, if this one wraps another and passes on its replies.
    ///
    /// The result of a job goes to the protocol that asked for the job; the driver finds that protocol by its type, from the
    /// outermost inwards. So a wrapper does not see the results of its inner protocol's jobs, unless both are of one type:
    /// then the wrapper receives all results.
    fn inner(&mut self) -> Option<&mut dyn StreamProtocol> {
        None
    }

    /// Boxes the protocol, as the driver holds it.
    fn boxed(self) -> Box<dyn StreamProtocol>
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

/// The box that [`StreamService::connect`] returns is a protocol too, so a test can pass it to [`crate::testing::converse`].
impl StreamProtocol for Box<dyn StreamProtocol> {
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

    fn inner(&mut self) -> Option<&mut dyn StreamProtocol> {
        Some(&mut **self)
    }

    fn boxed(self) -> Self {
        self
    }
}

/// What happened to a connection, other than the arrival of bytes.
///
/// Back-pressure delays events and results of jobs as it delays bytes: while `max_pending_output` bytes are pending, only
/// [`Event::NoWorker`] and [`Event::Closing`] are delivered. After these two only `on_close` is called: what the protocol
/// appends is still sent, and the step that it returns is ignored.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer has sent its last byte (FIN), and everything before it has been delivered. A protocol that neither consumes
    /// input nor starts a job now is finished: its output is sent, and the connection closed.
    Eof,
    /// Nothing has arrived for as long as [`Step::wait_quiet`] asked.
    Quiet,
    /// The time that was set with [`Step::until`] has been reached. Input that [`StreamProtocol::on_bytes`] has not been passed
    /// yet is delivered next, even if the protocol waits for more bytes.
    Timer,
    /// Less than `max_pending_output` is pending: there is room for the output that [`Step::more`] announced.
    Room,
    /// No worker takes the job, or the bytes of a [`Step::bulk`]: no thread can be started, or too many jobs of the listener
    /// wait. The connection is about to be closed.
    NoWorker,
    /// The driver is about to close the connection gracefully, because a deadline expired or the server is stopping: the
    /// last chance to append output.
    Closing,
}

/// An error that ends its connection: `reply` is sent, then the connection is closed gracefully.
///
/// ```
/// let error = reactor::protocol::ProtocolError::new("too long", "error: the line is longer than 80 bytes\n");
/// assert_eq!(error.to_string(), "too long");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProtocolError {
    /// The name of the counter: a few words, the same whatever the peer sent.
    pub reason: &'static str,
    /// The bytes that the peer is sent, without any addition.
    pub reply: Cow<'static, str>,
}

impl ProtocolError {
    /// Creates an error that is counted as `reason` and sends the peer `reply`.
    pub fn new(reason: &'static str, reply: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, reply: reply.into() }
    }
}

/// Refuses a message that is too long as `long message`, with a line that tells the peer the limit.
impl From<TooLong> for ProtocolError {
    fn from(error: TooLong) -> Self {
        Self::new("long message", format!("error: {error}\n"))
    }
}

/// Shows the reason only: the reply may be long, and may quote what the peer sent.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for ProtocolError {}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent its FIN, and everything before it was answered.
    Eof,
    /// The protocol returned [`Step::finish`].
    Finished,
    /// What the peer sent was refused, by a [`ProtocolError`] or for its length. The text is the name of the counter.
    Refused(&'static str),
    /// The protocol or its job panicked, or broke a rule of [`StreamProtocol`]. The text says which.
    Bug(&'static str),
    /// No worker took a job: no thread could be started, or too many jobs of the listener waited.
    NoWorker,
    /// Nothing was received, no job finished and no output drained for `idle_timeout`.
    Idle,
    /// A request took longer than `request_timeout`.
    RequestTimeout,
    /// A header or a handshake before the protocol took too long.
    OpeningTimeout,
    /// The connection was older than `lifetime`.
    Lifetime,
    /// The peer acknowledged none of our output for `write_timeout`, or too little for `min_send_rate`.
    WriteTimeout,
    /// All connections together had more output pending than `max_pending_output_total`, and this one's peer had read the
    /// smallest part of its output.
    OutputTotal,
    /// The server was stopping.
    Shutdown,
    /// The socket failed, most often because the peer reset the connection.
    Transport(io::ErrorKind),
}

impl CloseReason {
    /// Returns the name of the counter.
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
            Self::OpeningTimeout => "opening timeout",
            Self::Lifetime => "lifetime",
            Self::WriteTimeout => "write timeout",
            Self::OutputTotal => "max_pending_output_total",
            Self::Shutdown => "shutdown",
            Self::Transport(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => "reset",
            Self::Transport(_) => "socket error",
        }
    }

    /// Returns the name, or for a bug the text that says which.
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

#[cfg(test)]
mod tests {
    pub(crate) mod chance;
}
