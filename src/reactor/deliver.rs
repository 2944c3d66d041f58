//! Delivers messages. Rule 5: what was sent in a visit is delivered after it, by budget, and its receivers wait in their queues.

use std::sync::Arc;

use super::{Owner, Reactor};
use crate::budget::Class;
use crate::connection::Took;
use crate::kernel::Kernel;
use crate::limits::MESSAGE_UNITS;
use crate::messages::{Handed, Parcel};
use crate::protocol::ConnectionId;
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Whether there are messages to deliver. Rule 6: none are delivered while too much output is pending.
    #[inline]
    pub(super) fn has_messages(&self) -> bool {
        self.alarm.is_rung() && !self.is_pressed()
    }

    /// Hands out the messages of each listener for as long as a listener may be visited. The rest waits for the next turn.
    #[cold]
    pub(super) fn deliver(&mut self) {
        self.alarm.reset();
        for index in 0..self.endpoints.len() as u16 {
            if !self.endpoints[index].site.exchange.is_waiting() {
                continue;
            }
            let exchange = Arc::clone(&self.endpoints[index].site.exchange);
            self.lent.budget.begin_visit(Class::Door, index);
            if !exchange.deliver(|to, parcel| self.hand_over(index, to, parcel)) {
                self.alarm.ring();
            }
        }
    }

    /// Hands a message to a connection, and queues its slot.
    fn hand_over(&mut self, index: u16, to: ConnectionId, parcel: Parcel<'_>) -> Handed {
        let token = to.token();
        if self.is_pressed() && matches!(parcel, Parcel::Cast(..)) {
            return Handed { taken: false, again: true, goes_on: false };
        }
        let bytes = match &parcel {
            Parcel::Post(message) => message.bytes().len(),
            Parcel::Cast(bytes, _) => bytes.len(),
        };
        // Rule 4: a message for an earlier owner of the slot is dropped.
        let slot = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation);
        // What a member misses is reported once its output is not full: at once, or when the kernel takes some.
        let mut is_full = false;
        let took = match slot.map(|slot| (&mut slot.owner, slot.queued, slot.endpoint)) {
            Some((Owner::Connection(connection), is_queued, endpoint)) => {
                let limits = &self.endpoints[endpoint].limits;
                let before = connection.pending_bytes();
                let took = match parcel {
                    Parcel::Post(message) => connection.take_post(message),
                    Parcel::Cast(bytes, when_full) => {
                        connection.take_cast(bytes, when_full, is_queued, limits, &mut self.lent.buffers)
                    }
                };
                self.totals.pending_bytes = self.totals.pending_bytes + connection.pending_bytes() - before;
                is_full = connection.is_held_back();
                took
            }
            _ => Took::Gone,
        };
        let stats = &mut self.endpoints.home(index).stats;
        match took {
            Took::Taken => stats.messages += 1,
            Took::Missed => stats.undelivered.add("no room"),
            Took::Closed => stats.undelivered.add("slow consumer"),
            Took::Gone => stats.undelivered.add("gone"),
            Took::Later => return Handed { taken: false, again: true, goes_on: false },
        }
        xray::about(token, || What::Message { bytes: bytes as u32, taken: took == Took::Taken });
        if matches!(took, Took::Taken | Took::Closed) || (took == Took::Missed && !is_full) {
            self.queue(token.slot);
        }
        if self.lent.budget.charge(MESSAGE_UNITS.saturating_add(bytes as u32)) {
            self.lent.budget.look(self.time());
        }
        Handed { taken: took == Took::Taken, again: false, goes_on: !self.lent.budget.is_spent() }
    }
}
