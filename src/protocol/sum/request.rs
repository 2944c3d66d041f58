//! Reads a request: two integers, from one complete JSON value.

/// The integers to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) a: i64,
    pub(super) b: i64,
}

/// Why a JSON value is not a request, as its sender reads it.
pub(super) type Fault = &'static str;

const A_NOT_INTEGER: Fault = "A is not an integer of 64 bits";
const B_NOT_INTEGER: Fault = "B is not an integer of 64 bits";

impl Request {
    /// Reads `text`, one complete JSON value that the scanner has checked.
    ///
    /// # Errors
    /// The first problem in the order of the text; a missing member comes last.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Fault> {
        let members = text.strip_prefix(b"{").map(Members).ok_or("not an object")?;
        let (mut a, mut b) = (None, None);
        for (name, value) in members {
            let (operand, twice, not_integer) = match name {
                br#""A""# | br#""a""# | br#""\u0041""# | br#""\u0061""# => (&mut a, "A is given twice", A_NOT_INTEGER),
                br#""B""# | br#""b""# | br#""\u0042""# | br#""\u0062""# => (&mut b, "B is given twice", B_NOT_INTEGER),
                _ => continue,
            };
            if operand.is_some() {
                return Err(twice);
            }
            *operand = Some(parse_integer(value).ok_or(not_integer)?);
        }
        Ok(Self { a: a.ok_or("A is missing")?, b: b.ok_or("B is missing")? })
    }

    /// Reads the request at the front of `input` if it has the usual form, `{"A":7,"B":4}` in either order and with or
    /// without white space. Returns what [`parse`](Self::parse) returns, and the length. `None` does not mean that the input is
    /// wrong.
    pub(super) fn parse_plain(input: &[u8]) -> Option<(Result<Self, Fault>, usize)> {
        let (first, x, rest) = plain_member(token(input, b"{")?)?;
        let (second, y, rest) = plain_member(token(rest, b",")?)?;
        let rest = token(rest, b"}")?;
        let request = match ((first, x), (second, y)) {
            ((b'A', Some(a)), (b'B', Some(b))) | ((b'B', Some(b)), (b'A', Some(a))) => Ok(Self { a, b }),
            ((b'A', None), (b'B', _)) | ((b'B', Some(_)), (b'A', None)) => Err(A_NOT_INTEGER),
            ((b'B', None), (b'A', _)) | ((b'A', Some(_)), (b'B', None)) => Err(B_NOT_INTEGER),
            _ => return None,
        };
        Some((request, input.len() - rest.len()))
    }
}

/// Returns the member at the front of `text` if its name is one letter and its value an integer, and the text after it. The
/// letter is upper-cased; an integer that does not fit into 64 bits is `None`.
fn plain_member(text: &[u8]) -> Option<(u8, Option<i64>, &[u8])> {
    let ([b'"', name, b'"'], rest) = skip_white_space(text).split_first_chunk()? else { return None };
    let (value, rest) = integer(token(rest, b":")?)?;
    Some((name.to_ascii_uppercase(), value, rest))
}

/// Returns the text after `token`, if `text` begins with `token`; skips white space.
fn token<'a>(text: &'a [u8], token: &[u8]) -> Option<&'a [u8]> {
    skip_white_space(text).strip_prefix(token)
}

/// Returns `text` without the white space at its front (RFC 8259, section 2).
pub(super) fn skip_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Returns the integer at the front of `text`, and the text after it. The integer is `None` if it does not fit into 64 bits.
fn integer(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let text = skip_white_space(text);
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = unsigned.len() < text.len();
    let (mut magnitude, mut digits) = (0_i64, 0);
    while let Some(digit @ b'0'..=b'9') = unsigned.get(digits) {
        // It may overflow, but not within 18 digits.
        magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit & 0xf));
        digits += 1;
    }
    let (integer, rest) = unsigned.split_at(digits);
    let signed = match integer {
        [] | [b'0', _, ..] => return None,
        _ if digits <= 18 => Some(if is_negative { -magnitude } else { magnitude }),
        // 19 digits always fit into 64 bits without a sign.
        _ if digits > 19 => None,
        _ if is_negative => 0_i64.checked_sub_unsigned(magnitude as u64),
        _ => i64::try_from(magnitude as u64).ok(),
    };
    Some((signed, rest))
}

/// Reads `value`, a whole JSON value, as an integer: `-0` is one, `1.0` is not.
fn parse_integer(value: &[u8]) -> Option<i64> {
    integer(value).filter(|(_, rest)| rest.is_empty())?.0
}

/// The members of an object, from the text behind its bracket or behind a member: names with their quotes, and values.
///
/// The scanner has checked that the text is JSON. So this only looks for the end of each part, and decodes or checks nothing
/// again. For a text that is not JSON it returns some members or none, but does not panic.
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = skip_white_space(self.0);
        let rest = skip_white_space(rest.strip_prefix(b",").unwrap_or(rest));
        let (name, rest) = rest.split_at_checked(string_len(rest)?)?;
        let rest = skip_white_space(token(rest, b":")?);
        let (value, rest) = rest.split_at_checked(value_len(rest)?)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// Returns the length of the string at the front of `text`, quotes included.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        rest = match &rest[end..] {
            [b'\\', _, rest @ ..] => rest,
            [_, rest @ ..] => return Some(text.len() - rest.len()),
            [] => return None,
        };
    }
}

/// Returns the length of the value at the front of `text`, which must be followed by more text.
fn value_len(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_len(text),
        b'[' | b'{' => nested_len(text),
        _ => text.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r')),
    }
}

/// Returns the length of the array or object at the front of `text`.
fn nested_len(text: &[u8]) -> Option<usize> {
    let (mut len, mut depth) = (0, 0_usize);
    loop {
        len += match text.get(len)? {
            b'"' => string_len(&text[len..])?,
            b'[' | b'{' => {
                depth += 1;
                1
            }
            b']' | b'}' if depth == 1 => return Some(len + 1),
            b']' | b'}' => {
                depth -= 1;
                1
            }
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::model;
    use super::*;
    use crate::protocol::tests::chance::Chance;

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
                            assert_eq!((request, len), (model::parse(text.as_bytes()), text.len()), "{text}");
                        }
                    }
                }
            }
        }
        assert_eq!(read, 13 * 13 * 2 * 3, "each pair of integers, however long");
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
                assert_eq!(request, model::parse(&text.as_bytes()[..len]), "{text}");
            }
        }
    }
}
