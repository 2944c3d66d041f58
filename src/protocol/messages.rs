//! What a protocol sends to other connections of its listener: calls of its context.

use super::Context;
use crate::messages::{NotSent, Payload, Sender, Value, WhenFull};
use crate::token::ConnectionId;

impl Context<'_> {
    /// Sends `bytes` to the protocol of another connection of the same listener, as
    /// [`Event::Message`](super::Event::Message). The message is delivered after this visit, in the place of the receiver's
    /// slot in the queue: never within this call.
    ///
    /// # Errors
    /// The message is dropped: [`NotSent`] says why. A receiver without room is [`NotSent::Full`]: messages of
    /// `max_pending_output` bytes already wait for its protocol. A short message is counted as 64 bytes.
    pub fn post(&mut self, to: ConnectionId, bytes: impl AsRef<[u8]>) -> Result<(), NotSent> {
        self.send(to, Payload::Bytes(bytes.as_ref().into()))
    }

    /// Sends a value to the protocol of another connection of the same listener. Otherwise as [`post`](Self::post); the value
    /// is counted as 64 bytes, whatever it holds.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn post_value<T: Send + 'static>(&mut self, to: ConnectionId, value: T) -> Result<(), NotSent> {
        self.send(to, Payload::Value(Value::new(value)))
    }

    fn send(&self, to: ConnectionId, payload: Payload) -> Result<(), NotSent> {
        let exchange = &self.place.site.exchange;
        exchange.admit(self.place.id);
        exchange.post(Some(self.place.id), to, payload)
    }

    /// Makes this connection a member of the group `name` of its listener. `when_full` says what happens when it has no room for
    /// a message to the group. A member that joins again only changes that.
    ///
    /// # Errors
    /// [`NotSent::Full`]: the connection is in 64 groups, the listener has 65,536, or the name is longer than 255 bytes.
    /// [`NotSent::Gone`] over UDP.
    pub fn join(&mut self, name: &str, when_full: WhenFull) -> Result<(), NotSent> {
        self.place.site.exchange.join(self.place.id, name, when_full)
    }

    /// Ends the membership in the group `name`, if there is one. A connection that ends leaves all its groups.
    pub fn leave(&mut self, name: &str) {
        self.place.site.exchange.leave(self.place.id, name);
    }

    /// Appends `bytes` to the output of every member of the group `name` but this connection, which need not be a member.
    /// The protocols of the members are not called. A member in the middle of a job, an upload or a longer answer gets the
    /// bytes after it.
    ///
    /// A member has room while not more than `max_pending_output` is pending with the message. Without room the member misses the
    /// message or is closed, as it chose when it [joined](Self::join). While all connections together have more output pending
    /// than `max_pending_output_total`, messages to groups wait.
    ///
    /// # Errors
    /// The message is dropped: [`NotSent`] says why. A group without members is not an error.
    pub fn cast(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), NotSent> {
        self.place.site.exchange.cast(Some(self.place.id), name, bytes.as_ref())
    }

    /// Returns a sender for other threads, such as those of jobs.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.place.site.exchange.sender()
    }
}
