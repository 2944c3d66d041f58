use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::client::failure::{Context, Result};
use crate::options::Cli;
use crate::tally::Tally;

const PERIOD: Duration = Duration::from_millis(250);

/// The progress bar, on standard error if that is a terminal, and wiped at the end.
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    next: Instant,
    /// The number of answered requests at the last drawing, and the time of it.
    before: (u64, Instant),
}

impl Progress {
    pub(crate) fn new(cli: &Cli) -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:30} {msg}").context("cannot show the progress")?;
        let length = (cli.warmup() + cli.duration).as_millis() as u64;
        let now = Instant::now();
        Ok(Self { bar: ProgressBar::new(length).with_style(style), start: now, next: now + PERIOD, before: (0, now) })
    }

    pub(crate) fn show(&mut self, now: Instant, tally: &Tally) {
        if self.bar.is_hidden() || now < self.next {
            return;
        }
        let (requests, since) = self.before;
        let rate = (tally.requests() - requests) as f64 / now.duration_since(since).as_secs_f64();
        let p99 = Duration::from_nanos(tally.latencies.value_at_quantile(0.99));
        let received = tally.harm.connections;
        let harm = if received > 0 { format!(", {received} connections made") } else { String::new() };
        self.bar.set_position(now.duration_since(self.start).as_millis() as u64);
        self.bar.set_message(format!("{rate:.0}/s, p99 {p99:.1?}, {} errors{harm}", tally.errors()));
        self.before = (tally.requests(), now);
        self.next = now + PERIOD;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
