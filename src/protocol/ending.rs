//! Why a connection ends: by an error of its protocol, or for another reason.

use std::borrow::Cow;
use std::fmt;
use std::io;

use crate::framing::TooLong;

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
    /// The protocol returned [`Step::finish`](super::Step::finish).
    Finished,
    /// What the peer sent was refused, by a [`ProtocolError`] or for its length. The text is the name of the counter.
    Refused(&'static str),
    /// The protocol or its job panicked, or broke a rule of [`StreamProtocol`](super::StreamProtocol). The text says which.
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
    /// [`Handle::close`](crate::Handle::close) asked for it.
    Asked,
    /// The server was stopping.
    Shutdown,
    /// The other half of its relay was reset, failed, or was closed by a deadline.
    OtherSide,
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
            Self::Asked => "closed by handle",
            Self::Shutdown => "shutdown",
            Self::OtherSide => "other side",
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
