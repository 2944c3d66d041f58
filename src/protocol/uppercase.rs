//! `uppercase`: answers every byte at once, in upper case; a line `exit` ends the connection.
//!
//! The answer must not depend on how TCP split what the client wrote. So the protocol leaves two things unconsumed until
//! more arrives: a last line that may still become `exit`, and a last code point that is incomplete.

mod letters;
mod table;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};
use table::Table;

/// Finds lines after the first that begin with `exit`, in one pass over the input.
static LATER_EXIT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\nexit"));

/// Answers a stream of bytes in upper case.
#[derive(Debug)]
pub struct Uppercase {
    /// Whether the first unconsumed byte begins a line.
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

    /// Returns the start of the first line that is exactly `exit`, its newline included.
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

    /// Returns the length of the last line if more bytes could make it an `exit` line, otherwise 0.
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
