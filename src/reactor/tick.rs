//! Ticks: the regular call of a service, in the visits of its listener.

use super::{Owner, Reactor, Slot};
use crate::kernel::Kernel;
use crate::limits::CALL_UNITS;
use crate::panics::catch;
use crate::protocol::Tick;
use crate::time::Time;

impl<K: Kernel> Reactor<K> {
    /// Calls the service of a listener if its tick is due, and arms the next tick.
    pub(super) fn tick(&mut self, key: u32) {
        let Some(slot @ Slot { owner: Owner::Listener(_), .. }) = self.slots.get(key as usize) else { return };
        let (token, now) = (slot.token(key), self.moment.instant);
        let endpoint = &mut self.endpoints[slot.endpoint];
        let Some(Tick { every, due, call }) = endpoint.service.as_mut().and_then(|service| service.tick.as_mut())
        else {
            return;
        };
        let next = match *due {
            Some(at) if now < at => at,
            // From the last tick, so that a late loop causes no drift, but never twice in a row.
            Some(at) if now < at + *every => at + *every,
            _ => now + *every,
        };
        self.deadlines.arm(key, Time::since(self.moment.origin, next));
        if due.replace(next).is_some_and(|at| at <= now) {
            let sender = endpoint.site.exchange.sender();
            if let Err(panicked) = catch(|| call(now, &sender)) {
                let what = format!("panicked in its tick{}", panicked.detail());
                endpoint.log_bug(self.moment.now, token, None, &what);
            }
            if self.lent.budget.charge(CALL_UNITS) {
                self.lent.budget.look(self.time());
            }
        }
    }
}
