//! Waits for Enter between two turns of the loop.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::read;

use crate::attempt::{Attempt, attempt, uninterrupted};

/// An input on which each line lets the loop go on, until the input ends or a signal arrives.
pub(super) struct Keyboard<I> {
    input: I,
    /// Becomes readable when a signal arrives.
    signals: Option<UnixStream>,
    /// Lines that have been read and not used yet.
    lines: usize,
}

impl<I: AsFd> Keyboard<I> {
    pub(super) fn new(input: I, signals: Option<UnixStream>) -> Self {
        Self { input, signals, lines: 0 }
    }

    /// Waits for the next line. Returns `false` when the input has ended or a signal has arrived.
    pub(super) fn enter(&mut self) -> bool {
        while self.lines == 0 {
            if !self.read() {
                return false;
            }
        }
        self.lines -= 1;
        true
    }

    /// Waits for input, and counts its lines. Returns `false` when the input has ended or a signal has arrived.
    fn read(&mut self) -> bool {
        let mut sources = vec![PollFd::new(&self.input, PollFlags::IN)];
        sources.extend(self.signals.as_ref().map(|signals| PollFd::new(signals, PollFlags::IN)));
        if uninterrupted(|| poll(&mut sources, None)).is_err() {
            return false;
        }
        if sources.get(1).is_some_and(|signals| !signals.revents().is_empty()) {
            return false;
        }
        let mut bytes = [0; 1024];
        match attempt(|| Ok(read(&self.input, &mut bytes)?)) {
            Attempt::Done(0) | Attempt::Failed(_) => false,
            Attempt::Done(count) => {
                self.lines += bytes[..count].iter().filter(|byte| **byte == b'\n').count();
                true
            }
            Attempt::WouldBlock => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    #[test]
    fn each_line_is_one_step_until_the_input_ends() {
        let (reader, mut writer) = pipe().expect("a pipe");
        let mut keyboard = Keyboard::new(reader, None);
        writer.write_all(b"\nnext\nthe rest").expect("a reader");
        drop(writer);
        assert_eq!(
            [keyboard.enter(), keyboard.enter(), keyboard.enter(), keyboard.enter()],
            [true, true, false, false]
        );
    }

    #[test]
    fn a_signal_goes_before_the_next_line() {
        let (reader, _writer) = pipe().expect("a pipe");
        let (mut end, signals) = UnixStream::pair().expect("a pair of sockets");
        let mut keyboard = Keyboard::new(reader, Some(signals));
        end.write_all(b"x").expect("a reader");
        assert!(!keyboard.enter() && !keyboard.enter());
    }
}
