//! Log lines that hostile input can cause are written at a limited rate; the rest is counted.

use crate::limits::{LOG_LINES_MAX, LOG_PERIOD};
use crate::time::Time;

/// The limit of one kind of log line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    period_end: Option<Time>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Whether a line may be written now. If so, gives how many were suppressed before it.
    pub(crate) fn allow(&mut self, now: Time) -> Option<u64> {
        if self.period_end.is_none_or(|end| end <= now) {
            self.period_end = Some(now.after(LOG_PERIOD));
            self.lines = 0;
        }
        if self.lines == LOG_LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_flood_gives_few_lines_and_the_next_period_tells_how_many_are_missing() {
        let origin = Instant::now();
        let start = Time::since(origin, origin);
        let mut limit = LogLimit::default();
        let written = (0..1_000_000).filter(|_| limit.allow(start).is_some()).count();
        assert_eq!(written, LOG_LINES_MAX as usize);
        let later = start.after(LOG_PERIOD + Duration::from_nanos(1));
        assert_eq!(limit.allow(later), Some(1_000_000 - u64::from(LOG_LINES_MAX)));
        assert_eq!(limit.allow(later), Some(0));
    }
}
