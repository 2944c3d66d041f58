//! Delivers messages. Rule 5: what was sent in a visit is delivered after it, by budget, and its receivers wait in their queues.

use std::sync::Arc;

use super::{Owner, Reactor};
use crate::budget::Class;
use crate::connection::Took;
use crate::kernel::{Kernel, Token};
use crate::limits::MESSAGE_UNITS;
use crate::messages::{Handed, Parcel};
use crate::protocol::{CloseReason, ConnectionId};
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
            let exchange = &self.endpoints[index].site.exchange;
            // An elder may share the exchange of an earlier endpoint, which has had the time of this turn.
            let is_shared = |exchange| {
                self.endpoints.iter().take(index.into()).any(|earlier| Arc::ptr_eq(&earlier.site.exchange, exchange))
            };
            if !exchange.is_waiting() || (self.endpoints.is_retired(index) && is_shared(exchange)) {
                continue;
            }
            let exchange = Arc::clone(exchange);
            self.lent.budget.begin_visit(Class::Door, index);
            let mut too_slow = Vec::new();
            if !exchange.deliver(|to, parcel| self.hand_over(index, to, parcel, &mut too_slow)) {
                self.alarm.ring();
            }
            // A reset drops what belongs to plug-ins, whose destructors may send messages: the exchange is not locked any more.
            for token in too_slow {
                self.reset_slow_consumer(token);
            }
        }
    }

    /// Hands a message to a connection, and queues its slot.
    fn hand_over(&mut self, index: u16, to: ConnectionId, parcel: Parcel<'_>, too_slow: &mut Vec<Token>) -> Handed {
        let token = to.token();
        if self.is_pressed() && matches!(parcel, Parcel::Cast(..)) {
            return Handed { taken: false, again: true, goes_on: false };
        }
        let bytes = match &parcel {
            Parcel::Post(post) => post.as_ref().map_or(0, |message| message.bytes().len()),
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
                    Parcel::Post(post) => connection.take_post(post),
                    Parcel::Cast(bytes, when_full) => connection.take_cast(bytes, when_full, is_queued, limits),
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
            Took::TooSlow => {
                stats.undelivered.add("slow consumer");
                too_slow.push(token);
            }
            Took::Gone => stats.undelivered.add("gone"),
            Took::Later => return Handed { taken: false, again: true, goes_on: false },
        }
        xray::about(token, || What::Message { bytes: bytes as u32, taken: took == Took::Taken });
        if took == Took::Taken || (took == Took::Missed && !is_full) {
            self.queue(token.slot);
        }
        if self.lent.budget.charge(MESSAGE_UNITS.saturating_add(bytes as u32)) {
            self.lent.budget.look(self.time());
        }
        Handed { taken: took == Took::Taken, again: false, goes_on: !self.lent.budget.is_spent() }
    }

    /// Resets a member of a group that had no room.
    fn reset_slow_consumer(&mut self, token: Token) {
        // Rule 4: the slot has the same owner, because no slot is freed while messages are delivered.
        if let Some(Owner::Connection(connection)) = self.slots.get_mut(token.slot as usize).map(|slot| &mut slot.owner)
        {
            xray::about(token, || What::Visit);
            connection.cut(CloseReason::Refused("slow consumer"), &mut self.lent.buffers);
            self.queue(token.slot);
        }
    }
}
