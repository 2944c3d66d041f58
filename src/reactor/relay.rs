//! Relays: the loop joins two connections, and calls `Connection::relay` with both in each visit of either.

use super::{Owner, Reactor};
use crate::budget::Class;
use crate::connection::Connection;
use crate::job::Outcome;
use crate::kernel::{Kernel, Token};
use crate::protocol::{CloseReason, ConnectionId, Continuation, Place};
use crate::visit::{Mood, Status, Visit};
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Joins the connection in a slot with another one. Both are visited next.
    pub(super) fn begin_relay(&mut self, key: u32, other: ConnectionId) {
        let (near, far) = (self.token(key), other.token());
        let Some([connection, other_half]) = self.joinable(near, far) else {
            // Rule 4: the number of an earlier owner does not name the connection that is in its slot now.
            return self.answer(near, Ok(Outcome::of(Continuation::no_relay())));
        };
        let before = connection.pending_bytes() + other_half.pending_bytes();
        connection.join(other);
        xray::about(far, || What::Visit);
        other_half.join(ConnectionId::of(near));
        let after = connection.pending_bytes() + other_half.pending_bytes();
        self.totals.pending_bytes = self.totals.pending_bytes + after - before;
        let endpoint = self.slots[near.slot as usize].endpoint;
        for half in [near, far] {
            // No message reaches it any more: it leaves its groups, and a post to it is refused.
            self.endpoints[endpoint].site.exchange.forget(ConnectionId::of(half));
            self.queue(half.slot);
        }
    }

    /// Returns both connections, if they may be joined.
    fn joinable(&mut self, near: Token, far: Token) -> Option<[&mut Connection<K::Stream>; 2]> {
        // Rule 4: `far` may be this connection itself, or an earlier owner of its slot. `Slab::get2_mut` panics for one key twice.
        if near.slot == far.slot {
            return None;
        }
        let (ours, other) = self.slots.get2_mut(near.slot as usize, far.slot as usize)?;
        let belongs = other.generation == far.generation && ours.endpoint == other.endpoint;
        match (&mut ours.owner, &mut other.owner) {
            (Owner::Connection(ours), Owner::Connection(other))
                if belongs && ours.awaits_errand() && other.may_relay_with(ConnectionId::of(near)) =>
            {
                Some([ours, other])
            }
            _ => None,
        }
    }

    /// Moves bytes between the connection in a slot, which was just visited, and the other half of its relay.
    pub(super) fn relay(&mut self, key: u32) {
        let near = self.token(key);
        let other = match self.slots.get(key as usize).map(|slot| &slot.owner) {
            Some(Owner::Connection(connection)) => connection.relays_with().map(ConnectionId::token),
            _ => None,
        };
        let pressed = self.is_pressed();
        let pair = other.and_then(|far| Some((far, self.slots.get2_mut(key as usize, far.slot as usize)?)));
        let Some((far, (ours, others))) = pair.filter(|(far, (_, others))| others.generation == far.generation) else {
            return self.lose_other_half(near);
        };
        let endpoint = &mut self.endpoints[ours.endpoint];
        let (Owner::Connection(connection), Owner::Connection(other)) = (&mut ours.owner, &mut others.owner) else {
            return self.lose_other_half(near);
        };
        let place = Place { id: ConnectionId::of(near), site: &endpoint.site, clock: &self.kernel };
        let mood = Mood { pressed, stopping: endpoint.stopping };
        let served = (&mut endpoint.stats, &endpoint.limits);
        let mut visit = Visit::new(&mut self.lent, &self.moment, place, served, mood);
        let before = [connection.pending_bytes(), other.pending_bytes()];
        let (status, moved) = connection.relay(other, &mut visit);
        let after = [connection.pending_bytes(), other.pending_bytes()];
        if self.ledger.is_counting() {
            let ended = [connection.is_closed(), other.is_closed()];
            for (half, slot) in [key, far.slot].into_iter().enumerate() {
                let pending = if ended[half] { before[half] } else { after[half] };
                self.ledger.add(slot, moved[half].received, moved[half].sent, pending > 0);
            }
        }
        let limits = &endpoint.limits;
        let halves = [(key, &*connection), (far.slot, &*other)]
            .map(|(slot, half)| (slot, half.relays_with().map(|_| half.deadline(limits))));
        self.totals.pending_bytes =
            self.totals.pending_bytes + after.iter().sum::<usize>() - before.iter().sum::<usize>();
        for (slot, deadline) in halves {
            match deadline {
                Some(deadline) => self.deadlines.arm(slot, deadline),
                // It has left the relay: its next visit closes it.
                None => self.queue(slot),
            }
        }
        if status == Status::Again {
            self.queue_as(key, Class::Loud);
        }
    }

    /// Resets a connection whose other half has ended, if it still relays.
    pub(super) fn lose_other_half(&mut self, half: Token) {
        let Some(slot) = self.slots.get_mut(half.slot as usize).filter(|slot| slot.generation == half.generation)
        else {
            return;
        };
        if let Owner::Connection(connection) = &mut slot.owner
            && connection.relays_with().is_some()
        {
            xray::about(half, || What::Visit);
            connection.cut(CloseReason::OtherSide, &mut self.lent.buffers);
            self.queue(half.slot);
        }
    }

    /// Ends what depends on a connection that has ended: the socket that connects for it, or the other half of its relay. A new
    /// connection that waits for it goes on. Returns whether a socket was connecting.
    pub(super) fn end_other_side(&mut self, ended: Token, other: Option<ConnectionId>) -> bool {
        let Some(half) = other.map(ConnectionId::token) else { return false };
        let is_joined = matches!(
            self.slot(half).map(|slot| &slot.owner),
            Some(Owner::Connection(connection)) if connection.relays_with() == Some(ConnectionId::of(ended))
        );
        if is_joined {
            self.lose_other_half(half);
        }
        self.let_go(ended, half);
        self.cancel_connect(ended, other)
    }
}
