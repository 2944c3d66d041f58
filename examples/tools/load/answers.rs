//! What the answers on a connection should be, in their order.

use std::rc::Rc;

use crate::printable::printable;
use crate::tally::{Fault, Kind};
use crate::tape::Tape;

/// Judges the answers on a connection.
pub(crate) trait Answers {
    /// Judges the beginning of `chunk`, while `unanswered` requests, at least one, wait for their answers. A fault ends the
    /// connection.
    fn hear(&mut self, chunk: &[u8], unanswered: usize) -> Result<Heard, Fault>;

    /// Returns the fault of bytes that come while no request waits.
    fn unasked(&self, chunk: &[u8]) -> Fault;

    /// The connection has ended, and the variant `next` of the tape will be asked for next. Returns how far the answer that was
    /// coming had come.
    fn cut(&mut self, next: usize) -> Cut;
}

/// What the beginning of a chunk is.
pub(crate) enum Heard {
    /// These bytes are right, and complete `count` answers.
    Right { bytes: usize, count: usize },
    /// The next answer is wrong. Its bytes are still to be skipped.
    Wrong(Fault),
    /// These bytes belong to the wrong answer, which ends with them if `is_whole`.
    Skipped { bytes: usize, is_whole: bool },
}

/// How far an answer had come when its connection ended.
pub(crate) enum Cut {
    /// No byte of it has come.
    Between,
    /// A part of it has come: it is too short.
    Within(Fault),
    /// It was wrong, and has been counted.
    Counted,
}

/// Answers that are known in advance, each a line: of sum and uppercase.
pub(crate) struct Lines {
    tape: Rc<Tape>,
    /// The variant whose answer comes next, and the number of its bytes that have arrived.
    awaited: usize,
    heard: usize,
    /// The current answer is wrong; it is skipped up to its newline.
    is_wrong: bool,
}

impl Lines {
    pub(crate) fn new(tape: &Rc<Tape>, first: usize) -> Self {
        Self { tape: Rc::clone(tape), awaited: first, heard: 0, is_wrong: false }
    }

    /// Returns how many bytes at the beginning of `chunk` are right, if the next answer is: those of all answers, or else
    /// those of the next one. `None` while a wrong answer is skipped.
    fn right_bytes(&self, chunk: &[u8], unanswered: usize) -> Option<usize> {
        if self.is_wrong {
            return None;
        }
        [unanswered, 1].into_iter().find_map(|count| {
            let expected = &self.tape.answers(self.awaited, count)[self.heard..];
            let length = expected.len().min(chunk.len());
            (chunk[..length] == expected[..length]).then_some(length)
        })
    }

    /// Goes on to the answer after the next `count`, which took `whole` of the bytes heard.
    fn pass(&mut self, count: usize, whole: usize) {
        self.awaited = self.tape.after(self.awaited, count);
        self.heard -= whole;
        self.is_wrong = false;
    }
}

impl Answers for Lines {
    fn hear(&mut self, chunk: &[u8], unanswered: usize) -> Result<Heard, Fault> {
        if let Some(bytes) = self.right_bytes(chunk, unanswered) {
            self.heard += bytes;
            let (count, whole) = self.tape.whole_answers(self.awaited, unanswered, self.heard);
            self.pass(count, whole);
            return Ok(Heard::Right { bytes, count });
        }
        if !self.is_wrong {
            self.is_wrong = true;
            let rest = &self.tape.answer(self.awaited)[self.heard..];
            let text = format!("expected {} but got {}", sample(rest), sample(chunk));
            return Ok(Heard::Wrong(Fault::new(Kind::Wrong, text)));
        }
        // The line after this one answers the next request.
        let Some(end) = memchr::memchr(b'\n', chunk) else {
            return Ok(Heard::Skipped { bytes: chunk.len(), is_whole: false });
        };
        self.pass(1, self.heard);
        Ok(Heard::Skipped { bytes: end + 1, is_whole: true })
    }

    fn unasked(&self, chunk: &[u8]) -> Fault {
        Fault::new(Kind::Unasked, format!("an answer without a request: {}", sample(chunk)))
    }

    fn cut(&mut self, next: usize) -> Cut {
        let cut = if self.is_wrong { Cut::Counted } else { Cut::Between };
        (self.awaited, self.heard, self.is_wrong) = (next, 0, false);
        cut
    }
}

/// Returns the first line of an answer, or its beginning.
pub(crate) fn sample(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    printable(&line[..line.len().min(60)])
}
