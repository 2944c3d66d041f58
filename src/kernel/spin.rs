//! Spinning: the loop looks for events for a while before it sleeps (`busy_poll`). A processor that sleeps takes time to wake up,
//! often longer than the events stay away.
//!
//! Looking pays only if events come soon. After looks that found nothing, some waits begin without a look: one, then three, then
//! seven, at most [`LEFT_OUT_MAX`]. So a server that rarely has events sleeps almost as if it did not spin.

use std::io;
use std::time::{Duration, Instant};

/// The most waits in a row that begin without a look. The first look that finds events ends this.
const LEFT_OUT_MAX: u32 = 63;

/// Decides how long the loop looks before it sleeps.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// How long to look; zero for not at all.
    longest: Duration,
    /// The waits to come that begin without a look.
    left_out: u32,
    /// The waits that began without a look after the last one that found nothing.
    penalty: u32,
}

impl Spin {
    pub(super) fn set(&mut self, longest: Duration) {
        *self = Self { longest, ..Self::default() };
    }

    /// Whether the wait that comes begins with a look.
    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        !self.longest.is_zero() && self.has_paid()
    }

    fn has_paid(&mut self) -> bool {
        let pays = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        pays
    }

    /// Looks until `look` returns that it has found events, or the time has passed. Returns the part of `timeout` that is left for
    /// sleeping; zero if there are events.
    ///
    /// # Errors
    /// The error of `look`.
    pub(super) fn look(
        &mut self,
        timeout: Option<Duration>,
        clock: impl Fn() -> Instant,
        mut look: impl FnMut() -> io::Result<bool>,
    ) -> io::Result<Option<Duration>> {
        let longest = timeout.map_or(self.longest, |timeout| timeout.min(self.longest));
        let begin = clock();
        loop {
            if look()? {
                self.penalty = 0;
                return Ok(Some(Duration::ZERO));
            }
            let spent = clock().saturating_duration_since(begin);
            if spent >= longest {
                self.penalty = (2 * self.penalty + 1).min(LEFT_OUT_MAX);
                self.left_out = self.penalty;
                return Ok(timeout.map(|timeout| timeout.saturating_sub(spent)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// Looks with a clock that advances by a microsecond each time. Events come at look number `at`.
    fn look(spin: &mut Spin, timeout: Option<Duration>, at: u32) -> (Option<Duration>, u32) {
        let (origin, ticks, looks) = (Instant::now(), Cell::new(0), Cell::new(0));
        let clock = || {
            ticks.set(ticks.get() + 1);
            origin + MICROSECOND * ticks.get()
        };
        let left = spin.look(timeout, clock, || {
            looks.set(looks.get() + 1);
            Ok(looks.get() == at)
        });
        (left.expect("no error"), looks.get())
    }

    fn spin(longest: Duration) -> Spin {
        let mut spin = Spin::default();
        spin.set(longest);
        spin
    }

    #[test]
    fn no_look_is_due_unless_it_is_configured() {
        assert!(!Spin::default().is_due() && spin(MICROSECOND).is_due());
    }

    #[test]
    fn a_look_ends_with_the_first_event_its_time_or_the_timeout() {
        let mut spin = spin(MICROSECOND * 10);
        assert_eq!(look(&mut spin, None, 3), (Some(Duration::ZERO), 3));
        assert_eq!(look(&mut spin, None, 99), (None, 10));
        assert_eq!(look(&mut spin, Some(MICROSECOND * 30), 99), (Some(MICROSECOND * 20), 10));
        assert_eq!(look(&mut spin, Some(MICROSECOND * 4), 99), (Some(Duration::ZERO), 4));
    }

    #[test]
    fn looks_that_find_nothing_become_rare_until_one_finds_events() {
        let mut spin = spin(MICROSECOND);
        let mut until_due = |at| {
            let left_out = (0..).take_while(|_| !spin.is_due()).count();
            look(&mut spin, None, at);
            left_out
        };
        assert_eq!([(); 9].map(|()| until_due(99)), [0, 1, 3, 7, 15, 31, 63, 63, 63]);
        assert_eq!([1, 1, 99, 99].map(until_due), [63, 0, 0, 1]);
    }

    #[test]
    fn an_error_of_a_look_is_returned() {
        let failed = spin(MICROSECOND).look(None, Instant::now, || Err(io::ErrorKind::Interrupted.into()));
        assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::Interrupted));
    }
}
