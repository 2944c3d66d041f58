//! Messages: what a connection sends to other connections of its listener, and what other threads send to them.
//!
//! A message passes three places, each bounded: the `Exchange` of the listener until the loop delivers it, the connection
//! that it is for until there is room, and then its protocol or its output. Nothing runs at once: a connection that gets a message
//! is visited in its place of the queue, like one that gets bytes.
//!
//! ```text
//! Context::post, cast      protocol/context.rs      in a visit: appends to the exchange of the listener
//! Sender::post, cast       messages/sender.rs       the same from any thread, and wakes the loop
//! Exchange                 messages/exchange.rs     what is under way, who is in which group, who may still be sent how much
//! deliver                  reactor/deliver.rs       once a turn, by budget: hands messages to connections and queues their slots
//! take_post, take_cast     connection/letters.rs    a cast goes to the output, a post waits for the protocol
//! ```

mod accounts;
mod exchange;
mod groups;
mod sender;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub(crate) use self::exchange::{Alarm, Attended, Handed, Parcel};
pub use self::sender::Sender;
use crate::panics::Foreign;
use crate::token::ConnectionId;

/// A message for the protocol of one connection; [`Event::Message`](crate::protocol::Event::Message) delivers it.
#[derive(Debug)]
pub struct Message {
    from: Option<ConnectionId>,
    pub(crate) payload: Payload,
}

/// What a message consists of.
pub(crate) enum Payload {
    /// Bytes; a cast shares them among its receivers.
    Bytes(Arc<[u8]>),
    /// A value of a type that sender and receiver know.
    Value(Value),
}

/// A value of a plug-in.
pub(crate) struct Value(Foreign<Box<dyn Any + Send>>);

impl Value {
    pub(crate) fn new(value: impl Send + 'static) -> Self {
        Self(Foreign::new(Box::new(value)))
    }

    /// Returns the value, if it is a `T`.
    fn take<T: 'static>(&mut self) -> Option<T> {
        let value = self.0.take()?;
        value.downcast().map(|value| *value).map_err(|value| self.0 = Foreign::new(value)).ok()
    }
}

impl Message {
    pub(crate) const fn new(from: Option<ConnectionId>, payload: Payload) -> Self {
        Self { from, payload }
    }

    /// Returns the connection that sent the message; `None` if another thread or a tick did.
    #[must_use]
    pub const fn sender(&self) -> Option<ConnectionId> {
        self.from
    }

    /// Returns the bytes of the message; none if it is a value.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.payload.bytes()
    }

    /// Returns the value of the message.
    ///
    /// # Errors
    /// The message is not a value, or one of another type: it is returned unchanged.
    pub fn value<T: 'static>(mut self) -> Result<T, Self> {
        let value = match &mut self.payload {
            Payload::Value(value) => value.take(),
            Payload::Bytes(_) => None,
        };
        value.ok_or(self)
    }
}

impl Payload {
    /// Returns the bytes; none if it is a value.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Value(_) => &[],
        }
    }

    /// Returns the bytes by which the message is counted. A value is counted as [`COUNTED_BYTES_MIN`], whatever it holds.
    pub(crate) fn counted(&self) -> usize {
        match self {
            Self::Bytes(bytes) => counted(bytes),
            Self::Value(_) => COUNTED_BYTES_MIN,
        }
    }
}

/// Bytes by which a message is counted at least, because a short one has a place in the queues too.
const COUNTED_BYTES_MIN: usize = 64;

/// Returns the bytes by which a message of `bytes` is counted.
pub(crate) fn counted(bytes: &[u8]) -> usize {
    bytes.len().max(COUNTED_BYTES_MIN)
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Value(_) => f.write_str("a value"),
        }
    }
}

/// What happens to a member of a group that has no room for a message to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// The member does not get the message. [`Event::Missed`](crate::protocol::Event::Missed) reports the number of missed
    /// messages once there is room.
    #[default]
    Skip,
    /// The connection of the member is reset, and counted as `slow consumer`.
    Close,
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// The receiver is closing, has ended, relays, or is a connection of another listener; or the listener has ended.
    Gone,
    /// The message is longer than `max_pending_output`, or than 16 MiB: no receiver will ever have room for it.
    TooLong,
    /// A bound is reached: of the receiver, which has not taken earlier messages yet; of the sender; or of all messages
    /// of the listener that are under way. `docs/reliability.md` states the bounds.
    Full,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the receiver has ended",
            Self::TooLong => "the message is longer than max_pending_output",
            Self::Full => "too many messages are under way",
        })
    }
}

impl std::error::Error for NotSent {}
