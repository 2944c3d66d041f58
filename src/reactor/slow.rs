//! Turns that take too long: a protocol computes or blocks on the loop's thread, and every other peer waits for it.

use super::Reactor;
use crate::amounts::Rounded;
use crate::kernel::Kernel;
use crate::time::Time;

impl<K: Kernel> Reactor<K> {
    /// The turn has done its work.
    #[inline]
    pub(super) fn end_turn(&mut self, now: Time) {
        if self.lent.budget.end_turn(now) {
            self.note_slow();
        }
    }

    /// A turn took so long that all peers noticed: tells whose protocols were called in that time.
    #[cold]
    fn note_slow(&mut self) {
        let Some(slow) = self.lent.budget.take_slow() else { return };
        let mut names = Vec::new();
        for (_, endpoint) in self.endpoints.iter_mut().enumerate().filter(|(index, _)| slow.concerns(*index)) {
            endpoint.stats.slow_turns += 1;
            names.push(format!("{} ({})", endpoint.name(), endpoint.protocol()));
        }
        if let Some(suppressed) = self.logs.slow.allow(self.moment.now) {
            let who = if names.is_empty() { "no listener".to_owned() } else { names.join(" or ") };
            log::warn!("a turn of the loop took {}, and served {who} in it{suppressed}", Rounded(slow.took));
        }
    }
}
