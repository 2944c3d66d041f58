//! Names and sizes: where they end in the input, and which are accepted.

use std::fmt;

use super::refuse;
use crate::framing::{Frame, Lines};
use crate::protocol::{Outbox, ProtocolError};

/// The longest name in bytes that file systems take (`limits.h`: `NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;

/// The longest size in digits that always fits into 64 bits.
const SIZE_DIGITS_MAX: usize = 19;

const BAD_NAME: &str = "bad name";
const BAD_SIZE: &str = "bad size";

/// What ended a name or a size. The reply to a name or size ends in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `\n`, or `\r\n`.
    Newline,
    /// Silence, or the peer's FIN.
    Pause,
}

impl Ending {
    /// Appends `reply`, ended in the same way as the request.
    pub(super) fn answer(self, reply: &[u8], out: &mut Outbox) {
        out.extend_from_slice(reply);
        if self == Self::Newline {
            out.push(b'\n');
        }
    }
}

/// A piece at the front of the input that can be judged, because it is whole or already too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    text: &'a [u8],
    /// Bytes of the input that the piece takes, its end included.
    pub(super) consumed: usize,
    pub(super) ending: Ending,
}

impl<'a> Field<'a> {
    /// Returns the name at the front of `input`; `None` while the name is neither whole nor too long.
    pub(super) fn name(input: &'a [u8]) -> Option<Self> {
        Self::split(input, NAME_BYTES_MAX)
    }

    /// Returns the size at the front of `input`; `None` while the size is neither whole nor too long.
    pub(super) fn size(input: &'a [u8]) -> Option<Self> {
        Self::split(input, SIZE_DIGITS_MAX)
    }

    /// Returns all of `input`, ended by a pause.
    pub(super) fn paused(input: &'a [u8]) -> Self {
        Self { text: input, consumed: input.len(), ending: Ending::Pause }
    }

    fn split(input: &'a [u8], bytes_max: usize) -> Option<Self> {
        match Lines::at_most(bytes_max).next(input) {
            Ok(line) => line.map(|Frame { body, consumed }| Self { text: body, consumed, ending: Ending::Newline }),
            Err(_) => Some(Self::paused(&input[..input.len().min(bytes_max + "\r\n".len())])),
        }
    }
}

/// A name that is safe for a file: one path component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Judges a name by its first offending byte, so that the verdict on a name that is too long does not depend on the
    /// number of bytes that have arrived.
    pub(super) fn parse(field: &Field<'_>) -> Result<Self, ProtocolError> {
        let too_long = field.text.len() > NAME_BYTES_MAX;
        let text = &field.text[..field.text.len().min(NAME_BYTES_MAX)];
        let (valid, broken) = match str::from_utf8(text) {
            Ok(valid) => (valid, false),
            Err(error) => {
                let cut_by_us = too_long && error.error_len().is_none();
                (str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(), !cut_by_us)
            }
        };
        for (index, char) in valid.char_indices() {
            if let Some(offence) = offence(index, char) {
                return Err(refuse(BAD_NAME, format_args!("the name has {offence} at byte {}", index + 1)));
            }
        }
        if broken {
            return Err(refuse(BAD_NAME, format_args!("the name is not UTF-8 at byte {}", valid.len() + 1)));
        }
        if too_long {
            return Err(refuse(BAD_NAME, format_args!("the name is longer than {NAME_BYTES_MAX} bytes")));
        }
        if valid.is_empty() {
            return Err(refuse(BAD_NAME, "the name is empty"));
        }
        Ok(Self(valid.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name with a number before its extension: `notes (2).txt`. If the result would be too long, the end of
    /// the stem is cut off.
    pub(super) fn numbered(&self, number: u32) -> Self {
        let mark = format!(" ({number})");
        let name = self.as_str();
        let dot = name.rfind('.').unwrap_or(name.len());
        let (mut stem, mut extension) = name.split_at(dot);
        if mark.len() + extension.len() + char::MAX.len_utf8() > NAME_BYTES_MAX {
            (stem, extension) = (name, "");
        }
        let room = NAME_BYTES_MAX - mark.len() - extension.len();
        let end = (0..=stem.len().min(room)).rev().find(|&end| stem.is_char_boundary(end)).unwrap_or(0);
        Self(format!("{}{mark}{extension}", &stem[..end]))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns what is wrong with `char` at `index` of a name, if anything.
fn offence(index: usize, char: char) -> Option<&'static str> {
    match char {
        '.' if index == 0 => Some("a dot"),
        '/' => Some("a slash"),
        '\\' => Some("a backslash"),
        _ if char.is_control() => Some("a control character"),
        _ => None,
    }
}

/// Reads a size: 1 to 19 decimal digits and nothing else. Like a name it is judged by its first offending byte.
pub(super) fn parse_size(field: &Field<'_>) -> Result<u64, ProtocolError> {
    let mut size = 0;
    for (index, &byte) in field.text.iter().enumerate() {
        if index == SIZE_DIGITS_MAX {
            return Err(refuse(BAD_SIZE, format_args!("the size is longer than {SIZE_DIGITS_MAX} digits")));
        }
        if !byte.is_ascii_digit() {
            return Err(refuse(
                BAD_SIZE,
                format_args!("the size has something other than a digit at byte {}", index + 1),
            ));
        }
        size = size * 10 + u64::from(byte - b'0');
    }
    if field.text.is_empty() { Err(refuse(BAD_SIZE, "the size is empty")) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<String, String> {
        Name::parse(&Field::paused(bytes)).map(|name| name.0).map_err(|error| error.reply.into_owned())
    }

    /// Returns the verdict on `input` if it comes byte by byte, and the verdict if it comes at once.
    fn drip_and_gulp(input: &[u8]) -> [Option<Result<String, String>>; 2] {
        let judge = |input| {
            let field = Field::name(input)?;
            Some(Name::parse(&field).map(|name| name.0).map_err(|error| error.reply.into_owned()))
        };
        [(0..=input.len()).find_map(|end| judge(&input[..end])), judge(input)]
    }

    #[test]
    fn a_name_is_one_plain_path_component() {
        let accepted = ["a", "notes.txt", "a..b", "-rf", " x ", "Grüße.txt", "CON", "x.", "名前", &"x".repeat(255)];
        for name in accepted {
            assert_eq!(parse(name.as_bytes()).as_deref(), Ok(name));
        }
        let refused: [(&[u8], &str); 17] = [
            (b"", "the name is empty"),
            (b".", "the name has a dot at byte 1"),
            (b"..", "the name has a dot at byte 1"),
            (b".bashrc", "the name has a dot at byte 1"),
            (b"../x", "the name has a dot at byte 1"),
            (b"/etc/x", "the name has a slash at byte 1"),
            (b"a/b", "the name has a slash at byte 2"),
            (b"a\\b", "the name has a backslash at byte 2"),
            (b"C:\\x", "the name has a backslash at byte 3"),
            (b"a\0", "the name has a control character at byte 2"),
            (b"a\r", "the name has a control character at byte 2"),
            (b"\x1b[2J", "the name has a control character at byte 1"),
            (b"ab\x7f", "the name has a control character at byte 3"),
            (b"a\xC2\x9Bb", "the name has a control character at byte 2"),
            (b"a\xFFb/", "the name is not UTF-8 at byte 2"),
            (b"a/\xFF", "the name has a slash at byte 2"),
            (b"ab\xC3", "the name is not UTF-8 at byte 3"),
        ];
        for (name, text) in refused {
            assert_eq!(parse(name), Err(format!("error: {text}\n")), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn no_name_leaves_the_directory_or_controls_a_terminal() {
        for byte in (0..=u8::MAX).filter(|byte| !(b' '..=b'~').contains(byte) || b"/\\".contains(byte)) {
            for at in 0..3 {
                let mut name = *b"abc";
                name[at] = byte;
                assert!(parse(&name).is_err(), "{}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_alike_however_it_is_split() {
        let x = |count| "x".repeat(count);
        let too_long = Err("error: the name is longer than 255 bytes\n".to_owned());
        let cases = [
            (x(255) + "\n", Ok(x(255))),
            (x(255) + "\r\n", Ok(x(255))),
            (x(256), too_long.clone()),
            (x(256) + "\n", too_long.clone()),
            (x(256) + "\r\n", too_long.clone()),
            (x(255) + "\r\r\n", too_long.clone()),
            (x(255) + "\rx", too_long.clone()),
            (x(100_000), too_long.clone()),
            (x(254) + "ü\n", too_long.clone()),
            (x(255) + "/\n", too_long),
            (x(9) + "/" + &x(300), Err("error: the name has a slash at byte 10\n".to_owned())),
        ];
        for (input, expected) in cases {
            assert_eq!(drip_and_gulp(input.as_bytes()), [Some(expected.clone()), Some(expected)], "{input:?}");
        }
        for input in [x(255), x(255) + "\r"] {
            assert_eq!(drip_and_gulp(input.as_bytes()), [None, None], "the end may still follow");
        }
    }

    #[test]
    fn a_name_is_judged_only_when_it_is_whole() {
        assert_eq!(Field::name(b"../../"), None);
        assert_eq!(Field::name(b"a\r"), None);
        let field = Field::name(b"a\r\n12\n").unwrap();
        assert_eq!((field.text, field.consumed, field.ending), (b"a".as_slice(), 3, Ending::Newline));
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        let cases = [
            ("notes.txt", "notes (2).txt"),
            ("notes", "notes (2)"),
            ("a.tar.gz", "a.tar (2).gz"),
            ("notes.", "notes (2)."),
            ("a (2).txt", "a (2) (2).txt"),
        ];
        for (name, expected) in cases {
            assert_eq!(Name(name.to_owned()).numbered(2).as_str(), expected);
        }
    }

    #[test]
    fn a_numbered_name_is_again_a_valid_name() {
        let names = [
            "ü".repeat(127),
            "x".repeat(251) + ".txt",
            "x.".to_owned() + &"y".repeat(253),
            "名".repeat(85),
            "é.".repeat(85),
        ];
        for name in names {
            for number in [2, 10, 1000] {
                let numbered = Name::parse(&Field::paused(name.as_bytes())).unwrap().numbered(number);
                assert!(parse(numbered.as_str().as_bytes()).is_ok(), "{numbered}");
                assert!(numbered.as_str().contains(&format!(" ({number})")), "{numbered}");
            }
        }
    }

    #[test]
    fn a_size_is_1_to_19_digits_and_nothing_else() {
        let size = |text: &[u8]| parse_size(&Field::paused(text)).map_err(|error| error.reply.into_owned());
        let accepted = [("0", 0), ("007", 7), ("1000", 1000), ("9999999999999999999", 9_999_999_999_999_999_999)];
        for (text, expected) in accepted {
            assert_eq!(size(text.as_bytes()), Ok(expected));
        }
        let refused =
            ["", "-1", "+5", "1e9", "0x10", " 1", "1 ", "1\r", "1_000", "\u{664}", "18446744073709551615", "x"];
        for text in refused {
            assert!(size(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_offending_byte_decides_what_is_wrong_with_a_size() {
        let error = |input: &[u8]| {
            let decided = (0..=input.len()).find_map(|end| Field::size(&input[..end])).unwrap();
            let texts = [decided, Field::size(input).unwrap()].map(|field| parse_size(&field).unwrap_err().reply);
            assert_eq!(texts[0], texts[1], "{}", input.escape_ascii());
            texts[0].clone()
        };
        assert_eq!(error(b"12x4567890123456789012"), "error: the size has something other than a digit at byte 3\n");
        assert_eq!(error(b"12345678901234567890x"), "error: the size is longer than 19 digits\n");
        assert_eq!(error(b"1234567890123456789\rx"), "error: the size is longer than 19 digits\n");
        assert_eq!(error(b"\r\n"), "error: the size is empty\n");
    }
}
