//! Durations, sizes and rates in a configuration: a whole number and one unit.

mod rate;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::rate::Rate;

/// A duration, written `"30s"`: a whole number and one of `ns`, `us`, `ms`, `s`, `m`, `h`, `d`. At most 100 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A number of bytes, written `"64KiB"`: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`. Less than 8 EiB,
/// the limit of file offsets (`off_t`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The error of a value in another form: it says which form is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected(pub &'static str);

/// Units and their factors, the largest first.
type Units = [(&'static str, u128)];

const SPAN_UNITS: &Units = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SPAN: Expected = Expected("a duration such as \"30s\" (a whole number and ns, us, ms, s, m, h or d)");
const SPAN_MAX: u128 = 36_525 * 86_400_000_000_000;

const SIZE_UNITS: &Units = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const SIZE: Expected = Expected("a size such as \"64KiB\" (a whole number and B, KiB, MiB, GiB or TiB)");
const SIZE_MAX: u128 = i64::MAX as u128;

impl Span {
    /// The span of `duration`.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn from_millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// Returns the span as a `Duration`.
    #[must_use]
    pub const fn as_std(self) -> Duration {
        self.0
    }
}

impl Size {
    /// A size of `count` bytes.
    #[must_use]
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Returns the amount in `text`; `None` if it has another form. An overflow becomes `u128::MAX`, which exceeds any
/// maximum.
fn parse(text: &str, units: &Units) -> Option<u128> {
    let unit_start = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_start);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    Some(number.parse::<u128>().map_or(u128::MAX, |number| number.saturating_mul(*worth)))
}

/// Writes `amount` in the largest unit that needs no fraction; zero as `zero`.
fn write(f: &mut fmt::Formatter<'_>, amount: u128, units: &Units, zero: &str) -> fmt::Result {
    match units.iter().find(|(_, worth)| amount.is_multiple_of(*worth)) {
        Some((unit, worth)) if amount != 0 => write!(f, "{}{unit}", amount / worth),
        _ => f.write_str(zero),
    }
}

/// Returns the regular expression (ECMA 262, as JSON Schema requires) of the texts that [`parse`] accepts.
fn pattern(units: &Units) -> String {
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    format!("^[0-9]+({})$", names.join("|"))
}

impl FromStr for Span {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let nanoseconds = parse(text, SPAN_UNITS).ok_or(SPAN)?;
        match u64::try_from(nanoseconds) {
            Ok(count) if nanoseconds <= SPAN_MAX => Ok(Self(Duration::from_nanos(count))),
            _ => Err(Expected("a duration of at most \"36525d\"")),
        }
    }
}

impl FromStr for Size {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let bytes = parse(text, SIZE_UNITS).ok_or(SIZE)?;
        match u64::try_from(bytes) {
            Ok(size) if bytes <= SIZE_MAX => Ok(Self(size)),
            _ => Err(Expected("a size below 8388608TiB")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0.as_nanos(), SPAN_UNITS, "0s")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0.into(), SIZE_UNITS, "0B")
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

impl de::Expected for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Deserializes a string by its [`FromStr`]; the error of anything else names `expected`.
pub(super) fn from_string<'de, T, D>(deserializer: D, expected: Expected) -> Result<T, D::Error>
where
    T: FromStr<Err = Expected>,
    D: Deserializer<'de>,
{
    struct Visitor<T>(Expected, std::marker::PhantomData<T>);

    impl<T: FromStr<Err = Expected>> de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|expected: Expected| E::invalid_value(de::Unexpected::Str(text), &expected))
        }
    }

    deserializer.deserialize_str(Visitor(expected, std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, SPAN)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, SIZE)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": pattern(SPAN_UNITS), "examples": ["30s"] })
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": pattern(SIZE_UNITS), "examples": ["64KiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_in_the_largest_unit() {
        let cases = [("30s", "30s"), ("90s", "90s"), ("60s", "1m"), ("3600s", "1h"), ("48h", "2d"), ("50ms", "50ms")];
        for (written, printed) in cases.into_iter().chain([("1000us", "1ms"), ("7ns", "7ns"), ("0d", "0s")]) {
            assert_eq!(written.parse::<Span>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn sizes_are_printed_in_the_largest_unit() {
        for (written, printed) in [("1024B", "1KiB"), ("1000B", "1000B"), ("10GiB", "10GiB"), ("0TiB", "0B")] {
            assert_eq!(written.parse::<Size>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn printed_amounts_parse_to_the_same() {
        for nanoseconds in [0, 1, 999, 1_000, 1_000_001, 59_000_000_000, 86_400_000_000_000] {
            let span = Span(Duration::from_nanos(nanoseconds));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for bytes in [0, 1, 1023, 1024, 1025, 1 << 40, i64::MAX as u64] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn another_form_is_refused() {
        for text in
            ["", "s", "30", "-1s", "+1s", "1.5s", " 1s", "1s ", "1 s", "1S", "30 sekunden", "1h30m", "٣s", "1\0"]
        {
            assert_eq!(text.parse::<Span>(), Err(SPAN), "{text}");
        }
        for text in ["", "KiB", "64", "64K", "64kib", "64KB", "0x10B", "1e3B"] {
            assert_eq!(text.parse::<Size>(), Err(SIZE), "{text}");
        }
    }

    #[test]
    fn the_error_of_another_form_lists_the_units() {
        for (units, expected) in [(SPAN_UNITS, SPAN), (SIZE_UNITS, SIZE)] {
            let mut names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
            let last = names.pop().unwrap_or_default();
            let said = format!("(a whole number and {} or {last})", names.join(", "));
            assert!(expected.0.ends_with(&said), "{expected}: {said}");
        }
    }

    #[test]
    fn too_large_amounts_are_refused_and_never_wrap() {
        let digits = format!("{}s", "9".repeat(1000));
        for text in ["36526d", "3155760001s", "99999999999999999999999999999999999999d", &digits] {
            assert_eq!(text.parse::<Span>(), Err(Expected("a duration of at most \"36525d\"")), "{text}");
        }
        assert!("36525d".parse::<Span>().is_ok());
        for text in ["8388608TiB", "9223372036854775808B", "18446744073709551616B"] {
            assert_eq!(text.parse::<Size>(), Err(Expected("a size below 8388608TiB")), "{text}");
        }
        assert_eq!("9223372036854775807B".parse(), Ok(Size(i64::MAX as u64)));
    }
}
