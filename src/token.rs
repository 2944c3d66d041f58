//! Tokens: the number of a slot and of its owner.

use std::fmt;

/// Identifies a slot of the loop and one of its successive owners.
///
/// Slots are reused, so an event, a deadline or a result can arrive for an owner that has ended. Its generation then
/// differs from the slot's, and it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The index of the slot.
    pub slot: u32,
    /// The number of the owner, counted over all slots.
    pub generation: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// The number of a connection, in the form in which the log, the report and the X-ray print it: `12.3045` is the slot
/// and the number of its owner, counted over all slots. It is unique while the server runs, until the 32 bits of the
/// second number wrap around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(Token);

impl From<Token> for ConnectionId {
    fn from(token: Token) -> Self {
        Self(token)
    }
}

impl From<ConnectionId> for Token {
    fn from(id: ConnectionId) -> Self {
        id.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
