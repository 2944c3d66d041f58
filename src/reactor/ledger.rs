//! How old the owner of each slot is; and what each connection has received and sent, from the moment that the administrator asks,
//! or from the start if an X-ray runs then.

use std::time::Duration;

use crate::time::{Stamp, Time};

/// Age, and bytes in and out, by slot.
///
/// An idle connection has no room for sixteen bytes that nearly nobody asks for. So the books are opened by the first one
/// who does, and the second report tells what has moved since the first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// When the books were opened, if they were, and the newest generation at that time.
    since: Option<(Time, u32)>,
    accounts: Vec<Account>,
    /// When each slot got its owner: four bytes each, and none in the slot, whose eight are taken.
    opened: Vec<Stamp>,
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

    /// The slot has a new owner.
    pub(super) fn open(&mut self, slot: u32, now: Time) {
        let (index, stamp) = (slot as usize, now.stamp());
        if self.opened.len() <= index {
            self.opened.resize(index + 1, stamp);
        }
        self.opened[index] = stamp;
        if let Some(account) = self.accounts.get_mut(index) {
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

    /// How old the owner of the slot is, to a tenth of a second.
    pub(super) fn age(&self, slot: u32, now: Time) -> Duration {
        self.opened.get(slot as usize).map_or(Duration::ZERO, |opened| opened.age(now))
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
    fn counting_starts_on_request_and_a_new_connection_begins_at_zero() {
        let origin = Instant::now();
        let start = Time::since(origin, origin);
        let mut ledger = Ledger::default();
        assert!(!ledger.is_open());
        ledger.begin(start, 7);
        assert!(ledger.is_open() && ledger.is_younger_than(7) && !ledger.is_younger_than(8));
        ledger.add(3, 1, 2);
        ledger.add(3, 1, 2);
        assert_eq!(ledger.account(3), Account { received: 2, sent: 4 });
        ledger.open(3, start);
        assert_eq!((ledger.account(3), ledger.account(99)), (Account::default(), Account::default()));
    }

    #[test]
    fn each_owner_has_its_own_age_whatever_its_slot_held_before() {
        let start = Time::since(Instant::now(), Instant::now());
        let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
        let mut ledger = Ledger::default();
        for (slot, milliseconds) in [(0, 0), (7, 50_000), (1, 60_000), (0, 90_300)] {
            ledger.open(slot, at(milliseconds));
        }
        let ages = [0, 1, 7].map(|slot| ledger.age(slot, at(100_000)).as_millis());
        assert_eq!(ages, [9_700, 40_000, 50_000]);
    }
}
