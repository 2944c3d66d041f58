//! Rates: how a configuration writes them, and buckets that count by them.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{RATE_MAX, RATE_TABLE_MAX};
use crate::time::Time;
use crate::units::{Expected, from_string};

/// A number of events in a second, a minute or an hour, written `"100/s"`, `"30/m"` or `"5/h"`: so many at once, and then one
/// whenever the time for one has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events in each period.
    count: u32,
    /// The period, as an index into [`PERIODS`].
    period: u8,
}

/// The periods, and their seconds.
const PERIODS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];
const RATE: Expected = Expected("a rate such as \"100/s\" (a whole number, then /s, /m or /h)");

impl Rate {
    /// No event at all, which a configuration uses for no limit.
    pub(crate) const ZERO: Self = Self { count: 0, period: 0 };

    /// Returns the number of events in a period.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Returns the period.
    #[must_use]
    pub const fn period(self) -> Duration {
        Duration::from_secs(PERIODS[self.period as usize].1)
    }

    /// Returns the time between two events at this rate.
    fn interval(self) -> Duration {
        self.period().checked_div(self.count).unwrap_or(Duration::MAX)
    }
}

impl FromStr for Rate {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let (count, unit) = text.split_once('/').ok_or(RATE)?;
        let period = PERIODS.iter().position(|(name, _)| *name == unit).ok_or(RATE)? as u8;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RATE);
        }
        let most = Expected("a rate of at most 1000000 in each period");
        let count = count.parse().ok().filter(|count| *count <= RATE_MAX).ok_or(most)?;
        Ok(Self { count, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, PERIODS[self.period as usize].0)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, RATE)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+/(s|m|h)$", "examples": ["100/s"] })
    }
}

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
        let may_miss = rate.interval().saturating_mul(rate.count.saturating_sub(1));
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

    /// Begins a new period, if this one is over or has too many keys.
    fn forget(&mut self, rate: Rate, now: Time) {
        let is_over = self.until <= now;
        if is_over || self.young.len() >= RATE_TABLE_MAX / 2 {
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
