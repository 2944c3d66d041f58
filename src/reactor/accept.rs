//! Accepting: whom to let in, and when to stop letting in.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;

use super::{Owner, Reactor, Slot};
use crate::connection::Connection;
use crate::kernel::Kernel;
use crate::limits::{ERROR_PAUSE, VISIT_ACCEPTS_MAX};
use crate::listener::{Accepted, Pause, lack_may_end};
use crate::panics::catch;
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Accepts within the budget of a visit.
    pub(super) fn drive_listener(&mut self, key: u32) {
        if self.is_cut() {
            return self.closed.push(key);
        }
        for _ in 0..VISIT_ACCEPTS_MAX {
            xray::about(self.token(key), || What::Visit);
            if let Some(reason) = self.no_room(key) {
                return self.pause(key, reason, None);
            }
            let stopping = self.is_stopping();
            let Some(Slot { owner: Owner::Listener(listener), endpoint, .. }) = self.slots.get_mut(key as usize) else {
                return;
            };
            if stopping && listener.accepted_while_stopping > self.endpoints[*endpoint as usize].backlog {
                return self.closed.push(key);
            }
            listener.paused = None;
            match listener.accept(&mut self.kernel) {
                Accepted::Connection(stream, peer) => self.admit(key, stream, peer),
                Accepted::Nobody if stopping => return self.closed.push(key),
                Accepted::Nobody => return,
                Accepted::Gone(reason, error) => {
                    self.endpoints[*endpoint as usize].stats.refused.add(reason);
                    log::debug!("a connection was gone before it was accepted: {error}");
                }
                Accepted::Exhausted(error) if stopping && !lack_may_end(&error) => {
                    let name = self.endpoints[*endpoint as usize].name();
                    log::warn!("{name}: connections that still wait are not accepted: {error}");
                    return self.closed.push(key);
                }
                Accepted::Exhausted(error) => return self.pause(key, "accept failed", Some(error)),
            }
        }
        self.queue_again(key);
    }

    /// Why nobody can be accepted at the moment, if so.
    fn no_room(&self, key: u32) -> Option<&'static str> {
        let slot = self.slots.get(key as usize)?;
        let endpoint = &self.endpoints[slot.endpoint as usize];
        if endpoint.places >= endpoint.limits.max_connections {
            Some("max_connections")
        } else if self.descriptors + endpoint.descriptors() > self.descriptors_max {
            Some("descriptors")
        } else {
            None
        }
    }

    /// Stops accepting until something is freed; after an error also until [`ERROR_PAUSE`] is over, since what lacks may
    /// be freed by somebody else. The accept queue holds those who come meanwhile.
    fn pause(&mut self, key: u32, reason: &'static str, error: Option<io::Error>) {
        xray::record(|| What::Paused(reason));
        let slot = &mut self.slots[key as usize];
        let endpoint = &mut self.endpoints[slot.endpoint as usize];
        if let Owner::Listener(listener) = &mut slot.owner {
            let errno = error.as_ref().map(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()));
            if listener.paused.replace(errno.map_or(Pause::Full(reason), Pause::Failed)).is_none() {
                endpoint.stats.paused.add(reason);
            }
            if !std::mem::replace(&mut listener.waits_for_room, true) {
                self.paused.push(key);
            }
        }
        if let Some(error) = error {
            self.deadlines.arm(key, self.now.after(ERROR_PAUSE));
            if let Some(suppressed) = self.accept_log.allow(self.now) {
                log::warn!("{}: accepting is paused: {error}{suppressed}", endpoint.name());
            }
        }
    }

    fn admit(&mut self, listener: u32, mut stream: K::Stream, peer: SocketAddr) {
        let index = self.slots[listener as usize].endpoint;
        let token = self.next_token();
        xray::about(token, || What::Accepted { peer: peer.into(), endpoint: index });
        let endpoint = &mut self.endpoints[index as usize];
        if let Some(most) = endpoint.limits.max_connections_per_ip
            && !endpoint.peers.admit(peer, most)
        {
            log::debug!("{}: closed {peer}: its address has {most} connections already", endpoint.name());
            return self.refuse(index, stream, "max_connections_per_ip");
        }
        if let Err(error) = self.kernel.register(&mut stream, token) {
            log::debug!("a connection cannot be registered: {error}");
            return self.turn_away(index, stream, peer, "cannot be registered");
        }
        let endpoint = &mut self.endpoints[index as usize];
        let service = endpoint.service.as_ref();
        let connect = || service.map(|service| service.connector.connect(peer));
        let protocol = match catch(connect) {
            Ok(Some(protocol)) => protocol,
            connected => {
                let detail = connected.err().unwrap_or_default();
                self.turn_away(index, stream, peer, "bug");
                let what = format!("it panicked for a new connection{}", detail.detail());
                return self.endpoints[index as usize].tell_bug(self.now, token, Some(peer), &what);
            }
        };
        endpoint.stats.accepted += 1;
        endpoint.places += 1;
        self.descriptors += endpoint.descriptors();
        if self.is_stopping()
            && let Owner::Listener(listener) = &mut self.slots[listener as usize].owner
        {
            listener.accepted_while_stopping += 1;
        }
        self.ledger.open(token.slot);
        log::debug!("{token} {}: accepted {peer}", self.endpoints[index as usize].name());
        let limits = &self.endpoints[index as usize].limits;
        let connection = Connection::new(stream, protocol, peer, limits, self.now);
        self.insert(token, index, Owner::Connection(connection));
        if let Some((Owner::Connection(connection), mut visit)) = self.visit(token.slot) {
            connection.open(&mut visit);
            let job = visit.job.take();
            self.pending_bytes += connection.pending_bytes();
            if let Some(job) = job {
                self.submit(token.slot, job);
            }
        }
    }

    /// Refuses somebody who counts among the connections of its address already.
    fn turn_away(&mut self, endpoint: u16, stream: K::Stream, peer: SocketAddr, reason: &'static str) {
        self.endpoints[endpoint as usize].peers.leave(peer);
        self.refuse(endpoint, stream, reason);
    }

    /// Closes what was accepted and will not be served.
    fn refuse(&mut self, endpoint: u16, stream: K::Stream, reason: &'static str) {
        self.endpoints[endpoint as usize].stats.refused.add(reason);
        self.kernel.close(stream);
        xray::record(|| What::Closed(reason));
    }
}
