//! Accepting: which connections to admit, and when to pause.

use std::io;

use super::open::Before;
use super::{Owner, Reactor, Slot};
use crate::connection::opener::Opens;
use crate::connection::proxied::Proxied;
use crate::errno::{self, AcceptError, Code};
use crate::gate::{self, Source};
use crate::kernel::Kernel;
use crate::limits::{ACCEPT_UNITS, ERROR_PAUSE, VISIT_ACCEPTS_MAX, VISIT_ACCEPTS_MIN, VISIT_REFUSALS_MAX};
use crate::listener::{Accepted, Pause};
use crate::peer::Peer;
use crate::xray::{self, What};

/// The name of the limit that all listeners share.
const DESCRIPTORS: &str = "descriptors";

impl<K: Kernel> Reactor<K> {
    /// Accepts within the budget of a visit.
    pub(super) fn drive_listener(&mut self, key: u32) {
        if self.slots.get(key as usize).is_some_and(|slot| self.endpoints[slot.endpoint].cut) {
            return self.close_listener(key);
        }
        // Rule 5: refused peers do not count towards the connections that a visit accepts in any case.
        let (mut admitted, mut others) = (0, 0);
        while others < VISIT_REFUSALS_MAX
            && admitted < VISIT_ACCEPTS_MAX
            && (admitted < VISIT_ACCEPTS_MIN || !self.lent.budget.is_spent())
        {
            xray::about(self.token(key), || What::Visit);
            if let Some(reason) = self.no_room(key) {
                return self.pause(key, reason, None);
            }
            if self.waits_for_rate(key) {
                return;
            }
            let Some(Slot { owner: Owner::Listener(listener), endpoint, .. }) = self.slots.get_mut(key as usize) else {
                return;
            };
            let stopping = self.endpoints[*endpoint].stopping;
            if stopping && listener.accepted_while_stopping > self.endpoints[*endpoint].backlog {
                return self.close_listener(key);
            }
            listener.paused = None;
            match listener.accept(&mut self.kernel) {
                Accepted::Connection(stream, peer) => {
                    let index = *endpoint;
                    if self.admit(key, stream, &peer) {
                        // Peers that are refused take nothing of the rate of the others.
                        self.endpoints[index].gate.note_accepted(self.moment.now);
                        admitted += 1;
                        self.give_way_in_short(key);
                    } else {
                        others += 1;
                    }
                }
                Accepted::Empty if stopping => return self.close_listener(key),
                Accepted::Empty => return self.leave_short(key),
                Accepted::Gone(reason, error) => {
                    others += 1;
                    self.endpoints[*endpoint].stats.refused.add(reason);
                    log::debug!("a connection was gone before it was accepted: {error}");
                }
                Accepted::Exhausted(error) if stopping && errno::of_accept(&error) != AcceptError::Shortage => {
                    let name = self.endpoints[*endpoint].name();
                    log::warn!("{name}: connections that still wait are not accepted: {error}");
                    return self.close_listener(key);
                }
                Accepted::Exhausted(error) => return self.pause(key, "accept failed", Some(error)),
            }
            if self.lent.budget.charge(ACCEPT_UNITS) {
                self.lent.budget.look(self.time());
            }
        }
        self.queue(key);
    }

    /// Makes the listener close at the end of the turn.
    fn close_listener(&mut self, key: u32) {
        self.leave_short(key);
        self.queue_ended(key);
    }

    /// Returns the limit that prevents accepting, if one does.
    fn no_room(&self, key: u32) -> Option<&'static str> {
        let slot = self.slots.get(key as usize)?;
        let endpoint = &self.endpoints[slot.endpoint];
        if endpoint.connections >= endpoint.limits.max_connections {
            Some("max_connections")
        } else if self.totals.descriptors + endpoint.descriptors() > self.totals.descriptors_max
            || !self.waiters.descriptors.admits(key)
        {
            Some(DESCRIPTORS)
        } else {
            None
        }
    }

    /// Pauses accepting until a connection is freed. After an error it is also retried after [`ERROR_PAUSE`], because another
    /// process may free the resource. New connections wait in the accept queue.
    fn pause(&mut self, key: u32, reason: &'static str, error: Option<io::Error>) {
        xray::record(|| What::Paused(reason));
        if reason == DESCRIPTORS {
            self.waiters.descriptors.join(key);
        } else {
            self.leave_short(key);
        }
        let slot = &mut self.slots[key as usize];
        let endpoint = &mut self.endpoints[slot.endpoint];
        if let Owner::Listener(listener) = &mut slot.owner {
            let why = error.as_ref().map_or(Pause::Full(reason), |error| Pause::Failed(Code::of(error)));
            if listener.paused.replace(why).is_none() {
                endpoint.stats.paused.add(reason);
            }
            if reason != DESCRIPTORS && !std::mem::replace(&mut listener.waits_for_room, true) {
                self.waiters.connections.push(key);
            }
        }
        if let Some(error) = error {
            // Rule 5: accepting is certain to resume.
            self.deadlines.arm(key, self.moment.now.after(ERROR_PAUSE));
            if let Some(suppressed) = self.logs.accept.allow(self.moment.now) {
                log::warn!("{}: accepting is paused: {error}{suppressed}", endpoint.name());
            }
        }
    }

    /// Pauses accepting if the listener has accepted as many connections as its rate allows, until it allows the next one.
    /// Connections wait in the accept queue meanwhile. Returns whether it is paused.
    fn waits_for_rate(&mut self, key: u32) -> bool {
        let Some(Slot { owner: Owner::Listener(listener), endpoint, .. }) = self.slots.get_mut(key as usize) else {
            return false;
        };
        let endpoint = &mut self.endpoints[*endpoint];
        // A listener that stops serves what is in its queue, however much that is.
        if endpoint.stopping {
            return false;
        }
        let Some(at) = endpoint.gate.closed_until(self.moment.now) else { return false };
        if listener.paused.replace(Pause::Rate) != Some(Pause::Rate) {
            endpoint.stats.paused.add(gate::RATE);
        }
        xray::record(|| What::Paused(gate::RATE));
        self.deadlines.arm(key, at);
        self.leave_short(key);
        true
    }

    /// Takes an accepted socket into a slot. Returns whether it was admitted.
    fn admit(&mut self, listener: u32, stream: K::Stream, peer: &Peer) -> bool {
        let index = self.slots[listener as usize].endpoint;
        let endpoint = &self.endpoints[index];
        let before = match endpoint.gate.source(peer) {
            Source::Stranger => Before::Refusal("no trusted proxy"),
            Source::Proxy(timeout) => Before::Opening(Opens { opener: || Box::<Proxied>::default(), timeout }),
            Source::Client => endpoint.opens.map_or(Before::Nothing, Before::Opening),
        };
        let admitted = self.take_in(index, stream, peer, before);
        if admitted
            && self.endpoints[index].stopping
            && let Owner::Listener(listener) = &mut self.slots[listener as usize].owner
        {
            listener.accepted_while_stopping += 1;
        }
        admitted
    }
}
