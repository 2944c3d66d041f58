//! Rates in a configuration: a whole number and a period.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Expected, from_string};

/// A number of events in a second, a minute or an hour, written `"100/s"`, `"30/m"` or `"5/h"`: that many at once, and then one
/// whenever the time for one has passed. At most 1,000,000 in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events in each period.
    count: u32,
    /// The period, as an index into [`PERIODS`].
    period: u8,
}

/// The periods, and their seconds.
const PERIODS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];
/// The most events in a period.
const RATE_MAX: u32 = 1_000_000;
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
    pub(crate) fn interval(self) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn a_printed_rate_parses_to_the_same_and_another_form_is_refused() {
        for text in ["0/s", "1/h", "100/s", "1000000/m"] {
            assert_eq!(rate(text).to_string(), text);
        }
        for text in
            ["", "/s", "1", "1/", "1/d", "+1/s", "-1/s", "1.5/s", "1 /s", "1/s ", "1/S", "1000001/s", "99999999999/s"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
