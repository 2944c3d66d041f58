//! What a request says: two integers, read from one complete JSON value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The integers to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) a: i64,
    pub(super) b: i64,
}

/// What is wrong with a JSON value that is no request, as its sender is told.
pub(super) type Fault = &'static str;

impl Request {
    /// Reads `text`, one complete JSON value.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the text; what is missing shows at its end.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Fault> {
        match serde_json::from_slice(text) {
            Ok(Members(request)) => request,
            Err(_) => Err("not an object"),
        }
    }

    /// Reads the request at the front of `input` if it is as plain as most are, `{"A":7,"B":4}` in either order and with or
    /// without white space; gives its length too. `None` says nothing about the input.
    pub(super) fn parse_plain(input: &[u8]) -> Option<(Self, usize)> {
        let (first, rest) = plain_member(token(input, b"{")?)?;
        let (second, rest) = plain_member(token(rest, b",")?)?;
        let rest = token(rest, b"}")?;
        let request = match (first, second) {
            ((b'A', a), (b'B', b)) | ((b'B', b), (b'A', a)) => Self { a, b },
            _ => return None,
        };
        Some((request, input.len() - rest.len()))
    }
}

/// The member at the front of `text`, if its name is one letter and its value an integer, and what follows it. The letter is
/// upper-cased.
fn plain_member(text: &[u8]) -> Option<((u8, i64), &[u8])> {
    let ([b'"', name, b'"'], rest) = skip_white_space(text).split_first_chunk()? else { return None };
    let (value, rest) = integer(token(rest, b":")?)?;
    Some(((name.to_ascii_uppercase(), value), rest))
}

/// What follows `token`, if `text` begins with it, white space aside.
fn token<'a>(text: &'a [u8], token: &[u8]) -> Option<&'a [u8]> {
    skip_white_space(text).strip_prefix(token)
}

/// What follows the white space at the front of `text` (RFC 8259, section 2).
pub(super) fn skip_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The integer at the front of `text`, if it has few enough digits not to overflow, and what follows it.
fn integer(text: &[u8]) -> Option<(i64, &[u8])> {
    const DIGITS_MAX: usize = 18;
    let text = skip_white_space(text);
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (mut magnitude, mut digits) = (0_i64, 0);
    while let Some(digit @ b'0'..=b'9') = unsigned.get(digits) {
        // It may wrap round, but not within the digits that are accepted.
        magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit & 0xf));
        digits += 1;
    }
    let (integer, rest) = unsigned.split_at(digits);
    if digits > DIGITS_MAX || matches!(integer, [] | [b'0', _, ..]) {
        return None;
    }
    Some((if unsigned.len() < text.len() { -magnitude } else { magnitude }, rest))
}

/// The members of an object, as far as they make a request.
struct Members(Result<Request, Fault>);

#[derive(serde::Deserialize)]
#[serde(field_identifier)]
enum Name {
    #[serde(rename = "A", alias = "a")]
    A,
    #[serde(rename = "B", alias = "b")]
    B,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Members, M::Error> {
        let (mut a, mut b, mut fault) = (None, None, None);
        while let Some(name) = members.next_key()? {
            let (operand, twice, no_integer) = match name {
                Name::A => (&mut a, "A is given twice", "A is not an integer of 64 bits"),
                Name::B => (&mut b, "B is given twice", "B is not an integer of 64 bits"),
                Name::Other => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let text = members.next_value::<&RawValue>()?.get();
            if operand.is_some() {
                fault.get_or_insert(twice);
            }
            // As text, because `1.0` is no integer here, `-0` is one, and a number that is too large is no syntax error.
            *operand = text.parse().ok();
            if operand.is_none() {
                fault.get_or_insert(no_integer);
            }
        }
        Ok(Members(match (fault, a, b) {
            (Some(fault), ..) => Err(fault),
            (None, None, _) => Err("A is missing"),
            (None, _, None) => Err("B is missing"),
            (None, Some(a), Some(b)) => Ok(Request { a, b }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chance::Chance;

    #[test]
    fn the_plain_form_is_read_as_any_other() {
        let numbers = [
            "0",
            "-0",
            "7",
            "-1",
            "10",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999",
            "00",
            "-01",
            "-",
            "",
            "1.0",
            "1e2",
            "+1",
            "--1",
            " 1",
        ];
        let mut read = 0;
        for a in numbers {
            for b in numbers {
                for text in [format!(r#"{{"A":{a},"B":{b}}}"#), format!(r#"{{"b":{b},"a":{a}}}"#)] {
                    for tail in ["", "}", "oops"] {
                        if let Some((request, len)) = Request::parse_plain([&text, tail].concat().as_bytes()) {
                            read += 1;
                            assert_eq!((Ok(request), len), (Request::parse(text.as_bytes()), text.len()), "{text}");
                        }
                    }
                }
            }
        }
        assert_eq!(read, 6 * 6 * 2 * 3, "each pair of valid numbers of at most 18 digits");
    }

    #[test]
    fn damage_never_makes_the_plain_form_say_something_else() {
        for seed in 0..100_000 {
            let mut chance = Chance::new(seed);
            let mut text = format!(r#"{{"A":{},"B":{}}}"#, chance.next() as i64 >> chance.below(64), chance.below(100));
            let at = chance.below(text.len());
            text.replace_range(
                at..=at,
                chance.one_of(&["", "0", "-", "\"", "A", "B", "a", "c", " ", "\u{c}", "}", ",", "12"]),
            );
            if let Some((request, len)) = Request::parse_plain(text.as_bytes()) {
                assert_eq!(Ok(request), Request::parse(&text.as_bytes()[..len]), "{text}");
            }
        }
    }
}
