//! The slab: who owns which slot.

use super::Reactor;
use crate::budget::Class;
use crate::connection::Connection;
use crate::connection::opening::Opening;
use crate::datagram::Mailbox;
use crate::kernel::{Kernel, Token};
use crate::listener::Listener;
use crate::protocol::Job;

/// What the loop owns at one place of its slab. There may be very many, so every byte of it counts.
pub(super) struct Slot<K: Kernel> {
    pub(super) generation: u32,
    /// Whether it stands in one of the queues.
    pub(super) queued: bool,
    /// Whether it stands in the list of those that wait for a buffer.
    pub(super) wants_buffer: bool,
    pub(super) endpoint: u16,
    pub(super) owner: Owner<K>,
}

impl<K: Kernel> Slot<K> {
    /// The token of its owner; its place in the slab is `key`.
    pub(super) fn token(&self, key: u32) -> Token {
        Token { slot: key, generation: self.generation }
    }

    /// Whether it is to be put into a queue: it stands in none so far.
    pub(super) fn mark_queued(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    /// The queue that its owner belongs into. What a connection left behind gets no visit: it is reaped when its job is done.
    fn class(&self) -> Option<Class> {
        match &self.owner {
            Owner::Listener(_) | Owner::Mailbox(_) => Some(Class::Door),
            Owner::Connection(connection) => Some(connection.class()),
            Owner::Opening(_) => Some(Class::Quiet),
            Owner::Remains(_) => None,
        }
    }
}

pub(super) enum Owner<K: Kernel> {
    Listener(Listener<K::Listener>),
    Mailbox(Box<Mailbox<K::Socket>>),
    /// A connection that has no protocol yet.
    Opening(Box<Opening<K::Stream>>),
    Connection(Connection<K::Stream>),
    /// A connection that is over but for a worker that is still busy for it: the slot stays, so that the number of jobs
    /// is bounded by the number of connections.
    Remains(Remains),
}

/// What the worker is at, that a connection left behind.
pub(super) enum Remains {
    /// A job whose result nobody wants any more. Then comes the last job, if there is one.
    Unwanted(Option<Job>),
    /// The last job. Nothing comes after it, whatever it returns.
    Last,
}

impl<K: Kernel> Reactor<K> {
    /// The slot that a token means, unless its owner is gone.
    pub(super) fn slot(&mut self, token: Token) -> Option<&mut Slot<K>> {
        // Rule 4: to the next owner of the slot it means nothing.
        self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
    }

    /// The token of the owner of a slot; one that nobody has, if nobody owns it.
    pub(super) fn token(&self, key: u32) -> Token {
        let generation = self.slots.get(key as usize).map_or(0, |slot| slot.generation);
        Token { slot: key, generation }
    }

    /// The token of the next slot to be inserted.
    pub(super) fn next_token(&mut self) -> Token {
        self.generation = self.generation.wrapping_add(1);
        Token { slot: self.slots.vacant_key() as u32, generation: self.generation }
    }

    /// Inserts a new owner, which gets its first visit without an event.
    pub(super) fn insert(&mut self, token: Token, endpoint: u16, owner: Owner<K>) {
        self.ledger.open(token.slot, self.moment.now);
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

    /// Has a slot visited, behind those of its class.
    pub(super) fn queue(&mut self, key: u32) {
        if let Some(class) = self.slots.get(key as usize).and_then(Slot::class) {
            self.queue_as(key, class);
        }
    }

    /// Has a slot visited behind those of a class, unless it stands in a queue.
    pub(super) fn queue_as(&mut self, key: u32, class: Class) {
        if self.slots.get_mut(key as usize).is_some_and(Slot::mark_queued) {
            self.queues.of(class).push_back(key);
        }
    }

    /// Has a slot reaped that is over. It is in no queue, or it would be visited instead.
    pub(super) fn queue_over(&mut self, key: u32) {
        let is_new = self.slots.get_mut(key as usize).is_some_and(Slot::mark_queued);
        debug_assert!(is_new, "slot {key} is over, and is in a queue already");
        if is_new {
            self.queues.over.push_back(key);
        }
    }

    pub(super) fn queue_all(&mut self) {
        for key in self.slots.iter().map(|(key, _)| key as u32).collect::<Vec<_>>() {
            self.queue(key);
        }
    }
}
