use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

use super::text::Bytes;
use crate::answers::{Answers, Cut, Heard, sample};
use crate::tally::{Fault, Kind};

/// The longest answer that ends with a text.
const UNTIL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What each answer should be.
pub(crate) enum Expectation {
    /// Exactly these bytes.
    Exactly(Bytes),
    /// Any bytes up to the first place where `end` comes, `end` included.
    Until {
        end: Bytes,
        /// For each number of bytes of `end` that have matched: how many still match if the next byte does not (Knuth,
        /// Morris and Pratt, "Fast pattern matching in strings", 1977).
        fallbacks: Vec<usize>,
    },
    /// This number of bytes.
    Length(u64),
}

/// How far an answer has come. It keeps no byte of it, so the memory does not grow with the answer.
#[derive(Default)]
struct Progress {
    /// Its bytes that have come.
    heard: u64,
    /// How many of the last bytes are the beginning of the end of an answer.
    matched: usize,
}

impl Expectation {
    pub(crate) fn until(end: Bytes) -> Self {
        let mut fallbacks = vec![0; end.0.len()];
        let mut matched = 0;
        for index in 1..end.0.len() {
            fallbacks[index] = matched;
            matched = advance(&end.0, &fallbacks, matched, end.0[index]);
        }
        Self::Until { end, fallbacks }
    }

    /// Takes the bytes at the beginning of `chunk` that belong to the answer. Returns their number, and whether they complete
    /// the answer. Fails if it is wrong, or longer than any may be.
    fn take(&self, progress: &mut Progress, chunk: &[u8]) -> Result<(usize, bool), Fault> {
        let (length, is_whole) = match self {
            Self::Exactly(Bytes(text)) => {
                // What has been heard is a part of the text.
                let expected = &text[progress.heard as usize..];
                let length = expected.len().min(chunk.len());
                if chunk[..length] != expected[..length] {
                    let text = format!("expected {} but got {}", sample(expected), sample(chunk));
                    return Err(Fault::new(Kind::Wrong, text));
                }
                (length, length == expected.len())
            }
            Self::Until { end, fallbacks } => {
                let mut is_whole = false;
                let place = chunk.iter().position(|byte| {
                    progress.matched = advance(&end.0, fallbacks, progress.matched, *byte);
                    is_whole = progress.matched == end.0.len();
                    is_whole
                });
                (place.map_or(chunk.len(), |place| place + 1), is_whole)
            }
            Self::Length(length) => {
                let left = length - progress.heard;
                (left.min(chunk.len() as u64) as usize, left <= chunk.len() as u64)
            }
        };
        progress.heard += length as u64;
        if matches!(self, Self::Until { .. }) && progress.heard > UNTIL_BYTES_MAX {
            return Err(Fault::new(Kind::Long, "an answer has no end within 64MiB"));
        }
        if is_whole {
            *progress = Progress::default();
        }
        Ok((length, is_whole))
    }

    /// Judges a datagram, which is a whole answer.
    pub(crate) fn judge(&self, datagram: &[u8]) -> Result<(), Fault> {
        let (length, is_whole) = self.take(&mut Progress::default(), datagram)?;
        match datagram.len() - length {
            0 if is_whole => Ok(()),
            0 => Err(short(length as u64)),
            _ => Err(long(&datagram[length..])),
        }
    }
}

/// Returns how many bytes of `end` match after this byte, if `matched` of them, not all, did before.
fn advance(end: &[u8], fallbacks: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && end[matched] != byte {
        matched = fallbacks[matched];
    }
    matched + usize::from(end[matched] == byte)
}

fn short(heard: u64) -> Fault {
    Fault::new(Kind::Short, format!("an answer ended after {heard} bytes"))
}

fn long(rest: &[u8]) -> Fault {
    Fault::new(Kind::Long, format!("more bytes came than the answer has: {}", sample(rest)))
}

impl Display for Expectation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(text) => write!(f, "exactly {text}"),
            Self::Until { end, .. } => write!(f, "up to {end}"),
            Self::Length(length) => write!(f, "{length} bytes"),
        }
    }
}

/// The answers on a connection of `raw`. After one that is wrong no byte shows where the next begins, so that one ends the
/// connection.
pub(crate) struct RawAnswers {
    expectation: Rc<Expectation>,
    progress: Progress,
}

impl RawAnswers {
    pub(crate) fn new(expectation: &Rc<Expectation>) -> Self {
        Self { expectation: Rc::clone(expectation), progress: Progress::default() }
    }
}

impl Answers for RawAnswers {
    fn hear(&mut self, chunk: &[u8], unanswered: usize) -> Result<Heard, Fault> {
        let (bytes, is_whole) = self.expectation.take(&mut self.progress, chunk)?;
        if is_whole && unanswered == 1 && bytes < chunk.len() {
            return Err(long(&chunk[bytes..]));
        }
        Ok(Heard::Right { bytes, count: usize::from(is_whole) })
    }

    fn unasked(&self, chunk: &[u8]) -> Fault {
        long(chunk)
    }

    fn cut(&mut self, _: usize) -> Cut {
        match std::mem::take(&mut self.progress).heard {
            0 => Cut::Between,
            heard => Cut::Within(short(heard)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes(text.into())
    }

    /// The number of whole answers that come, and the kind of the fault that ends them.
    fn told(expectation: Expectation, chunks: &[&[u8]], unanswered: usize) -> (usize, Option<Kind>) {
        let mut answers = RawAnswers::new(&Rc::new(expectation));
        let mut whole = 0;
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let heard = if whole < unanswered {
                    answers.hear(rest, unanswered - whole)
                } else {
                    Err(answers.unasked(rest))
                };
                match heard {
                    Ok(Heard::Right { bytes, count }) => {
                        rest = &rest[bytes..];
                        whole += count;
                    }
                    Ok(_) => panic!("raw skips nothing"),
                    Err(fault) => return (whole, Some(fault.kind)),
                }
            }
        }
        match answers.cut(0) {
            Cut::Within(fault) => (whole, Some(fault.kind)),
            _ => (whole, None),
        }
    }

    #[test]
    fn answers_are_judged_alike_however_they_are_split() {
        type Expect = fn() -> Expectation;
        let cases: [(Expect, &[u8], usize, Option<Kind>); 12] = [
            (|| Expectation::Exactly(bytes("+PONG\r\n")), b"+PONG\r\n+PONG\r\n", 2, None),
            (|| Expectation::Exactly(bytes("+PONG\r\n")), b"+PONG\r\n+PANG\r\n", 1, Some(Kind::Wrong)),
            (|| Expectation::Exactly(bytes("+PONG\r\n")), b"+PONG\r\n+PONG\r", 1, Some(Kind::Short)),
            (|| Expectation::Exactly(bytes("+PONG\r\n")), b"", 0, None),
            (|| Expectation::until(bytes("\n")), b"one\n\n", 2, None),
            (|| Expectation::until(bytes("\n")), b"one\ntwo", 1, Some(Kind::Short)),
            (|| Expectation::until(bytes("aab")), b"aaabaa", 1, Some(Kind::Short)),
            (|| Expectation::until(bytes("abab")), b"ababcabab", 2, None),
            (|| Expectation::until(bytes("abac")), b"ababacabac", 2, None),
            (|| Expectation::until(bytes("aabaaa")), b"aabaabaaaaabaaa", 2, None),
            (|| Expectation::Length(3), b"abcdef", 2, None),
            (|| Expectation::Length(3), b"abcde", 1, Some(Kind::Short)),
        ];
        for (expect, all, whole, fault) in cases {
            for at in 0..=all.len() {
                let (first, second) = all.split_at(at);
                assert_eq!(told(expect(), &[first, second], 2), (whole, fault), "{} {at}", sample(all));
            }
        }
    }

    #[test]
    fn bytes_after_the_last_answer_make_it_too_long() {
        for expect in
            [|| Expectation::Exactly(bytes("ab")), || Expectation::until(bytes("b")), || Expectation::Length(2)]
        {
            assert_eq!(
                told(expect(), &[b"abab!"], 2),
                (1, Some(Kind::Long)),
                "in one read the last one does not count"
            );
            assert_eq!(told(expect(), &[b"abab", b"!"], 2), (2, Some(Kind::Long)));
        }
    }

    #[test]
    fn an_answer_without_an_end_is_too_long() {
        let mut answers = RawAnswers::new(&Rc::new(Expectation::until(bytes("\n"))));
        let chunk = vec![b'x'; 1024 * 1024];
        let taken = (0..65).map_while(|_| answers.hear(&chunk, 1).ok()).count();
        assert_eq!(taken, 64);
    }

    #[test]
    fn a_datagram_is_one_whole_answer() {
        let kind =
            |expectation: &Expectation, text: &str| expectation.judge(text.as_bytes()).err().map(|fault| fault.kind);
        for expectation in
            [Expectation::Exactly(bytes("ab\n")), Expectation::until(bytes("\n")), Expectation::Length(3)]
        {
            assert_eq!(kind(&expectation, "ab\n"), None);
            assert_eq!(kind(&expectation, "ab"), Some(Kind::Short));
            assert_eq!(kind(&expectation, ""), Some(Kind::Short));
            assert_eq!(kind(&expectation, "ab\nab\n"), Some(Kind::Long));
        }
        assert_eq!(kind(&Expectation::Exactly(bytes("ab\n")), "xb\n"), Some(Kind::Wrong));
    }
}
