//! The access log of UDP: a line for each minute in which a listener has dropped datagrams, and none for a datagram.

use std::collections::BTreeMap;

use super::Reactor;
use crate::config::ACCESS_LOG;
use crate::kernel::Kernel;
use crate::limits::DROPS_LOGGED_EVERY;
use crate::stats::Tally;
use crate::time::Time;
use crate::visit::{Left, Status};

/// What the UDP sockets have dropped since their last lines, by slot.
pub(super) type Drops = BTreeMap<u32, Period>;

/// The time since the last line about a socket.
#[derive(Debug)]
pub(super) struct Period {
    /// When the next line is due; [`Time::NEVER`] while nothing was dropped.
    due: Time,
    /// What the listener had dropped before.
    before: Tally,
}

impl Period {
    /// Begins with what was dropped `before`.
    fn new(before: &Tally) -> Self {
        Self { due: Time::NEVER, before: before.clone() }
    }

    /// Compares with what is `counted` now. Returns what the line has to say if it is due, or if it is the last one.
    fn look(&mut self, now: Time, counted: &Tally, is_last: bool) -> Option<Tally> {
        if counted.total() == self.before.total() {
            return None;
        }
        if self.due == Time::NEVER {
            self.due = now.after(DROPS_LOGGED_EVERY);
        }
        if now < self.due && !is_last {
            return None;
        }
        let dropped = counted.since(&self.before);
        *self = Self::new(counted);
        Some(dropped)
    }
}

impl<K: Kernel> Reactor<K> {
    /// Logs what a UDP socket has dropped, if a line is due. Returns `left` with the time of the next line.
    #[cold]
    pub(super) fn log_drops(&mut self, key: u32, left: Left) -> Left {
        let is_last = matches!(left.status, Status::Closed);
        let endpoint = &self.endpoints[self.slots[key as usize].endpoint];
        let counted = &endpoint.stats.refused;
        let period = self.access.drops.entry(key).or_insert_with(|| Period::new(&Tally::default()));
        if let Some(dropped) = period.look(self.moment.now, counted, is_last) {
            let (datagrams, reasons) = (dropped.total(), dropped.reasons());
            log::info!(target: ACCESS_LOG, listener = endpoint.name(), datagrams = datagrams, reasons = reasons; "dropped");
        }
        let deadline = left.deadline.min(period.due);
        if is_last {
            self.access.drops.remove(&key);
        }
        Left { deadline, ..left }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_minute_with_drops_has_one_line_and_one_without_has_none() {
        let origin = Instant::now();
        let start = Time::since(origin, origin);
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut counted = Tally::default();
        let mut period = Period::new(&counted);
        assert!(period.look(start, &counted, true).is_none(), "nothing was dropped");
        for second in 0..60 {
            counted.add("no request");
            assert!(period.look(at(second), &counted, false).is_none(), "second {second}");
        }
        counted.add("empty");
        let said = period.look(at(60), &counted, false).map(|dropped| dropped.reasons());
        assert_eq!(said.as_deref(), Some("no request 60, empty 1"));
        assert!(period.look(at(1000), &counted, false).is_none(), "nothing more was dropped");
        assert_eq!(period.due, Time::NEVER);
        counted.add("empty");
        assert!(period.look(at(1001), &counted, false).is_none(), "it is a new minute");
        let said = period.look(at(1002), &counted, true).map(|dropped| dropped.reasons());
        assert_eq!(said.as_deref(), Some("empty 1"), "the last line does not wait");
    }
}
