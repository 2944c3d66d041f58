//! Sends messages from other threads.

use std::fmt;
use std::sync::Arc;

use super::exchange::{Attended, Exchange};
use super::{NotSent, Payload, Value};
use crate::token::ConnectionId;

/// Sends messages to the connections of one listener, from any thread.
///
/// A service gets it from [`Setup::sender`](crate::protocol::Setup::sender) when it is opened, a protocol from
/// [`Context::sender`](crate::protocol::Context::sender), a program that embeds the server from
/// [`Endpoint::sender`](crate::Endpoint::sender). Clones send to the same listener. No call blocks, and the loop is woken once for
/// any number of messages.
///
/// Messages of one thread arrive in the order in which it sent them. `Ok` means that the loop has the message: a post then
/// reaches its protocol, unless the connection ends before; a cast is copied to the output of each member that has room.
/// `examples/push.rs` uses it.
#[derive(Clone)]
pub struct Sender(Arc<Exchange>);

impl Attended {
    /// Returns a sender for other threads.
    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.0))
    }
}

impl Sender {
    /// Sends `bytes` to the protocol of one connection, as [`Event::Message`](crate::protocol::Event::Message). A protocol makes
    /// its connection known with [`Context::id`](crate::protocol::Context::id).
    ///
    /// # Errors
    /// The message is dropped: [`NotSent`] says why.
    pub fn post(&self, to: ConnectionId, bytes: impl AsRef<[u8]>) -> Result<(), NotSent> {
        self.0.post(None, to, Payload::Bytes(bytes.as_ref().into()))
    }

    /// Sends a value to the protocol of one connection, which takes it with [`Message::value`](super::Message::value). It is
    /// counted as 64 bytes, whatever it holds.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn post_value<T: Send + 'static>(&self, to: ConnectionId, value: T) -> Result<(), NotSent> {
        self.0.post(None, to, Payload::Value(Value::new(value)))
    }

    /// Appends `bytes` to the output of every member of a group: see [`Context::cast`](crate::protocol::Context::cast).
    ///
    /// # Errors
    /// As [`post`](Self::post). A group without members is not an error.
    pub fn cast(&self, group: &str, bytes: impl AsRef<[u8]>) -> Result<(), NotSent> {
        self.0.cast(None, group, bytes.as_ref())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}
