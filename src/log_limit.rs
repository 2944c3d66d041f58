//! Rule 13: log lines that a peer can cause are written at a limited rate; suppressed lines are counted.

use std::fmt;

use crate::limits::{LOG_LINES_MAX, LOG_PERIOD};
use crate::time::Time;

/// The limit of one kind of log line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// The end of the current period; `None` before the first line.
    period_end: Option<Time>,
    /// Lines written in this period.
    lines: u32,
    /// Lines suppressed since the last written one.
    suppressed: u64,
}

impl LogLimit {
    /// Returns `None` if no line may be written now; otherwise the text that the line must end with.
    pub(crate) fn allow(&mut self, now: Time) -> Option<Suppressed> {
        if self.period_end.is_none_or(|end| end <= now) {
            self.period_end = Some(now.after(LOG_PERIOD));
            self.lines = 0;
        }
        if self.lines == LOG_LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(Suppressed(std::mem::take(&mut self.suppressed)))
    }
}

/// The number of lines that were suppressed before a written line; displayed at the end of that line, empty for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (1 such line suppressed before)"),
            count => write!(f, " ({count} such lines suppressed before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_flood_logs_few_lines_and_the_next_period_counts_the_missing_ones() {
        let origin = Instant::now();
        let start = Time::since(origin, origin);
        let mut limit = LogLimit::default();
        let written = (0..1_000_000).filter(|_| limit.allow(start).is_some()).count();
        assert_eq!(written, LOG_LINES_MAX as usize);
        let later = start.after(LOG_PERIOD + Duration::from_nanos(1));
        assert_eq!(limit.allow(later), Some(Suppressed(1_000_000 - u64::from(LOG_LINES_MAX))));
        assert_eq!(limit.allow(later), Some(Suppressed(0)));
    }

    #[test]
    fn a_line_says_nothing_about_suppressed_ones_if_there_are_none() {
        let shown = [0, 1, 2].map(|count| Suppressed(count).to_string());
        assert_eq!(shown, ["", " (1 such line suppressed before)", " (2 such lines suppressed before)"]);
    }
}
