//! The ends of turns: those that took too long, because a protocol computes or blocks on the loop's thread and all other peers
//! wait, and all of them once the pulse is measured.

use std::collections::{BTreeMap, BTreeSet};

use super::Reactor;
use crate::amounts::Rounded;
use crate::kernel::Kernel;
use crate::time::Time;

impl<K: Kernel> Reactor<K> {
    /// Ends the turn, and reports it if it took too long.
    #[inline]
    pub(super) fn end_turn(&mut self, now: Time) {
        if self.lent.budget.end_turn(now) {
            self.note_end(now);
        }
    }

    /// Begins a turn at the time of the moment, and ends the one before unless it has ended.
    #[inline]
    pub(super) fn begin_turn(&mut self) {
        let now = self.moment.now;
        if self.lent.budget.end_turn(now) {
            self.note_begin(now);
        }
        self.lent.budget.begin_turn(now);
    }

    /// Notes the end of a turn that is reported.
    #[cold]
    fn note_end(&mut self, now: Time) {
        self.note_slow();
        if let Some(pulse) = &mut self.inquired.pulse {
            pulse.rest(now);
        }
    }

    /// Notes the begin of a turn, and the end of the one before.
    #[cold]
    fn note_begin(&mut self, now: Time) {
        self.note_slow();
        if let Some(pulse) = &mut self.inquired.pulse {
            pulse.beat(now, self.deadlines.next());
        }
    }

    /// Counts and logs a slow turn, with the listeners whose protocols were called in it.
    fn note_slow(&mut self) {
        let Some(slow) = self.lent.budget.take_slow() else { return };
        // A listener and its elders are one.
        let mut served = BTreeMap::new();
        for (index, endpoint) in self.endpoints.iter().enumerate().filter(|(index, _)| slow.concerns(*index)) {
            let protocols: &mut BTreeSet<_> = served.entry(self.endpoints.home_of(index as u16)).or_default();
            protocols.insert(endpoint.protocol().to_owned());
        }
        let mut names = Vec::new();
        for (home, protocols) in served {
            let home = &mut self.endpoints[home];
            home.stats.slow_turns += 1;
            names.extend(protocols.iter().map(|protocol| format!("{} ({protocol})", home.name())));
        }
        if let Some(suppressed) = self.logs.slow.allow(self.moment.now) {
            let served = if names.is_empty() { "no listener".to_owned() } else { names.join(" and ") };
            log::warn!("a turn of the loop took {}; it served {served}{suppressed}", Rounded(slow.took));
        }
    }
}
