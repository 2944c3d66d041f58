//! The whole plug-in surface: what a protocol is given, and what it decides.
//!
//! A protocol never sees a socket, a token or a clock. Bytes go in; bytes and a [`Step`] come out. Looping, fairness,
//! back-pressure, deadlines and closing belong to the driver (`connection.rs`), so a protocol cannot forget them.
//!
//! - [`StreamProtocol`]: one value for each TCP connection.
//! - [`DatagramProtocol`]: one value for each UDP socket.
//! - [`Registry`](crate::Registry): registers a protocol in one call, by a function that makes one for each connection.
//! - [`Service`]: the same as a type, for a protocol over both transports or with options that its own code has to check.
//! - [`Step::job`], and [`Step::bulk`] with a [`Sink`]: what may block goes to a worker thread.
//!
//! `examples/plugin.rs` is a complete protocol of one's own, with its test.

mod context;
pub mod file;
pub mod greeting;
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
pub(crate) use self::job::{Continuation, ErasedSink};
pub use self::job::{Sink, Stored};
pub use self::service::{
    Acceptor, Admission, IntoAdmission, NoOptions, OptionError, Refusal, Service, Setup, SetupError, StreamService,
};
pub(crate) use self::step::Then;
pub use self::step::{Reply, Step, Within};
use crate::framing::TooLong;
pub use crate::job::Job;
pub use crate::outbox::Outbox;
pub use crate::peer::{Credentials, Peer};
pub use crate::token::ConnectionId;

/// One connection's side of a protocol: a state machine over bytes.
///
/// The driver calls, in this order: [`on_open`](Self::on_open) once; [`on_bytes`](Self::on_bytes),
/// [`on_event`](Self::on_event), and the methods that take what jobs return ([`Step::job`]), as things happen;
/// [`on_close`](Self::on_close) once, whatever ended the connection.
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
pub trait StreamProtocol: Any + Send {
    /// The connection has been accepted. A protocol in which the server speaks first appends to `cx.out` here.
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let _ = cx;
        Ok(Step::wait(Within::Nothing))
    }

    /// Handles at most one message from the front of `input`.
    ///
    /// `input` is everything that has been received and not consumed, never empty. After [`Step::wait`] the same bytes
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

    /// The protocol in this one, if it wraps another and passes on what that answers. The results of jobs go to the one
    /// that asked for them, so the wrapper does not see them. They find it by its type: a wrapper of its own type, which asks
    /// for jobs itself, takes those of the inner one for its own.
    fn inner(&mut self) -> Option<&mut dyn StreamProtocol> {
        None
    }

    /// The same behind a pointer, as the driver holds it.
    fn boxed(self) -> Box<dyn StreamProtocol>
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

/// What [`StreamService::connect`] gives is a protocol too, so that a test can hand it to [`crate::testing::converse`].
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

/// What happened, other than bytes.
///
/// Back-pressure holds events and the results of jobs back as it does bytes: while `max_pending_output` is pending, none is
/// delivered but [`Event::Closing`], after which nothing follows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer has sent its last byte (FIN), and everything before it has been delivered. Unless it starts a job, a
    /// protocol that waits after this is finished.
    Eof,
    /// Nothing has arrived for as long as [`Step::wait_quiet`] asked.
    Quiet,
    /// There is room again for what [`Step::more`] announced.
    Room,
    /// No worker takes the job, or what was received for a [`Step::bulk`]: no thread can be started, or too many jobs of the
    /// listener wait. The connection is about to close; what comes back is not asked for more than its output.
    NoWorker,
    /// We are about to close in order (idle, lifetime, shutdown): the last chance to append what was held back. The
    /// decision that comes back is not asked for more than its output.
    Closing,
}

/// An error that ends its connection: `reply` is sent, then the connection is flushed and closed in order.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

/// A message that is too long is refused as `long message`. The peer is told the limit, on a line.
impl From<TooLong> for ProtocolError {
    fn from(error: TooLong) -> Self {
        Self::new("long message", format!("error: {error}\n"))
    }
}

/// The reason. What the peer is told may be long, and quote what it sent.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for ProtocolError {}

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
    /// What comes before the protocol, a header or a handshake, took too long.
    OpeningTimeout,
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
            Self::OpeningTimeout => "opening timeout",
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
    /// Handles one datagram. What is appended to `cx.out` is sent to `cx.peer()` as one datagram; nothing appended, nothing
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

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Dropped {}

#[cfg(test)]
mod tests {
    pub(crate) mod chance;
}
