//! Reaping: the only place where a slot is freed, so that within a turn a slot has one owner.

use super::access::Stage;
use super::{Owner, Reactor, Remains, Slot};
use crate::connection::opener::PROBE;
use crate::connection::{Connection, Ended};
use crate::kernel::Kernel;
use crate::limits::REAP_UNITS;
use crate::peer::Peer;
use crate::protocol::{CloseReason, ConnectionId};
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Frees the slots of closed owners, as many as the turn has time for, and wakes the listeners that waited for one.
    pub(super) fn reap(&mut self) {
        self.lent.budget.begin_reaping();
        while let Some(key) = self.queues.ended.pop_front() {
            self.reap_slot(key);
            if self.lent.budget.charge(REAP_UNITS) {
                self.lent.budget.look(self.time());
                // After a cut no connection waits for the turn to end, and CUT_GRACE is short.
                if self.lent.budget.reaping_time_is_up() && !self.is_cut() {
                    break;
                }
            }
        }
        if std::mem::take(&mut self.waiters.freed) {
            while let Some(key) = self.waiters.connections.pop() {
                if let Some(Slot { owner: Owner::Listener(listener), .. }) = self.slots.get_mut(key as usize) {
                    listener.waits_for_room = false;
                }
                self.queue(key);
            }
            self.wake_first_in_short();
        }
        debug_assert!(self.lent.outbox.is_empty(), "output of a connection that has closed");
    }

    /// Closes the owner of a slot. Frees the slot, unless a job is running or a last job must run first.
    pub(super) fn reap_slot(&mut self, key: u32) {
        self.deadlines.disarm(key);
        xray::about(self.token(key), || What::Reap);
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        slot.queued = false;
        self.lent.budget.serve(slot.endpoint);
        match std::mem::replace(&mut slot.owner, Owner::Remains(Remains::Last)) {
            Owner::Connection(connection) => self.reap_connection(key, connection),
            Owner::Opening(opening) => {
                self.totals.pending_bytes -= opening.pending_bytes();
                let peer = opening.peer();
                let Ended { transport, reason, bug, asked, .. } = opening.end();
                self.kernel.close(transport);
                let endpoint = self.endpoints.home(self.slots[key as usize].endpoint);
                endpoint.opening -= 1;
                let failed = asked.map(|asked| (asked, Self::count_connect_error(&mut endpoint.stats, reason)));
                if failed.is_none() {
                    endpoint.stats.refused.add(reason.name());
                }
                self.log_closed(key, &peer, reason, bug.as_deref());
                self.log_access(key, &peer, reason, Stage::Opening);
                self.release(key);
                if let Some((asked, error)) = failed {
                    self.connect_next(asked, error);
                }
            }
            Owner::Remains(_) => self.release(key),
            Owner::Listener(listener) => {
                self.kernel.close_listener(listener.socket);
                let slot = self.slots.remove(key as usize);
                self.leave_endpoint(slot.endpoint);
            }
            Owner::Mailbox(mailbox) => {
                let (socket, protocol) = mailbox.end();
                self.kernel.close_socket(socket);
                self.end_protocol(protocol);
                let slot = self.slots.remove(key as usize);
                self.leave_endpoint(slot.endpoint);
            }
        }
    }

    /// Closes a connection. Its slot is freed, unless a job is running or a last job must run first.
    fn reap_connection(&mut self, key: u32, connection: Connection<K::Stream>) {
        self.totals.pending_bytes -= connection.pending_bytes();
        self.drop_recording(self.token(key));
        let peer = connection.peer();
        let was_held_back = connection.is_held_back();
        let Ended { transport, reason, bug, last, job_out, other, relayed, within, .. } = connection.end();
        self.kernel.close(transport);
        let index = self.slots[key as usize].endpoint;
        self.endpoints[index].site.exchange.forget(ConnectionId::of(self.token(key)));
        if !self.totals.outgoing.remove(&key) {
            self.uncount(index, &peer);
        }
        let home = self.endpoints.home(index);
        home.stats.closed.add(reason.name());
        home.stats.held_back.1 += u64::from(was_held_back);
        self.log_closed(key, &peer, reason, bug.as_deref());
        let stage = match (relayed, job_out) {
            (true, _) => Stage::Relaying,
            (false, true) => Stage::Working,
            (false, false) => Stage::Within(within),
        };
        self.log_access(key, &peer, reason, stage);
        let was_connecting = self.end_other_side(self.token(key), other);
        match last {
            last if job_out && !was_connecting => {
                self.slots[key as usize].owner = Owner::Remains(Remains::Unwanted(last))
            }
            Some(job) => self.submit(key, job),
            None => self.release(key),
        }
    }

    /// Frees the slot of a connection, which then no longer counts against the limits.
    fn release(&mut self, key: u32) {
        let slot = self.slots.remove(key as usize);
        let endpoint = &mut self.endpoints[slot.endpoint];
        endpoint.site.proxies.forget(ConnectionId::of(slot.token(key)));
        self.totals.descriptors -= endpoint.descriptors();
        self.endpoints.home(slot.endpoint).connections -= 1;
        self.leave_endpoint(slot.endpoint);
        self.waiters.freed = true;
    }

    /// Logs that a connection has closed, and the bug if one was the reason.
    fn log_closed(&mut self, key: u32, peer: &Peer, reason: CloseReason, bug: Option<&str>) {
        let slot = &self.slots[key as usize];
        let endpoint = &mut self.endpoints[slot.endpoint];
        xray::record(|| What::Closed(reason.text()));
        let id = ConnectionId::of(slot.token(key));
        let proxies = &endpoint.site.proxies;
        // A proxy that only wants to see whether the server is there leaves no line.
        let is_probe = reason == CloseReason::Refused(PROBE) || proxies.is_itself(id);
        let level = if is_probe { log::Level::Trace } else { log::Level::Debug };
        log::log!(
            level,
            "{key}.{} {}: closed {peer}{}: {reason}",
            slot.generation,
            endpoint.name(),
            proxies.beside(id)
        );
        let rule = if let CloseReason::Bug(what) = reason { Some(what) } else { None };
        if let Some(what) = bug.or(rule) {
            let who = slot.token(key);
            endpoint.log_bug(self.moment.now, who, Some(peer), what);
        }
    }
}
