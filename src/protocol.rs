//! The plug-in interface: what a protocol receives, and what it decides.
//!
//! A protocol never sees a socket, a token or a clock. Bytes go in; bytes and a [`Step`] come out. The driver
//! (`connection.rs`) reads, writes, shares the loop's time fairly, applies back-pressure and deadlines, and closes: a
//! protocol cannot forget these.
//!
//! - [`StreamProtocol`]: one value for each connection.
//! - [`DatagramProtocol`]: one value for each datagram socket.
//! - [`Registry`](crate::Registry): registers a protocol in one call, with a function that makes one value for each connection.
//! - [`Service`]: the same as a type, for a protocol over streams and datagrams or with options that its own code must check.
//! - [`Step::job`], and [`Step::bulk`] with a [`Sink`]: work that may block runs on a worker thread.
//! - [`Context::post`] and [`Context::cast`]: to other connections. [`Step::connect`] and [`Step::relay`]: to other servers.
//!
//! A protocol runs on the loop's thread: while it computes or blocks, no other connection is served. If it panics, its own
//! connection is closed and counted as `bug`; the server goes on.
//!
//! `examples/plugin.rs` is a complete protocol with its test.

pub mod admin;
pub mod agent;
mod connect;
mod context;
mod counting;
mod datagram;
mod ending;
pub mod file;
pub mod greeting;
mod inquiry;
mod job;
mod messages;
mod other_side;
mod proxies;
mod service;
mod step;
pub mod sum;
pub mod time;
pub mod uppercase;
mod via;

use std::any::Any;

pub(crate) use self::connect::Connect;
pub use self::connect::{BadTarget, ConnectError, Target};
pub use self::context::Context;
pub(crate) use self::context::{Ends, Place, Site};
pub(crate) use self::counting::Counting;
pub use self::datagram::{DatagramProtocol, Dropped};
pub use self::ending::{CloseReason, ProtocolError};
pub(crate) use self::job::{Continuation, ErasedSink};
pub use self::job::{Sink, Stored};
pub(crate) use self::proxies::Proxies;
pub(crate) use self::service::Tick;
pub use self::service::{
    Acceptor, Admission, IntoAdmission, NoOptions, OptionError, Refusal, Service, Setup, SetupError, StreamService,
};
pub use self::step::{Reply, Step, Within};
pub(crate) use self::step::{Then, Timer};
pub use crate::job::Job;
pub use crate::messages::{Message, NotSent, Sender, WhenFull};
pub use crate::outbox::Outbox;
pub use crate::peer::{Credentials, Peer};
pub use crate::token::ConnectionId;

/// The protocol of one connection: a state machine over bytes.
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
    /// Another connection of the listener or another thread has sent a message: see [`Context::post`] and [`Sender::post`].
    /// Messages of one sender come in the order in which they were sent.
    Message(Message),
    /// That many messages to groups did not reach this connection, because its output had no room: see [`WhenFull::Skip`].
    Missed(u64),
    /// Less than `max_pending_output` is pending: there is room for the output that [`Step::more`] announced.
    Room,
    /// No worker takes the job, or the bytes of a [`Step::bulk`]: no thread can be started, or too many jobs of the listener
    /// wait. The connection is about to be closed.
    NoWorker,
    /// The connection that [`Step::relay`] named cannot be joined. The decision counts as after any other event.
    NoRelay,
    /// The driver is about to close the connection gracefully, because a deadline expired or the server is stopping: the
    /// last chance to append output.
    Closing,
}

#[cfg(test)]
mod tests {
    pub(crate) mod chance;
}
