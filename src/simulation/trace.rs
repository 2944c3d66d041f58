//! The last steps before a failure.

use std::collections::VecDeque;
use std::time::Duration;

/// How many steps a failure tells.
const STEPS: usize = 60;

/// Remembers the last steps; off, it costs nothing. A failure is found with the trace off and told by a second run of
/// the same seed with it on.
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
