//! The last steps before a failure.

use std::collections::VecDeque;
use std::time::Duration;

/// The number of steps that a failure shows.
const STEPS: usize = 60;

/// Keeps the last steps; off, it costs nothing. A failure is found with the trace off, and described by a second run of
/// the same seed with the trace on.
#[derive(Debug, Default)]
pub(super) struct Trace {
    on: bool,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new(on: bool) -> Self {
        Self { on, lines: VecDeque::new() }
    }

    pub(super) fn note(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if self.on {
            if self.lines.len() == STEPS {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{:>12.6} {}", now.as_secs_f64(), line()));
        }
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        self.lines.drain(..).collect()
    }
}
