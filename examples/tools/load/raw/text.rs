use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use crate::printable::printable;

/// The most bytes of a request or an answer that is kept in memory.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes from the command line. A text has the escapes `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            bytes.extend_from_slice(before.as_bytes());
            let (byte, length) = escaped(after.as_bytes())
                .ok_or(r"after \ comes n, r, t, 0, another \, or x with two hexadecimal digits")?;
            bytes.push(byte);
            rest = &after[length..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(Self(bytes))
    }
}

/// Reads what follows a backslash. Returns the byte that it means, and how many bytes it takes: all of them are ASCII.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |index: usize| char::from(*text.get(index)?).to_digit(16);
    Some(match text.first()? {
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'x' => ((digit(1)? << 4 | digit(2)?) as u8, 3),
        _ => return None,
    })
}

impl Bytes {
    /// Reads a file. At most as many bytes as a request may have are kept.
    pub(crate) fn of_file(path: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => Err(error.to_string()),
            Ok(_) if bytes.len() as u64 > BYTES_MAX => Err("a request has at most 64MiB".into()),
            Ok(_) => Ok(Self(bytes)),
        }
    }

    /// Reads a text that has at least one byte.
    pub(crate) fn some(text: &str) -> Result<Self, String> {
        text.parse()
            .and_then(|bytes: Self| if bytes.0.is_empty() { Err("expected a byte at least".into()) } else { Ok(bytes) })
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_the_bytes_that_they_mean() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("PING\\r\\n", b"PING\r\n"),
            (r"\\n\t\0", b"\\n\t\0"),
            (r"\x00\xfF\x4a5", b"\0\xffJ5"),
            ("\u{e4}\\n", b"\xc3\xa4\n"),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes.to_vec())), "{text}");
        }
    }

    #[test]
    fn an_escape_that_is_unknown_or_cut_off_is_refused() {
        for text in [r"\", r"\q", r"\x", r"\x4", r"\x4g", "\\\u{e4}", r"\x\xe4", "\\x4\u{e4}"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
