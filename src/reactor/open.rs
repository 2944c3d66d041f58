//! From a socket, whether it was accepted, connects or was adopted, to a connection with its protocol.
//!
//! Rule 13: each socket is counted once. It is `accepted` when it gets its protocol, and `closed` by reason when that connection
//! ends. A socket without a protocol is `refused` by reason: by a limit, by its service, by its opening, or because it cannot be
//! registered.

use super::{Owner, Reactor, Remains};
use crate::budget::Class;
use crate::connection::Connection;
use crate::connection::opening::{Opened, Opening, Opens, Visited};
use crate::kernel::Kernel;
use crate::panics::catch;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::{CloseReason, ConnectionId, Refusal, StreamProtocol};
use crate::visit::Left;
use crate::xray::{self, What};

/// What a socket does before it gets its protocol.
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// An opening.
    Opening(Opens),
    /// It gets none, for this reason.
    Refusal(&'static str),
    /// An opening that begins with a connect in progress.
    #[cfg_attr(not(test), expect(dead_code, reason = "no part of the server connects yet, but its tests"))]
    Connect(Opens),
}

/// Why a peer gets no protocol.
struct NotServed {
    /// The reason by which it is counted.
    reason: &'static str,
    /// The panic of the service, if that is the reason.
    bug: Option<String>,
}

impl From<&'static str> for NotServed {
    fn from(reason: &'static str) -> Self {
        Self { reason, bug: None }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Takes a socket into a slot. `peer` is the peer that the kernel names. Returns whether the socket was admitted.
    pub(super) fn take_in(&mut self, index: u16, mut stream: K::Stream, peer: &Peer, before: Before) -> bool {
        let token = self.next_token();
        xray::about(token, || What::Accepted { peer: peer.into(), endpoint: index });
        let is_direct = matches!(before, Before::Nothing);
        let admitted = match before {
            Before::Nothing => self.admits(index, peer),
            Before::Refusal(reason) => Err(reason),
            Before::Opening(_) | Before::Connect(_) => Ok(()),
        };
        if let Err(reason) = admitted {
            log::debug!("{}: refused {peer}: {reason}", self.endpoints[index].name());
            self.refuse(index, stream, reason);
            return false;
        }
        // Rule 3: registered once; no request registers anything.
        if let Err(error) = self.kernel.register(&mut stream, token) {
            log::debug!("{}: refused {peer}: cannot be registered: {error}", self.endpoints[index].name());
            if is_direct {
                self.endpoints[index].peers.leave(peer);
            }
            self.refuse(index, stream, "cannot be registered");
            return false;
        }
        let now = self.moment.now;
        let owner = match before {
            Before::Nothing => match self.connect(index, peer) {
                Ok(protocol) => self.accepted(index, Opened::at_once(stream, peer), protocol),
                Err(why) => {
                    self.refuse(index, stream, why.reason);
                    // Logged after the connection was closed, so that the last records show its end.
                    if let Some(bug) = &why.bug {
                        self.endpoints[index].log_bug(now, token, Some(peer), bug);
                    }
                    return false;
                }
            },
            Before::Opening(opens) => self.opens(index, Opening::new(stream, peer, opens, now)),
            Before::Connect(opens) => self.opens(index, Opening::connecting(stream, peer, opens, now)),
            Before::Refusal(_) => return false,
        };
        let endpoint = &mut self.endpoints[index];
        endpoint.connections += 1;
        self.totals.descriptors += endpoint.descriptors();
        if is_direct {
            log::debug!("{token} {}: accepted {peer}", self.endpoints[index].name());
        }
        self.insert(token, index, owner);
        self.start_protocol(token.slot);
        true
    }

    /// Makes the owner of a socket that begins with an opening.
    fn opens(&mut self, endpoint: u16, opening: Opening<K::Stream>) -> Owner<K> {
        self.endpoints[endpoint].opening += 1;
        Owner::Opening(Box::new(opening))
    }

    /// Makes the owner of a socket that has its protocol.
    fn accepted(&mut self, endpoint: u16, opened: Opened<K::Stream>, protocol: Box<dyn StreamProtocol>) -> Owner<K> {
        let endpoint = &mut self.endpoints[endpoint];
        endpoint.stats.accepted += 1;
        Owner::Connection(Connection::new(opened, protocol, &endpoint.limits, self.moment.now))
    }

    /// Closes a socket that has no slot yet and will not be served.
    fn refuse(&mut self, endpoint: u16, stream: K::Stream, reason: &'static str) {
        self.endpoints[endpoint].stats.refused.add(reason);
        self.kernel.close(stream);
        xray::record(|| What::Closed(reason));
    }

    /// Decides by the address of a peer whether it may come. If so, its connection is counted.
    ///
    /// # Errors
    /// The reason by which it is refused.
    fn admits(&mut self, endpoint: u16, peer: &Peer) -> Result<(), &'static str> {
        let endpoint = &mut self.endpoints[endpoint];
        endpoint.gate.admit(peer, self.moment.now)?;
        match endpoint.limits.max_connections_per_ip {
            Some(most) if !endpoint.peers.admit(peer, most) => Err("max_connections_per_ip"),
            _ => Ok(()),
        }
    }

    /// Makes a protocol for `peer`, which has been counted.
    ///
    /// # Errors
    /// The service refused the peer, or panicked: the peer is no longer counted.
    fn connect(&mut self, endpoint: u16, peer: &Peer) -> Result<Box<dyn StreamProtocol>, NotServed> {
        let endpoint = &mut self.endpoints[endpoint];
        let service = endpoint.service.as_ref();
        let why = match catch(|| service.map(|service| (service.connect)(peer))) {
            Ok(Some(Ok(protocol))) => return Ok(protocol),
            Ok(Some(Err(Refusal(reason)))) => {
                log::debug!("{}: refused {peer}: {reason}", endpoint.name());
                reason.into()
            }
            connected => {
                let detail = connected.err().unwrap_or_default();
                let bug = format!("panicked for a new connection{}", detail.detail());
                NotServed { reason: "bug", bug: Some(bug) }
            }
        };
        endpoint.peers.leave(peer);
        Err(why)
    }

    /// Calls the protocol of a new connection for the first time. Does nothing if the slot is still in its opening.
    fn start_protocol(&mut self, key: u32) {
        if let Some((Owner::Connection(connection), mut visit)) = self.visit(key) {
            xray::about(visit.place.id.token(), || What::Visit);
            connection.open(&mut visit);
            let errand = visit.errand.take();
            self.totals.pending_bytes += connection.pending_bytes();
            self.run_errand(key, errand);
        }
    }

    /// Visits the opening of a connection.
    pub(super) fn drive_opening(&mut self, key: u32) {
        let Some((Owner::Opening(opening), mut visit)) = self.visit(key) else { return };
        let now = visit.now;
        xray::about(visit.place.id.token(), || What::Visit);
        let pending_before = opening.pending_bytes();
        let (received, sent) = (visit.stats.received_bytes, visit.stats.sent_bytes);
        let visited = opening.drive(&mut visit);
        let moved = (visit.stats.received_bytes - received, visit.stats.sent_bytes - sent);
        let errand = visit.errand.take();
        let pending_after = opening.pending_bytes();
        self.totals.pending_bytes = self.totals.pending_bytes + pending_after - pending_before;
        if self.ledger.is_counting() {
            self.ledger.add(key, moved.0, moved.1);
        }
        match visited {
            Visited::Left(left @ Left { status, deadline }) => {
                xray::record(move || super::recording::left(status, pending_after, deadline, now));
                self.settle(key, left, errand, Class::Loud);
            }
            Visited::Complete => {
                self.run_errand(key, errand);
                self.complete(key);
            }
        }
    }

    /// Notes the proxy of a connection whose opening is complete, and logs who has come. A proxy itself is mostly a check
    /// whether the server is there, so these lines are left to `trace`.
    fn note_proxy(&mut self, key: u32, peer: &Peer, proxy: Option<PackedPeer>) {
        let slot = &self.slots[key as usize];
        let token = slot.token(key);
        let endpoint = &mut self.endpoints[slot.endpoint];
        let id = ConnectionId::of(token);
        if proxy.is_some() || endpoint.gate.has_proxies() {
            endpoint.site.proxies.note(id, proxy);
        }
        let proxies = &endpoint.site.proxies;
        let level = if proxies.is_itself(id) { log::Level::Trace } else { log::Level::Debug };
        log::log!(level, "{token} {}: accepted {peer}{}", endpoint.name(), proxies.beside(id));
    }

    /// Makes the protocol of a connection after its opening. Limits by address apply now, because the opening may name the peer.
    fn complete(&mut self, key: u32) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        let index = slot.endpoint;
        let Owner::Opening(opening) = &slot.owner else { return };
        let peer = opening.peer();
        let proxy = opening.proxy();
        self.note_proxy(key, &peer, proxy);
        let connected = match self.admits(index, &peer) {
            Ok(()) => self.connect(index, &peer),
            Err(reason) => Err(reason.into()),
        };
        match connected {
            Ok(protocol) => {
                let slot = &mut self.slots[key as usize];
                let before = std::mem::replace(&mut slot.owner, Owner::Remains(Remains::Last));
                let Owner::Opening(opening) = before else { return };
                self.endpoints[index].opening -= 1;
                let owner = self.accepted(index, opening.into_opened(), protocol);
                self.slots[key as usize].owner = owner;
                self.start_protocol(key);
                // Rule 1: no event will come for bytes that the opening has already read.
                self.queue(key);
            }
            Err(NotServed { reason, bug }) => {
                if let Owner::Opening(opening) = &mut self.slots[key as usize].owner {
                    match bug {
                        Some(bug) => opening.cut(CloseReason::Bug("panicked for a new connection"), Some(bug)),
                        None => opening.refuse(reason),
                    }
                }
                self.queue_ended(key);
            }
        }
    }
}
