use std::time::{Duration, Instant};

use crate::Cli;
use crate::client::wait::{after, is_past};

/// When a user sends its requests: at most `in_flight` are unanswered, and with `every` one is sent in each period.
pub(crate) struct Pace {
    every: Option<Duration>,
    in_flight: u32,
    /// Requests still to send; `None` is without end.
    left: Option<u64>,
    unanswered: u32,
    due: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(cli: &Cli) -> Self {
        let without_count = if cli.every.is_some() { None } else { Some(cli.in_flight.into()) };
        Self {
            every: cli.every,
            in_flight: cli.in_flight,
            left: cli.count.or(without_count),
            unanswered: 0,
            due: Some(Instant::now()),
        }
    }

    pub(crate) fn may_ask(&self) -> bool {
        self.has_room() && is_past(self.due)
    }

    /// When `may_ask` becomes true without an answer.
    pub(crate) fn next_request(&self) -> Option<Instant> {
        self.due.filter(|_| self.has_room())
    }

    pub(crate) fn asked(&mut self) {
        self.unanswered += 1;
        self.left = self.left.map(|left| left - 1);
        if let Some(every) = self.every {
            self.due = after(every);
        }
    }

    /// Notes that a request was answered, or given up.
    pub(crate) fn settled(&mut self) {
        self.unanswered -= 1;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left == Some(0) && self.unanswered == 0
    }

    pub(crate) fn has_no_end(&self) -> bool {
        self.left.is_none()
    }

    fn has_room(&self) -> bool {
        self.left != Some(0) && self.unanswered < self.in_flight
    }
}
