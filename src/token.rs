//! Who is meant: a slot of the loop, and which of its owners.

use std::fmt;

/// Names a slot of the loop, and which of its successive owners is meant.
///
/// Slots are reused, so an event, a deadline or a result can come for an owner that is gone. Its generation then differs
/// from that of the slot, and it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The index of the slot.
    pub slot: u32,
    /// Counts the owners of all slots.
    pub generation: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// The number of a connection, in the form in which the log, the report and the X-ray print it: `12.3045` is the slot, and which of
/// all owners of slots it is. It is unique while the server runs, until the 32 bits of the second part wrap around.
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
