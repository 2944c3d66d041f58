//! The slab: each slot has one owner.

use super::Reactor;
use crate::budget::Class;
use crate::connection::Connection;
use crate::connection::opening::Opening;
use crate::datagram::Mailbox;
use crate::kernel::{Kernel, Token};
use crate::listener::Listener;
use crate::protocol::Job;

/// One place of the slab. There may be a million slots, so every byte counts.
pub(super) struct Slot<K: Kernel> {
    /// Rule 4: tells this owner of the slot from earlier ones.
    pub(super) generation: u32,
    /// Whether the slot is in one of the queues.
    pub(super) queued: bool,
    /// Whether the slot is in the list of uploads that wait for a buffer.
    pub(super) wants_buffer: bool,
    /// The index of its listener.
    pub(super) endpoint: u16,
    /// The socket, with its driver.
    pub(super) owner: Owner<K>,
}

impl<K: Kernel> Slot<K> {
    /// Returns the token of its owner. `key`: the place of the slot in the slab.
    pub(super) fn token(&self, key: u32) -> Token {
        Token { slot: key, generation: self.generation }
    }

    /// Marks the slot as queued. Returns false if it already was.
    pub(super) fn mark_queued(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    /// Returns the class of its owner. Remains have none, because they are not visited: their last job frees the slot.
    fn class(&self) -> Option<Class> {
        match &self.owner {
            Owner::Listener(_) | Owner::Mailbox(_) => Some(Class::Door),
            Owner::Connection(connection) => Some(connection.class()),
            Owner::Opening(_) => Some(Class::Quiet),
            Owner::Remains(_) => None,
        }
    }
}

/// The owner of a slot.
pub(super) enum Owner<K: Kernel> {
    /// A listener.
    Listener(Listener<K::Listener>),
    /// A datagram socket.
    Mailbox(Box<Mailbox<K::Socket>>),
    /// A connection that has no protocol yet.
    Opening(Box<Opening<K::Stream>>),
    /// A connection with its protocol.
    Connection(Connection<K::Stream>),
    /// Rule 6: a closed connection keeps its slot while a worker runs its job, so that the number of jobs is bounded by the
    /// number of connections.
    Remains(Remains),
}

/// The job that a worker runs for a closed connection.
pub(super) enum Remains {
    /// A job whose result is no longer needed. The last job follows, if there is one.
    Unwanted(Option<Job>),
    /// The last job. Its result is ignored.
    Last,
}

impl<K: Kernel> Reactor<K> {
    /// Returns the slot that a token names, unless its owner has closed.
    pub(super) fn slot(&mut self, token: Token) -> Option<&mut Slot<K>> {
        // Rule 4: a token does not name the next owner of its slot.
        self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
    }

    /// Returns the token of the owner of a slot; for a free slot, one that no owner has.
    pub(super) fn token(&self, key: u32) -> Token {
        let generation = self.slots.get(key as usize).map_or(0, |slot| slot.generation);
        Token { slot: key, generation }
    }

    /// Returns the token of the next owner to be inserted.
    pub(super) fn next_token(&mut self) -> Token {
        self.generation = self.generation.wrapping_add(1);
        Token { slot: self.slots.vacant_key() as u32, generation: self.generation }
    }

    /// Inserts a new owner, and queues it: its first visit needs no event.
    pub(super) fn insert(&mut self, token: Token, endpoint: u16, owner: Owner<K>) {
        self.ledger.new_owner(token.slot, self.moment.now);
        let key = self.slots.insert(Slot {
            generation: token.generation,
            queued: false,
            wants_buffer: false,
            endpoint,
            owner,
        });
        debug_assert_eq!(key, token.slot as usize, "the token was made for this slot");
        self.queue(token.slot);
    }

    /// Queues a slot behind the others of its class.
    pub(super) fn queue(&mut self, key: u32) {
        if let Some(class) = self.slots.get(key as usize).and_then(Slot::class) {
            self.queue_as(key, class);
        }
    }

    /// Queues a slot behind the others of `class`, unless it is in a queue already.
    pub(super) fn queue_as(&mut self, key: u32, class: Class) {
        if self.slots.get_mut(key as usize).is_some_and(Slot::mark_queued) {
            self.queues.of(class).push_back(key);
        }
    }

    /// Queues a slot for reaping. The slot must not be in a queue already, or it would be visited instead.
    pub(super) fn queue_ended(&mut self, key: u32) {
        let is_new = self.slots.get_mut(key as usize).is_some_and(Slot::mark_queued);
        debug_assert!(is_new, "slot {key} has ended, but is in a queue already");
        if is_new {
            self.queues.ended.push_back(key);
        }
    }

    /// Queues all slots.
    pub(super) fn queue_all(&mut self) {
        for key in self.slots.iter().map(|(key, _)| key as u32).collect::<Vec<_>>() {
            self.queue(key);
        }
    }
}
