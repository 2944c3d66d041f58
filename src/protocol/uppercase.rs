//! uppercase: every byte is answered at once, upper-cased; a line `exit` ends the connection.
//!
//! What a client gets must not depend on how TCP split what it wrote. So two things are held back until more arrives,
//! by leaving them unconsumed: a last line that may yet become `exit`, and a last code point that is not whole.

mod letters;
mod table;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};
use table::Table;

/// Finds the lines after the first that begin with `exit`: one pass at the speed of memory for all line starts.
static LATER_EXIT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\nexit"));

/// Upper-cases a stream of bytes.
#[derive(Debug)]
pub struct Uppercase {
    /// Whether the first byte that has not been consumed begins a line.
    at_line_start: bool,
}

impl Default for Uppercase {
    fn default() -> Self {
        Self { at_line_start: true }
    }
}

/// Makes the table of letters now, so that no client waits for it.
pub(crate) fn prepare() {
    Table::get();
}

impl Uppercase {
    /// Whether what follows `before` begins a line.
    fn begins_line(&self, before: &[u8]) -> bool {
        before.last().map_or(self.at_line_start, |last| *last == b'\n')
    }

    /// Where the first line begins that is exactly `exit`, newline included.
    fn exit_line(&self, input: &[u8]) -> Option<usize> {
        let is_exit = |start: usize| input[start..].starts_with(b"exit\n") || input[start..].starts_with(b"exit\r\n");
        if self.at_line_start && is_exit(0) {
            return Some(0);
        }
        let mut start = 0;
        while let Some(newline) = LATER_EXIT.find(&input[start..]) {
            start += newline + 1;
            if is_exit(start) {
                return Some(start);
            }
        }
        None
    }

    /// The length of the last line, if more bytes could make it an `exit` line.
    fn unfinished_exit_line(&self, input: &[u8]) -> usize {
        let may_become_exit = |len: &usize| {
            let before = input.strip_suffix(&b"exit\r\n"[..*len]);
            before.is_some_and(|before| self.begins_line(before))
        };
        (1..b"exit\r\n".len()).find(may_become_exit).unwrap_or(0)
    }
}

impl StreamProtocol for Uppercase {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        if let Some(start) = self.exit_line(input) {
            letters::append_uppercase(&input[..start], cx.out);
            return Ok(Step::finish().consuming(input.len()));
        }
        let held_back = self.unfinished_exit_line(input).max(letters::unfinished_code_point(input));
        let answered = &input[..input.len() - held_back];
        letters::append_uppercase(answered, cx.out);
        self.at_line_start = self.begins_line(answered);
        Ok(Step::wait(Within::Nothing).consuming(answered.len()))
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof | Event::Closing => {
                let last_exit =
                    || rest.strip_suffix(b"exit").filter(|before| self.begins_line(before)).map(<[u8]>::len);
                let end = self.exit_line(rest).or_else(last_exit).unwrap_or(rest.len());
                letters::append_uppercase(&rest[..end], cx.out);
                Ok(Step::finish().consuming(rest.len()))
            }
            _ => Ok(Step::wait(Within::Nothing)),
        }
    }
}

#[cfg(test)]
mod tests;
