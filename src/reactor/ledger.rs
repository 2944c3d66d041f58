//! The age of each slot's owner, and the bytes that each connection has received and sent since the administrator's first report,
//! or since the start if an X-ray runs or an access log is written.

use std::time::Duration;

use crate::time::{Stamp, Time};

/// Age, and bytes in and out, by slot.
///
/// An idle connection has no room for bytes that are rarely needed. So counting starts with the first report, and the
/// second report shows what has moved since the first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The time at which counting started, and the newest generation at that time.
    since: Option<(Time, u32)>,
    /// The bytes of each slot's owner.
    accounts: Vec<Account>,
    /// The time at which each slot got its owner: four bytes a slot. In the slot itself, alignment would make them eight.
    opened: Vec<Stamp>,
}

/// The bytes of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Bytes received since counting started.
    pub(super) received: u64,
    /// Bytes sent since counting started.
    pub(super) sent: u64,
    /// Whether output was pending after the last visit, or before it if the connection closed in it.
    pub(super) pending: bool,
}

impl Ledger {
    /// Starts counting, unless already started. Returns when counting began.
    pub(super) fn begin(&mut self, now: Time, generation: u32) -> Time {
        self.since.get_or_insert((now, generation)).0
    }

    /// Whether bytes are counted.
    pub(super) fn is_counting(&self) -> bool {
        self.since.is_some()
    }

    /// Whether an owner is older than the counting, so that some of its bytes are not counted.
    pub(super) fn predates(&self, generation: u32) -> bool {
        self.since.is_none_or(|(_, newest)| newest.wrapping_sub(generation) as i32 >= 0)
    }

    /// Notes that the slot has a new owner.
    pub(super) fn new_owner(&mut self, slot: u32, now: Time) {
        let (index, stamp) = (slot as usize, now.stamp());
        if self.opened.len() <= index {
            self.opened.resize(index + 1, stamp);
        }
        self.opened[index] = stamp;
        if let Some(account) = self.accounts.get_mut(index) {
            *account = Account::default();
        }
    }

    /// Adds the bytes that a visit received and sent, and notes whether output is pending.
    pub(super) fn add(&mut self, slot: u32, received: u64, sent: u64, pending: bool) {
        if self.accounts.len() <= slot as usize {
            self.accounts.resize(slot as usize + 1, Account::default());
        }
        let account = &mut self.accounts[slot as usize];
        account.received += received;
        account.sent += sent;
        account.pending = pending;
    }

    /// Returns the age of the slot's owner, to a tenth of a second.
    pub(super) fn age(&self, slot: u32, now: Time) -> Duration {
        self.opened.get(slot as usize).map_or(Duration::ZERO, |opened| opened.age(now))
    }

    /// Returns the counted bytes of the slot's owner.
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
        assert!(!ledger.is_counting());
        ledger.begin(start, 7);
        assert!(ledger.is_counting() && ledger.predates(7) && !ledger.predates(8));
        ledger.add(3, 1, 2, true);
        ledger.add(3, 1, 2, false);
        assert_eq!(ledger.account(3), Account { received: 2, sent: 4, pending: false });
        ledger.new_owner(3, start);
        assert_eq!((ledger.account(3), ledger.account(99)), (Account::default(), Account::default()));
    }

    #[test]
    fn each_owner_has_its_own_age_whatever_its_slot_held_before() {
        let start = Time::since(Instant::now(), Instant::now());
        let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
        let mut ledger = Ledger::default();
        for (slot, milliseconds) in [(0, 0), (7, 50_000), (1, 60_000), (0, 90_300)] {
            ledger.new_owner(slot, at(milliseconds));
        }
        let ages = [0, 1, 7].map(|slot| ledger.age(slot, at(100_000)).as_millis());
        assert_eq!(ages, [9_700, 40_000, 50_000]);
    }
}
