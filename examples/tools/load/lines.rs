//! What a chat sends: lines said by members of this run, and lines of the server.

use std::io::Write;

/// What pads a line to its size.
const PADDING: &[u8] = b" how vexingly quick daft zebras jump,";

/// The longest number in a line, in bytes: 64 bits, in hexadecimal digits.
const DIGITS_MAX: usize = 16;

/// A line that a sender says. Its text has all of it and a sum, so that no byte can change unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The number of the member that says it.
    pub(crate) sender: usize,
    /// Counted by the sender, from 0.
    pub(crate) number: u64,
    /// When it was due, in nanoseconds since the room was made.
    pub(crate) due: u64,
}

impl Said {
    /// Appends the line with its newline: `size` bytes, or more if the numbers need more.
    pub(crate) fn write(&self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        // Writing to a vector cannot fail.
        let _ = write!(out, "{:x} {:x} {:016x}", self.number, self.due, self.sum());
        let missing = size.saturating_sub(out.len() - start + 1);
        out.extend(PADDING.iter().cycle().take(missing));
        out.push(b'\n');
    }

    /// Reads a line of `sender` without its newline. `None` if it is not a line as `write` makes it.
    pub(crate) fn read(sender: usize, size: usize, text: &[u8]) -> Option<Self> {
        let (number, rest) = number_before(text, b' ')?;
        let (due, rest) = number_before(rest, b' ')?;
        let (sum, padding) = rest.split_at_checked(DIGITS_MAX)?;
        let said = Self { sender, number, due };
        let length = (text.len() - padding.len()).max(size.saturating_sub(1));
        let is_padded = text.len() == length
            && padding.chunks(PADDING.len()).all(|chunk| PADDING.starts_with(chunk))
            && hexadecimal(sum) == Some(said.sum());
        is_padded.then_some(said)
    }

    /// A mix of all fields: multiplication by an odd number, and shifts, lose nothing (Steele and others, "Fast splittable
    /// pseudorandom number generators", 2014).
    fn sum(&self) -> u64 {
        let mut sum = 0_u64;
        for field in [self.sender as u64, self.number, self.due] {
            sum = (sum ^ field).wrapping_add(0x9e37_79b9_7f4a_7c15);
            sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            sum ^= sum >> 27;
        }
        sum
    }
}

fn number_before(text: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let digits = memchr::memchr(end, text)?;
    Some((hexadecimal(&text[..digits])?, &text[digits + 1..]))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=DIGITS_MAX).contains(&digits.len());
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => Some(number << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(number << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    };
    is_number.then(|| digits.iter().try_fold(0, add)).flatten()
}

/// A line that has come, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A member of this run said it.
    Said { sender: usize, text: &'a [u8] },
    /// A member of this run has entered the room.
    Entered(usize),
    /// The server says how many lines were not sent to this member.
    Missed(u64),
    /// The server did not send a line on.
    Refused,
    /// Another client has come or left.
    News,
    /// Anything else.
    Other,
}

impl<'a> Line<'a> {
    /// Reads a line. `prefix`: the beginning of the names of this run.
    pub(crate) fn read(prefix: &str, line: &'a [u8]) -> Self {
        if let Some((index, rest)) = member(prefix, line) {
            return match rest.strip_prefix(b": ") {
                Some(text) => Self::Said { sender: index, text },
                None if rest == ENTERED => Self::Entered(index),
                None => Self::Other,
            };
        }
        let missed = || str::from_utf8(line).ok()?.strip_prefix("you missed ")?.strip_suffix(" lines")?.parse().ok();
        if line.starts_with(b"too busy: ") || line.starts_with(b"not sent: ") {
            Self::Refused
        } else if let Some(missed) = missed() {
            Self::Missed(missed)
        } else if line.ends_with(ENTERED) || line.ends_with(b" has left") {
            Self::News
        } else {
            Self::Other
        }
    }
}

/// What follows the name of a member that has entered.
pub(crate) const ENTERED: &[u8] = b" is in hall";

/// Returns the name of a member.
pub(crate) fn name(prefix: &str, index: usize) -> String {
    format!("{prefix}{index}")
}

/// Returns the number of the member that a line begins with, and the rest of the line.
fn member<'a>(prefix: &str, line: &'a [u8]) -> Option<(usize, &'a [u8])> {
    let rest = line.strip_prefix(prefix.as_bytes())?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let index = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((index, &rest[end..]))
}

/// Cuts lines out of the reads of a connection. Keeps what belongs to a line whose end has not come, `longest` bytes at most.
#[derive(Default)]
pub(crate) struct Splitter {
    rest: Vec<u8>,
}

/// A line is longer than any that the server should send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Splitter {
    /// Calls `each` with every whole line of what has come, until it fails.
    pub(crate) fn split<E: From<TooLong>>(
        &mut self,
        mut chunk: &[u8],
        longest: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            if self.rest.is_empty() {
                each(&chunk[..end])?;
            } else {
                self.keep(&chunk[..end], longest)?;
                each(&self.rest)?;
                self.rest.clear();
            }
            chunk = &chunk[end + 1..];
        }
        Ok(self.keep(chunk, longest)?)
    }

    fn keep(&mut self, part: &[u8], longest: usize) -> Result<(), TooLong> {
        if self.rest.len() + part.len() > longest {
            return Err(TooLong);
        }
        self.rest.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Said = Said { sender: 7, number: 0x1f, due: 123_456_789 };

    fn written(said: &Said, size: usize) -> Vec<u8> {
        let mut line = Vec::new();
        said.write(size, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        line
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_has_its_size() {
        for size in [0, 64, 150, 1000] {
            let line = written(&SAID, size);
            assert_eq!(Said::read(7, size, &line), Some(SAID));
            assert!(size == 0 || line.len() + 1 == size, "{size}");
        }
        assert!(written(&SAID, 1).len() > 20, "the numbers need more");
    }

    #[test]
    fn no_byte_of_a_line_changes_unseen() {
        let line = written(&SAID, 80);
        for at in 0..line.len() {
            for other in (0..=255).filter(|other| *other != line[at]) {
                let mut wrong = line.clone();
                wrong[at] = other;
                assert_eq!(Said::read(7, 80, &wrong), None, "{at} {other}");
            }
            assert_eq!(Said::read(7, 80, &line[..at]), None, "cut at {at}");
        }
        assert_eq!(Said::read(8, 80, &line), None, "of another sender");
        assert_eq!(Said::read(7, 81, &line), None, "of another size");
    }

    #[test]
    fn lines_of_the_server_differ_from_those_of_members() {
        let said = Line::Said { sender: 12, text: b"1: 2" };
        for (line, read) in [
            ("load12: 1: 2", said),
            ("load12 is in hall", Line::Entered(12)),
            ("you missed 17 lines", Line::Missed(17)),
            ("too busy: that line was not sent", Line::Refused),
            ("not sent: too many messages are under way", Line::Refused),
            ("Ada is in hall", Line::News),
            ("load has left", Line::News),
            ("you missed some lines", Line::Other),
            ("Ada: hello", Line::Other),
            ("load12 waves", Line::Other),
            ("load99999999999999999999: x", Line::Other),
            ("", Line::Other),
        ] {
            assert_eq!(Line::read("load", line.as_bytes()), read, "{line}");
        }
    }

    #[test]
    fn lines_are_the_same_however_they_are_split() {
        let all = b"one\n\ntwo three\nfour";
        for first in 0..=all.len() {
            for second in first..=all.len() {
                let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
                for chunk in [&all[..first], &all[first..second], &all[second..]] {
                    let split = splitter.split(chunk, 9, |line| {
                        lines.push(line.to_vec());
                        Ok::<_, TooLong>(())
                    });
                    assert_eq!(split, Ok(()));
                }
                assert_eq!(lines, [&b"one"[..], b"", b"two three"]);
                assert_eq!(splitter.rest, b"four");
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_without_bound() {
        let mut splitter = Splitter::default();
        let mut split = |chunk| splitter.split(chunk, 10, |_| Ok::<_, TooLong>(()));
        assert_eq!(split(b"1234567890"), Ok(()));
        assert_eq!(split(b"1"), Err(TooLong));
    }
}
