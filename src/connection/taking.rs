//! How fast a peer takes its output: `write_timeout` and `min_send_rate`.
//!
//! A write that returns `EAGAIN` proves nothing about the peer. The kernel reports a socket writable only when a third of its
//! send queue is free (`tcp(7)`), and on a slow link that may take longer than any deadline. So the driver asks the kernel
//! from time to time how many bytes the peer has not acknowledged, and compares.

use std::time::Duration;

use crate::limits::Limits;
use crate::time::Time;

/// How often the peer's acknowledgements are checked within `write_timeout`. An acknowledgement counts from the check that finds
/// it, so a peer that stops is closed late by at most this part of the time.
const LOOKS: u32 = 4;

/// The time left to a peer that has output pending.
///
/// Each byte that the peer acknowledges adds `1 / min_send_rate` to its time, which is never more than `write_timeout`. So a
/// peer at that rate may go on for ever, a peer that stops is closed after `write_timeout`, and one byte now and then adds
/// next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taking {
    /// Since when there has been output pending all the time.
    pub(super) since: Time,
    /// When the peer has used up its time.
    pub(super) until: Time,
    /// When to ask the kernel next.
    look: Time,
    /// Bytes that the peer had not acknowledged at the last check, and those written since; `None` if the system cannot tell.
    unacknowledged: Option<u64>,
    /// Bytes that the peer has acknowledged since `since`.
    pub(super) acknowledged: u64,
    /// When a check last found new acknowledgements.
    pub(super) acknowledged_at: Option<Time>,
}

impl Taking {
    /// No output is pending.
    pub(super) const NOTHING: Self = Self {
        since: Time::NEVER,
        until: Time::NEVER,
        look: Time::NEVER,
        unacknowledged: None,
        acknowledged: 0,
        acknowledged_at: None,
    };

    /// Begins when output becomes pending. `unacknowledged`: the bytes in the kernel's send queue.
    pub(super) fn begin(&mut self, unacknowledged: Option<usize>, limits: &Limits, now: Time) {
        *self = Self {
            since: now,
            until: now.after(limits.write_timeout),
            look: unacknowledged.map_or(Time::NEVER, |_| now.after(limits.write_timeout / LOOKS)),
            unacknowledged: unacknowledged.map(|bytes| bytes as u64),
            acknowledged: 0,
            acknowledged_at: None,
        };
    }

    /// Notes that the kernel took `written` bytes, and output is still pending.
    pub(super) fn note(&mut self, written: usize, limits: &Limits, now: Time) {
        match &mut self.unacknowledged {
            Some(unacknowledged) => *unacknowledged += written as u64,
            // Without acknowledgements, bytes that the kernel takes count: the peer has made room for them.
            None if written > 0 => self.until = now.after(limits.write_timeout),
            None => {}
        }
    }

    /// Whether output is pending.
    pub(super) fn has_begun(&self) -> bool {
        self.since != Time::NEVER
    }

    /// Returns when to check next, or to reset the peer.
    pub(super) fn due(&self) -> Time {
        self.until.min(self.look)
    }

    /// Notes the number of bytes that the peer has not acknowledged, `None` if the system cannot tell. Returns whether the peer
    /// has time left.
    pub(super) fn look(&mut self, unacknowledged: Option<usize>, limits: &Limits, now: Time) -> bool {
        if let (Some(before), Some(left)) = (self.unacknowledged, unacknowledged) {
            self.unacknowledged = Some(left as u64);
            self.earn(before.saturating_sub(left as u64), limits, now);
            self.look = now.after(limits.write_timeout / LOOKS);
        }
        now < self.until
    }

    /// Adds the time for `acknowledged` bytes.
    fn earn(&mut self, acknowledged: u64, limits: &Limits, now: Time) {
        if acknowledged == 0 {
            return;
        }
        self.acknowledged += acknowledged;
        self.acknowledged_at = Some(now);
        let most = now.after(limits.write_timeout);
        self.until = match limits.min_send_rate {
            None => most,
            Some(rate) => {
                let earned = Duration::try_from_secs_f64(acknowledged as f64 / rate.get() as f64);
                self.until.after(earned.unwrap_or(Duration::MAX)).min(most)
            }
        };
    }

    /// Returns the bytes per second that the peer has acknowledged since `since`.
    pub(super) fn rate(&self, now: Time) -> u64 {
        let seconds = now.duration_from(self.since).as_secs_f64().max(f64::MIN_POSITIVE);
        (self.acknowledged as f64 / seconds) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns how long a peer stays that acknowledges `bytes` each `every`; `None` for ever.
    fn stays(bytes: u64, every: Duration, rate: usize) -> Option<Duration> {
        let limits = Limits { min_send_rate: NonZeroUsize::new(rate), ..Limits::default() };
        let origin = Instant::now();
        let at = |elapsed| Time::since(origin, origin + elapsed);
        let mut taking = Taking::NOTHING;
        taking.begin(Some(10_000_000), &limits, at(Duration::ZERO));
        let mut elapsed = Duration::ZERO;
        while elapsed < 3600 * SECOND {
            elapsed += Duration::from_millis(50);
            let now = at(elapsed);
            let taken = elapsed.div_duration_f64(every) as u64 * bytes;
            if taking.due() <= now {
                let queue = usize::try_from(10_000_000 - taken).expect("it fits");
                let goes_on = taking.look(Some(queue), &limits, now);
                if !goes_on {
                    return Some(elapsed);
                }
            }
        }
        None
    }

    #[test]
    fn a_peer_that_acknowledges_nothing_is_given_up() {
        let stayed = stays(0, SECOND, 1024).expect("not for ever");
        assert_eq!(stayed, 30 * SECOND);
    }

    #[test]
    fn one_byte_now_and_then_buys_no_time() {
        let stayed = stays(1, 29 * SECOND, 1024).expect("not for ever");
        assert!(stayed <= 30 * SECOND * 5 / 4, "{stayed:?}");
    }

    #[test]
    fn a_peer_at_the_least_rate_stays() {
        assert_eq!(stays(1100, SECOND, 1024), None);
        assert_eq!(stays(25 * 1100, 25 * SECOND, 1024), None);
        assert!(stays(900, SECOND, 1024).is_some());
    }

    #[test]
    fn without_a_least_rate_any_byte_will_do() {
        assert_eq!(stays(1, 25 * SECOND, 0), None);
        assert!(stays(0, SECOND, 0).is_some());
    }
}
