//! Buckets that count events by a rate.

use std::collections::HashMap;
use std::hash::Hash;

use crate::limits::RATE_TABLE_MAX;
use crate::time::Time;
use crate::units::Rate;

/// A bucket of tokens in eight bytes: the time at which it is full. Each event takes a token, and moves that time by the
/// interval between two events (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(Time);

impl Bucket {
    /// A full bucket.
    pub(crate) const FULL: Self = Self(Time::ORIGIN);

    /// Returns when there is a token: `now` or later.
    pub(crate) fn has_token_at(self, rate: Rate, now: Time) -> Time {
        // All tokens but one may be missing.
        let missing = self.0.duration_from(now);
        let may_miss = rate.interval().saturating_mul(rate.count().saturating_sub(1));
        now.after(missing.saturating_sub(may_miss))
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        let has_token = self.has_token_at(rate, now) <= now;
        if has_token {
            self.0 = self.0.max(now).after(rate.interval());
        }
        has_token
    }
}

/// Buckets by key, in two generations. After each period the older one is forgotten: its buckets are full by then. If there are
/// too many keys within a period, the older half is forgotten earlier, as if its buckets were full. Neither costs time for each
/// bucket.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// The buckets used in this period.
    young: HashMap<K, Bucket>,
    /// The buckets used in the period before, and not since.
    old: HashMap<K, Bucket>,
    /// When this period ends.
    until: Time,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), until: Time::ORIGIN }
    }
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    /// Takes a token out of the bucket of `key`, if there is one.
    pub(crate) fn take(&mut self, key: K, rate: Rate, now: Time) -> bool {
        self.forget(rate, now);
        let old = &mut self.old;
        let bucket = self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or(Bucket::FULL));
        bucket.take(rate, now)
    }

    /// Begins a new period, if this one has ended or has too many keys.
    fn forget(&mut self, rate: Rate, now: Time) {
        let has_ended = self.until <= now;
        if has_ended || self.young.len() >= RATE_TABLE_MAX / 2 {
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
            if self.until.after(rate.period()) <= now {
                self.old.clear();
            }
            self.until = now.after(rate.period());
        }
    }

    /// Returns the number of buckets.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests;
