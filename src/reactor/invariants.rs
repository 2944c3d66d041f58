//! What must be true between two turns, whatever happened. A simulation asks after each.

use super::{Owner, Reactor};
use crate::bulk::Buffers;
use crate::connection::Claim;
use crate::connection::opening::Opens;
use crate::kernel::{Kernel, Token};
use crate::time::Time;

/// What a reactor holds, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) listeners: usize,
    pub(crate) mailboxes: usize,
    pub(crate) connections: usize,
    /// Those of them that have no protocol yet.
    pub(crate) openings: usize,
    /// Slots of connections that are over but for their last job.
    pub(crate) remains: usize,
    /// Jobs whose results are awaited.
    pub(crate) jobs: usize,
    pub(crate) deadlines: usize,
    /// Buffers that uploads hold.
    pub(crate) buffers: usize,
    /// Uploads that wait for a buffer.
    pub(crate) buffer_waiters: usize,
    /// Bytes of output pending.
    pub(crate) pending_bytes: usize,
    /// Descriptors that connections may take.
    pub(crate) descriptors: usize,
    /// Notices that came for owners that were gone, and were ignored.
    pub(crate) stale_notices: u64,
}

impl<K: Kernel> Reactor<K> {
    /// Counts what there is, and says which rule of the house is broken, if any.
    pub(crate) fn census(&self) -> Result<Census, String> {
        let mut census = Census {
            deadlines: self.deadlines.len(),
            buffers: self.lent.buffers.lent(),
            descriptors: self.totals.descriptors,
            stale_notices: self.totals.stale_notices,
            ..Census::default()
        };
        for (key, slot) in &self.slots {
            let queued = self.queues.iter().filter(|ready| *ready as usize == key).count();
            if queued != usize::from(slot.queued) {
                return Err(format!("slot {key} stands {queued} times in the queues"));
            }
            match &slot.owner {
                Owner::Listener(listener) => {
                    census.listeners += 1;
                    let wakes = self.totals.descriptors > 0 || self.deadlines.at(key as u32) != Time::NEVER;
                    let is_short = self.waiters.descriptors.contains(key as u32);
                    // Those in front wake it, one after the other.
                    let front = self.waiters.descriptors.first().and_then(|first| self.slots.get(first as usize));
                    let is_woken = is_short && front.is_some_and(|front| front.queued);
                    let waits = wakes && (listener.waits_for_room || is_short);
                    if listener.paused.is_some() && !slot.queued && !is_woken && !waits {
                        return Err(format!("slot {key} does not accept, and nothing will change that"));
                    }
                }
                Owner::Mailbox(mailbox) => {
                    census.mailboxes += 1;
                    let endpoint = &self.endpoints[slot.endpoint];
                    if endpoint.stats.datagrams_accounted() + mailbox.unsent() as u64
                        != endpoint.stats.received_datagrams
                    {
                        return Err(format!("{} unsent, and datagrams do not add up: {endpoint}", mailbox.unsent()));
                    }
                }
                Owner::Opening(opening) => {
                    census.connections += 1;
                    census.openings += 1;
                    census.pending_bytes += opening.pending_bytes();
                    let checked = opening.check_waiting(slot.queued, self.deadlines.at(key as u32));
                    checked.map_err(|broken| format!("slot {key}: {broken}"))?;
                }
                Owner::Remains(_) => {
                    census.remains += 1;
                    // One that waits to be reaped has had its result.
                    census.jobs += usize::from(!slot.queued);
                }
                Owner::Connection(connection) => {
                    census.connections += 1;
                    census.buffer_waiters += usize::from(slot.wants_buffer);
                    census.jobs += usize::from(connection.awaits_job());
                    census.pending_bytes += connection.pending_bytes();
                    let limits = &self.endpoints[slot.endpoint].limits;
                    let wakes = slot.queued || (slot.wants_buffer && !connection.is_closed());
                    let checked = connection.check_waiting(wakes).and_then(|()| connection.check_bounds(limits));
                    checked.map_err(|broken| format!("slot {key}: {broken}"))?;
                    let (due, armed) = (connection.deadline(limits), self.deadlines.at(key as u32));
                    if !slot.queued && armed > due {
                        return Err(format!("slot {key} is due at {due:?} and comes up at {armed:?}"));
                    }
                    if !slot.queued && due == Time::NEVER && !connection.awaits_job() {
                        return Err(format!("slot {key} has neither a deadline, nor a job, nor a visit before it"));
                    }
                }
            }
        }
        self.check_sums(&census)?;
        Ok(census)
    }

    /// Which endpoint's listener is the first of those that are short of descriptors.
    pub(crate) fn first_in_short(&self) -> Option<usize> {
        Some(self.slots.get(self.waiters.descriptors.first()? as usize)?.endpoint.into())
    }

    /// Lets all uploads together have fewer buffers, so that a simulation of few of them runs out.
    pub(crate) fn limit_buffers(&mut self, most: usize) {
        self.lent.buffers = Buffers::new(most);
    }

    /// Makes all connections open like this, in a simulation.
    pub(crate) fn open_with(&mut self, opens: Opens) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.opens = Some(opens));
    }

    /// What the connections that wait claim of their sockets.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (Token, Claim)> {
        self.slots.iter().filter_map(|(key, slot)| match &slot.owner {
            Owner::Connection(connection) => Some((slot.token(key as u32), connection.claim())),
            Owner::Opening(opening) => Some((slot.token(key as u32), opening.claim())),
            _ => None,
        })
    }

    /// The listeners and UDP sockets that wait because nothing is left, as they believe.
    pub(crate) fn drained(&self) -> impl Iterator<Item = Token> {
        self.slots.iter().filter_map(|(key, slot)| {
            let drained = match &slot.owner {
                Owner::Listener(listener) => listener.paused.is_none(),
                Owner::Mailbox(mailbox) => mailbox.is_drained(),
                Owner::Opening(_) | Owner::Connection(_) | Owner::Remains(_) => false,
            };
            (drained && !slot.queued).then_some(slot.token(key as u32))
        })
    }

    fn check_sums(&self, census: &Census) -> Result<(), String> {
        let lives = |key: u32| self.slots.contains(key as usize);
        let open: usize = self.endpoints.iter().map(|endpoint| endpoint.connections).sum();
        let opening: usize = self.endpoints.iter().map(|endpoint| endpoint.opening).sum();
        let visits = !self.queues.are_empty();
        let served = census.buffer_waiters == 0 || self.lent.buffers.free() == 0 || visits;
        let rules = [
            (self.queues.iter().all(lives), "a queue names a slot that is free"),
            (self.lent.outbox.is_empty(), "output is left in the outbox that all share"),
            (self.totals.pending_bytes == census.pending_bytes, "pending_bytes is not the sum of what is pending"),
            (opening == census.openings, "the connections without a protocol do not add up"),
            (open == census.connections + census.remains, "the open connections do not add up"),
            (served, "an upload waits for a buffer although there is one, and nobody is about to wake it"),
            (census.deadlines <= self.slots.len(), "there are more deadlines than slots"),
        ];
        match rules.iter().find(|(kept, _)| !kept) {
            Some((_, broken)) => Err((*broken).to_owned()),
            None => Ok(()),
        }
    }
}
