//! Amounts for people, in log lines: `256 KiB`, `3.2 s`, rounded to two or three digits. For exact amounts, as in a
//! configuration, see [`units`](crate::units).

use std::fmt;
use std::time::Duration;

use crate::units::Size;

/// An amount, rounded when it is displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rounded<T>(pub(crate) T);

/// A number of things, with their noun in the singular: `1 connection`, `2 connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl Rounded<Size> {
    /// A number of bytes.
    pub(crate) const fn bytes(count: u64) -> Self {
        Self(Size::bytes(count))
    }
}

const BYTE_UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

impl fmt::Display for Rounded<Size> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_u64();
        let thousands = (bytes.max(1).ilog2() / 10).min(BYTE_UNITS.len() as u32 - 1);
        let (unit, name) = (1_u64 << (10 * thousands), BYTE_UNITS[thousands as usize]);
        let whole = bytes.is_multiple_of(unit) || bytes / unit >= 10;
        f.pad(&format!("{:.*} {name}", usize::from(!whole), bytes as f64 / unit as f64))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, word) = self;
        write!(f, "{count} {word}{}", if *count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Rounded<Duration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        f.pad(&match seconds {
            0 if self.0 < Duration::from_millis(1) => format!("{} µs", self.0.as_micros()),
            0 => format!("{} ms", self.0.as_millis()),
            1..120 => format!("{:.1} s", self.0.as_secs_f64()),
            120..7_200 => format!("{} min", seconds / 60),
            7_200..172_800 => format!("{} h", seconds / 3_600),
            _ => format!("{} d", seconds / 86_400),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        let shown = |bytes| Rounded::bytes(bytes).to_string();
        assert_eq!([shown(0), shown(1023), shown(1024), shown(1536)], ["0 B", "1023 B", "1 KiB", "1.5 KiB"]);
        assert_eq!([shown(256 << 10), shown(300_000), shown(u64::MAX)], ["256 KiB", "293 KiB", "16777216 TiB"]);
    }

    #[test]
    fn a_duration_is_shown_with_two_digits_or_more() {
        let shown = |milliseconds| Rounded(Duration::from_millis(milliseconds)).to_string();
        assert_eq!([shown(0), shown(999), shown(3_200), shown(119_000)], ["0 µs", "999 ms", "3.2 s", "119.0 s"]);
        assert_eq!([shown(120_000), shown(7_200_000), shown(172_800_000)], ["2 min", "2 h", "2 d"]);
    }

    #[test]
    fn one_thing_is_shown_in_the_singular() {
        let shown = |count| Count(count, "byte").to_string();
        assert_eq!([shown(0), shown(1), shown(2)], ["0 bytes", "1 byte", "2 bytes"]);
    }

    #[test]
    fn rounded_amounts_fill_the_width_of_a_column() {
        assert_eq!(format!("{:>8}|{:>8}", Rounded::bytes(10), Rounded(Duration::from_secs(2))), "    10 B|   2.0 s");
    }
}
