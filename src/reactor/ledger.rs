//! What each connection has received and sent, from the moment that somebody asks; from the start, if an X-ray runs then.

use crate::time::Time;

/// Bytes in and out by slot.
///
/// An idle connection has no room for sixteen bytes that nearly nobody asks for. So the books are opened by the first one
/// who does, and the second report tells what has moved since the first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// When the books were opened, if they were, and the newest generation at that time.
    since: Option<(Time, u32)>,
    accounts: Vec<Account>,
}

/// The bytes of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Ledger {
    /// Opens the books, unless they are open. Gives since when they are.
    pub(super) fn begin(&mut self, now: Time, generation: u32) -> Time {
        self.since.get_or_insert((now, generation)).0
    }

    /// Whether the books are open.
    pub(super) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// Whether an owner is older than the books, which do not tell all of its bytes then.
    pub(super) fn is_younger_than(&self, generation: u32) -> bool {
        self.since.is_none_or(|(_, newest)| newest.wrapping_sub(generation) as i32 >= 0)
    }

    /// A new connection has the slot.
    pub(super) fn open(&mut self, slot: u32) {
        if let Some(account) = self.accounts.get_mut(slot as usize) {
            *account = Account::default();
        }
    }

    /// A visit of the slot received and sent so much.
    pub(super) fn add(&mut self, slot: u32, received: u64, sent: u64) {
        if self.accounts.len() <= slot as usize {
            self.accounts.resize(slot as usize + 1, Account::default());
        }
        let account = &mut self.accounts[slot as usize];
        account.received += received;
        account.sent += sent;
    }

    /// The account of the connection that has the slot.
    pub(super) fn account(&self, slot: u32) -> Account {
        self.accounts.get(slot as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_books_are_closed_until_somebody_asks_and_a_new_connection_begins_at_zero() {
        let origin = Instant::now();
        let mut ledger = Ledger::default();
        assert!(!ledger.is_open());
        ledger.begin(Time::since(origin, origin), 7);
        assert!(ledger.is_open() && ledger.is_younger_than(7) && !ledger.is_younger_than(8));
        ledger.add(3, 1, 2);
        ledger.add(3, 1, 2);
        assert_eq!(ledger.account(3), Account { received: 2, sent: 4 });
        ledger.open(3);
        assert_eq!((ledger.account(3), ledger.account(99)), (Account::default(), Account::default()));
    }
}
