//! Who is meant: a slot of the loop, and which of its owners.

use std::fmt;

/// Names a slot of the loop, and which of its successive owners is meant.
///
/// Slots are reused, so an event, a deadline or a result can come for an owner that is gone. Its generation then differs
/// from that of the slot, and it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

/// The number of a connection. It prints as in the log, the report and the X-ray: `12.3045` is the slot, and the count of all
/// owners of slots so far. A later owner of the slot has another number, until 2^32 more owners have wrapped the count around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(Token);

impl ConnectionId {
    /// That of the owner of a slot.
    pub(crate) const fn of(owner: Token) -> Self {
        Self(owner)
    }

    /// The owner of the slot.
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
