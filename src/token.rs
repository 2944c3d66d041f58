//! Tokens: the number of a slot and of its owner.

use std::fmt;

/// Identifies a slot of the loop and one of its successive owners.
///
/// Slots are reused, so an event, a deadline or a result can arrive for an owner that has ended. Its generation then
/// differs from the slot's, and it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

impl ConnectionId {
    /// Makes the number of the owner of a slot.
    pub(crate) const fn of(owner: Token) -> Self {
        Self(owner)
    }

    /// Returns the token of the owner.
    pub(crate) const fn token(self) -> Token {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_number_is_a_key_that_another_thread_may_hold_and_no_later_owner_has() {
        let owner = |generation| ConnectionId::of(Token { slot: 3, generation });
        let held = HashMap::from([(owner(1), "the first")]);
        std::thread::spawn(move || {
            assert_eq!(held.get(&owner(1)), Some(&"the first"));
            assert_eq!(held.get(&owner(2)), None, "the next owner of the slot");
        })
        .join()
        .expect("it is `Send`");
        assert_eq!(owner(21).to_string(), "3.21");
    }
}
