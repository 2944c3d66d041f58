//! Watching a terminal until a step has printed the expected lines, or cannot any more.

use std::time::{Duration, Instant};

use crate::lab::{Input, Lab, Step};
use crate::play::Mode;
use crate::terminal::{Pending, Rest, Terminal};
use crate::varies::{Agreement, UNENDED};

/// When a transcript is rewritten, a program has printed everything once it was silent for this time.
pub(crate) const SETTLED: Duration = Duration::from_millis(1500);

/// The silence while less has been seen than the page prints: a command may be silent for some seconds before its
/// output.
const AWAITED: Duration = Duration::from_secs(6);

/// The command at the end of a step.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// It ends: the next thing typed is another command there.
    Prompt,
    /// It goes on: later it gets input, or prints more.
    GoesOn,
    /// It has ended, or it waits for an event elsewhere, or for ever.
    Either,
}

pub(crate) struct Watch<'a> {
    lab: &'a Lab,
    step: &'a Step,
    mode: Mode,
    end: End,
    /// A key is pressed next, maybe behind a line that has only begun.
    key_follows: bool,
    /// The last output, and its time.
    last: (Vec<String>, Instant),
}

impl<'a> Watch<'a> {
    /// Watches for the output of a step, whose input has just been typed.
    pub(crate) fn new(lab: &'a Lab, index: usize, mode: Mode) -> Self {
        let step = &lab.steps[index];
        let next_here = lab.steps.get(index + 1).filter(|next| next.terminal == step.terminal);
        let end = match lab.next_in_terminal(index).map(|next| &next.input) {
            Some(Input::Command(_)) if next_here.is_some() => End::Prompt,
            Some(Input::Command(_)) | None => End::Either,
            Some(_) => End::GoesOn,
        };
        let key_follows = next_here.is_some_and(|next| matches!(next.input, Input::Key(_)));
        Self { lab, step, mode, end, key_follows, last: (Vec::new(), Instant::now()) }
    }

    /// Checks the terminal. Returns the output of the step, once that is decided, and consumes it.
    pub(crate) fn look(&mut self, terminal: &mut Terminal) -> Option<Pending> {
        let mut pending = terminal.pending();
        if matches!(self.step.input, Input::Key(_)) && pending.prompt {
            // The shell ends the line on which a program was interrupted, even if it is empty.
            pending.lines.pop_if(|line| line.is_empty());
        }
        let enough = self.enough(&pending.lines);
        let more_comes_later = self.end == End::GoesOn && enough.is_some_and(|count| count < pending.lines.len());
        if pending.prompt && !more_comes_later {
            terminal.skip_prompt();
            return Some(pending);
        }
        let rest = terminal.rest();
        let count = match enough.filter(|count| self.may_stay(*count, rest)) {
            Some(count) => count,
            None if self.gives_up(&pending.lines, enough.is_none(), rest) => self.given_up(&pending.lines),
            None => return None,
        };
        terminal.skip_lines(count);
        pending.lines.truncate(count);
        Some(Pending { prompt: false, ..pending })
    }

    /// The fewest lines that match the printed ones; output after them belongs to a later step.
    fn enough(&self, lines: &[String]) -> Option<usize> {
        (0..=lines.len()).find(|count| self.lab.varies.agrees(&self.step.seen, &lines[..*count]))
    }

    /// Whether a command that has printed all expected lines may be left running.
    fn may_stay(&self, shown: usize, rest: Rest) -> bool {
        match self.end {
            End::Prompt => false,
            End::GoesOn => shown > 0 || rest == Rest::Asleep,
            End::Either => rest == Rest::Asleep || (shown > 0 && rest == Rest::Idle),
        }
    }

    fn gives_up(&mut self, lines: &[String], is_wanting: bool, rest: Rest) -> bool {
        if self.last.0 != lines {
            self.last = (lines.to_vec(), Instant::now());
        }
        match self.mode {
            // A command that ends does so soon, and may be repeated then; so only one that waits is given up.
            Mode::Compare => is_wanting && self.is_hopeless(lines) && (self.end == End::GoesOn || rest == Rest::Asleep),
            Mode::Refresh => self.end != End::Prompt && self.last.1.elapsed() >= self.patience(lines),
        }
    }

    /// How long the silence must last before a transcript is written without later output.
    fn patience(&self, lines: &[String]) -> Duration {
        if self.so_far(lines) == Agreement::Part { AWAITED } else { SETTLED }
    }

    /// Whether no later output can make it match.
    fn is_hopeless(&self, lines: &[String]) -> bool {
        self.so_far(lines) == Agreement::None
    }

    /// How far the complete lines match the printed ones.
    fn so_far(&self, lines: &[String]) -> Agreement {
        let ended = lines.iter().take_while(|line| !line.ends_with(UNENDED)).count();
        self.lab.varies.agreement(&self.step.seen, &lines[..ended])
    }

    /// The number of lines taken nevertheless. For a transcript, an incomplete line is left to the step that sees its
    /// end.
    fn given_up(&self, lines: &[String]) -> usize {
        let has_begun = lines.last().is_some_and(|line| line.ends_with(UNENDED));
        let is_left = self.mode == Mode::Refresh && !self.key_follows && has_begun;
        lines.len() - usize::from(is_left)
    }
}
