//! Framing: where a message ends in a stream of bytes.
//!
//! TCP delivers bytes in order and keeps no boundary between two writes ([RFC 9293, section
//! 3.7](https://www.rfc-editor.org/rfc/rfc9293#section-3.7)). So every protocol over TCP says where a message ends. Three ways
//! are ready here:
//!
//! - [`Lines`]: a message ends with `\n` or `\r\n`.
//! - [`Delimited`]: a message ends with bytes of your choice.
//! - [`LengthPrefixed`]: a message begins with its length.
//!
//! Each looks at the front of the input and returns the first message, or `None` if more bytes are needed. Each has a limit, so
//! that a peer cannot make the server keep an endless message. Each remembers how far it has looked, so that a message which
//! arrives byte by byte is not searched from its start at every byte: the work is linear in the bytes received. The result does
//! not depend on how the bytes were split. A protocol that consumes the beginning of a message without its end, for example at
//! [`Event::Quiet`](crate::protocol::Event::Quiet), begins with a new value: the old one would not search the next bytes.
//!
//! ```
//! use reactor::framing::Lines;
//! use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
//! use reactor::testing::same_for_every_split;
//!
//! /// Answers each line with its length.
//! struct Lengths(Lines);
//!
//! impl StreamProtocol for Lengths {
//!     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
//!         let Some(line) = self.0.next(input)? else { return Ok(Step::wait(Within::Request)) };
//!         cx.out.extend_from_slice(format!("{}\n", line.body.len()).as_bytes());
//!         Ok(Step::again(line.consumed))
//!     }
//! }
//!
//! let heard = same_for_every_split(|| Lengths(Lines::at_most(1024)), b"one\r\nthree\n");
//! assert_eq!(heard.sent, b"3\n5\n");
//! ```

use std::error::Error;
use std::fmt;

use memchr::{memchr, memmem};

use crate::outbox::Outbox;

/// A message at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The message, without its end or its length.
    pub body: &'a [u8],
    /// How many bytes of the input the message takes, with its end or its length: what a protocol consumes.
    pub consumed: usize,
}

/// The message is longer than the limit. It may not have arrived as a whole yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLong {
    /// The limit, in bytes of the message without its end or its length.
    pub most: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message has at most {} bytes", self.most)
    }
}

impl Error for TooLong {}

/// Messages that end with `\n` or `\r\n`: lines.
///
/// A `\r` directly before the `\n` is not part of the line; any other `\r` is. What follows the last `\n` is not a line; a
/// protocol that accepts it takes `rest` at [`Event::Eof`](crate::protocol::Event::Eof).
#[derive(Debug, Clone)]
pub struct Lines {
    most: usize,
    /// Bytes at the front of the input that are known to hold no `\n`.
    searched: usize,
}

impl Lines {
    /// Lines of at most `most` bytes, their end not counted.
    #[must_use]
    pub const fn at_most(most: usize) -> Self {
        Self { most, searched: 0 }
    }

    /// The line at the front of `input`; `None` while its end has not arrived.
    ///
    /// # Errors
    /// The line is too long. This is known as soon as one byte too many has arrived, or two if the first may be the `\r`.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, TooLong> {
        let window = first(input, self.most.saturating_add("\r\n".len()));
        let searched = remembered(&mut self.searched, window);
        let Some(end) = memchr(b'\n', &window[searched..]).map(|at| searched + at) else {
            // The `\r` of the end may be the byte behind the longest line.
            let may_end = window.len().checked_sub(self.most) == Some(1) && window.ends_with(b"\r");
            if window.len() > self.most && !may_end {
                return Err(TooLong { most: self.most });
            }
            self.searched = window.len();
            return Ok(None);
        };
        let line = &window[..end];
        let body = line.strip_suffix(b"\r").unwrap_or(line);
        whole(body, end + 1, self.most)
    }
}

/// Messages that end with a delimiter.
#[derive(Debug, Clone)]
pub struct Delimited {
    delimiter: &'static [u8],
    most: usize,
    /// Bytes at the front of the input at which no delimiter begins.
    searched: usize,
}

impl Delimited {
    /// Messages of at most `most` bytes, each followed by `delimiter`.
    ///
    /// # Panics
    /// The delimiter is empty: such messages would have no end.
    #[must_use]
    pub const fn by(delimiter: &'static [u8], most: usize) -> Self {
        assert!(!delimiter.is_empty(), "a delimiter has at least one byte");
        Self { delimiter, most, searched: 0 }
    }

    /// The message at the front of `input`; `None` while its delimiter has not arrived.
    ///
    /// # Errors
    /// The message is too long: no delimiter begins within `most` bytes.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, TooLong> {
        let longest = self.most.saturating_add(self.delimiter.len());
        let window = first(input, longest);
        let searched = remembered(&mut self.searched, window);
        if let Some(at) = memmem::find(&window[searched..], self.delimiter) {
            let end = searched + at;
            return whole(&window[..end], end + self.delimiter.len(), self.most);
        }
        if window.len() == longest {
            return Err(TooLong { most: self.most });
        }
        // The last bytes may be the beginning of a delimiter.
        self.searched = window.len().saturating_sub(self.delimiter.len() - 1);
        Ok(None)
    }
}

/// Messages that begin with their length: an unsigned number of one to eight bytes, in network byte order (the most
/// significant byte first) unless [`little_endian`](Self::little_endian) is asked for.
///
/// The length counts the bytes of the body, not its own.
#[derive(Debug, Clone, Copy)]
pub struct LengthPrefixed {
    /// Bytes of the length.
    width: usize,
    little_endian: bool,
    most: usize,
}

impl LengthPrefixed {
    /// Messages of at most `most` bytes, each after a length of `width` bytes. `most` is lowered to what such a length can express.
    ///
    /// # Panics
    /// `width` is not one to eight.
    #[must_use]
    pub const fn with_bytes(width: usize, most: usize) -> Self {
        assert!(1 <= width && width <= WIDTH_MAX, "a length has one to eight bytes");
        let largest = u64::MAX >> (8 * (WIDTH_MAX - width));
        let most = if most as u64 > largest { largest as usize } else { most };
        Self { width, little_endian: false, most }
    }

    /// The same with the least significant byte of the length first.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self
    }

    /// The message at the front of `input`; `None` while it has not arrived as a whole.
    ///
    /// # Errors
    /// The message is too long. This is known from its length, before the message arrives.
    pub fn next<'a>(&self, input: &'a [u8]) -> Result<Option<Frame<'a>>, TooLong> {
        let Some((prefix, behind)) = input.split_at_checked(self.width) else { return Ok(None) };
        let length = match usize::try_from(self.read(prefix)) {
            Ok(length) if length <= self.most => length,
            _ => return Err(TooLong { most: self.most }),
        };
        Ok(behind.get(..length).map(|body| Frame { body, consumed: self.width + length }))
    }

    /// Appends `body` with its length before it.
    ///
    /// # Errors
    /// The body is longer than the limit. Nothing has been appended.
    pub fn append(&self, body: &[u8], out: &mut Outbox) -> Result<(), TooLong> {
        if body.len() > self.most {
            return Err(TooLong { most: self.most });
        }
        let length = body.len() as u64;
        if self.little_endian {
            out.extend_from_slice(&length.to_le_bytes()[..self.width]);
        } else {
            out.extend_from_slice(&length.to_be_bytes()[WIDTH_MAX - self.width..]);
        }
        out.extend_from_slice(body);
        Ok(())
    }

    fn read(&self, prefix: &[u8]) -> u64 {
        let add = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
        if self.little_endian { prefix.iter().rev().fold(0, add) } else { prefix.iter().fold(0, add) }
    }
}

/// Bytes of the widest length.
const WIDTH_MAX: usize = 8;

/// The first bytes of `input`, at most `most` of them.
fn first(input: &[u8], most: usize) -> &[u8] {
    &input[..input.len().min(most)]
}

/// How many bytes at the front of `window` were searched before. None, if the protocol has consumed some of them since. The
/// memory is cleared, and written again only where the search found nothing.
fn remembered(searched: &mut usize, window: &[u8]) -> usize {
    let before = std::mem::take(searched);
    if before <= window.len() { before } else { 0 }
}

fn whole(body: &[u8], consumed: usize, most: usize) -> Result<Option<Frame<'_>>, TooLong> {
    if body.len() > most { Err(TooLong { most }) } else { Ok(Some(Frame { body, consumed })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Next<'a> = Result<Option<Frame<'a>>, TooLong>;

    fn frame(body: &[u8], consumed: usize) -> Next<'_> {
        Ok(Some(Frame { body, consumed }))
    }

    #[test]
    fn a_line_ends_with_a_newline_with_or_without_a_return() {
        let mut lines = Lines::at_most(3);
        assert_eq!(lines.next(b"abc\nd"), frame(b"abc", 4));
        assert_eq!(lines.next(b"abc\r\nd"), frame(b"abc", 5));
        assert_eq!(lines.next(b"\n"), frame(b"", 1));
        assert_eq!(lines.next(b"\r\n"), frame(b"", 2));
        assert_eq!(lines.next(b"a\rb\n"), frame(b"a\rb", 4));
        assert_eq!(lines.next(b"a\r\r\n"), frame(b"a\r", 4));
    }

    #[test]
    fn a_line_is_too_long_by_one_byte() {
        let mut lines = Lines::at_most(3);
        for input in [&b"abcd"[..], b"abcd\n", b"abcd\r\n", b"abc\rd", b"abc\r\r\n"] {
            assert_eq!(lines.next(input), Err(TooLong { most: 3 }), "{}", input.escape_ascii());
        }
        assert_eq!(lines.next(b"abc\r"), Ok(None));
    }

    #[test]
    fn a_limit_may_be_the_largest_number() {
        let mut lines = Lines::at_most(usize::MAX);
        assert_eq!(lines.next(b"ab"), Ok(None));
        assert_eq!(lines.next(b"ab\n"), frame(b"ab", 3));
        let mut parts = Delimited::by(b"--", usize::MAX);
        assert_eq!(parts.next(b"ab-"), Ok(None));
        assert_eq!(parts.next(b"ab--"), frame(b"ab", 4));
    }

    #[test]
    fn a_delimiter_may_arrive_in_pieces_and_repeat_its_beginning() {
        let mut parts = Delimited::by(b"--\r", 4);
        assert_eq!(parts.next(b"a--"), Ok(None));
        assert_eq!(parts.next(b"a--\r"), frame(b"a", 4));
        assert_eq!(parts.next(b"a---\r"), frame(b"a-", 5));
        assert_eq!(parts.next(b"abcd--\r"), frame(b"abcd", 7));
        assert_eq!(parts.next(b"abcde--"), Err(TooLong { most: 4 }));
    }

    #[test]
    fn a_length_is_read_in_both_byte_orders() {
        let network = LengthPrefixed::with_bytes(2, 300);
        assert_eq!(network.next(b"\x00\x02abc"), frame(b"ab", 4));
        assert_eq!(network.next(b"\x00"), Ok(None));
        assert_eq!(network.next(b"\x00\x02a"), Ok(None));
        assert_eq!(network.next(b"\x01\x2d"), Err(TooLong { most: 300 }));
        assert_eq!(network.little_endian().next(b"\x02\x00abc"), frame(b"ab", 4));
        assert_eq!(LengthPrefixed::with_bytes(8, 9).next(&[0xff; 8]), Err(TooLong { most: 9 }));
    }

    #[test]
    fn what_is_appended_is_what_is_read() {
        for width in 1..=8 {
            for frames in
                [LengthPrefixed::with_bytes(width, 200), LengthPrefixed::with_bytes(width, 200).little_endian()]
            {
                let mut out = Outbox::default();
                frames.append(b"hello", &mut out).expect("short enough");
                assert_eq!(frames.next(out.pending()), frame(b"hello", width + 5));
                assert_eq!(frames.append(&[0; 201], &mut out), Err(TooLong { most: 200 }));
                assert_eq!(out.len(), width + 5);
            }
        }
    }

    #[test]
    fn a_limit_is_no_higher_than_its_length_can_say() {
        let mut out = Outbox::default();
        assert_eq!(LengthPrefixed::with_bytes(1, 256).append(&[0; 256], &mut out), Err(TooLong { most: 255 }));
    }

    #[test]
    fn what_was_searched_is_not_searched_again() {
        let mut lines = Lines::at_most(100);
        let mut parts = Delimited::by(b"\r\n\r\n", 100);
        let input = [b'x'; 100];
        for received in 1..=input.len() {
            assert_eq!(lines.next(&input[..received]), Ok(None));
            assert_eq!(lines.searched, received);
            assert_eq!(parts.next(&input[..received]), Ok(None));
            assert_eq!(parts.searched, received.saturating_sub(3));
        }
    }

    #[test]
    fn a_search_starts_again_after_a_message_an_error_and_a_consumed_rest() {
        let mut lines = Lines::at_most(4);
        assert_eq!(lines.next(b"abc"), Ok(None));
        assert_eq!(lines.next(b"abc\nd\n"), frame(b"abc", 4));
        assert_eq!(lines.next(b"d\n"), frame(b"d", 2));
        assert_eq!(lines.next(b"abc"), Ok(None));
        assert_eq!(lines.next(b"\n"), frame(b"", 1));
        assert_eq!(lines.next(b"abcde"), Err(TooLong { most: 4 }));
        assert_eq!(lines.next(b"\nabc"), frame(b"", 1));
    }
}
