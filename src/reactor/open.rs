//! From a socket, whether it was accepted, connects (`connect.rs`) or was adopted, to a connection with its protocol.
//!
//! Rule 13: each socket is counted once. It is `accepted` when it gets its protocol, and `closed` by reason when that connection
//! ends. A socket without a protocol is `refused` by reason: by a limit, by its service or by its opening.

use super::{Owner, Reactor, Remains};
use crate::budget::Class;
use crate::connection::Connection;
use crate::connection::opener::Opens;
use crate::connection::opening::{Opened, Opening, Visited};
use crate::kernel::{Kernel, Token};
use crate::origin::Prefixes;
use crate::panics::catch;
use crate::peer::Peer;
use crate::protocol::{CloseReason, ConnectionId, Refusal, StreamProtocol};
use crate::stats::Stats;
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
    pub(super) fn take_in(&mut self, index: u16, stream: K::Stream, peer: &Peer, before: Before) -> bool {
        let token = self.next_token();
        xray::about(token, || What::Accepted { peer: peer.into(), endpoint: self.endpoints[index].served });
        if !self.endpoints[index].admits_user(peer) {
            log::debug!("{}: refused {peer}: its user is not one of allow_users", self.endpoints[index].name());
            self.refuse(token, index, peer, stream, "allow_users");
            return false;
        }
        let is_direct = matches!(before, Before::Nothing);
        let admitted = match before {
            Before::Nothing => self.admits(index, peer),
            Before::Refusal(reason) => Err(reason),
            Before::Opening(_) => Ok(()),
        };
        if let Err(reason) = admitted {
            log::debug!("{}: refused {peer}: {reason}", self.endpoints[index].name());
            self.refuse(token, index, peer, stream, reason);
            return false;
        }
        let now = self.moment.now;
        self.access.begin(token.slot, now);
        let owner = match before {
            Before::Nothing => match self.connect(index, peer) {
                Ok(protocol) => {
                    self.endpoints.home(index).stats.accepted += 1;
                    self.with_protocol(token.slot, index, Opened::at_once(stream, peer), protocol)
                }
                Err(why) => {
                    self.refuse(token, index, peer, stream, why.reason);
                    // Logged after the connection was closed, so that the last records show its end.
                    if let Some(bug) = &why.bug {
                        self.endpoints[index].log_bug(now, token, Some(peer), bug);
                    }
                    return false;
                }
            },
            Before::Opening(opens) => self.opens(index, Opening::new(stream, peer, opens, now)),
            Before::Refusal(_) => return false,
        };
        if is_direct {
            log::debug!("{token} {}: accepted {peer}", self.endpoints[index].name());
        }
        self.count_in(token, index, owner);
        self.queues.new.push(token.slot);
        self.start_protocol(token.slot);
        true
    }

    /// Inserts the owner of a socket, which counts against the limits from now on.
    pub(super) fn count_in(&mut self, token: Token, index: u16, owner: Owner<K>) {
        self.endpoints.home(index).connections += 1;
        self.endpoints.enter(index);
        self.totals.descriptors += self.endpoints[index].descriptors();
        self.insert(token, index, owner);
    }

    /// Makes the owner of a socket that begins with an opening.
    pub(super) fn opens(&mut self, endpoint: u16, opening: Opening<K::Stream>) -> Owner<K> {
        self.endpoints.home(endpoint).opening += 1;
        Owner::Opening(Box::new(opening))
    }

    /// Makes the owner of a socket that has its protocol.
    fn with_protocol(
        &self,
        key: u32,
        endpoint: u16,
        opened: Opened<K::Stream>,
        protocol: Box<dyn StreamProtocol>,
    ) -> Owner<K> {
        let protocol = self.access.counting(key, protocol);
        Owner::Connection(Connection::new(opened, protocol, &self.endpoints[endpoint].limits, self.moment.now))
    }

    /// Starts the protocol of a connection whose opening is complete. `count` counts the connection.
    pub(super) fn start_opened(&mut self, key: u32, protocol: Box<dyn StreamProtocol>, count: fn(&mut Stats)) {
        let slot = &mut self.slots[key as usize];
        let index = slot.endpoint;
        let before = std::mem::replace(&mut slot.owner, Owner::Remains(Remains::Last));
        let Owner::Opening(opening) = before else { return };
        let endpoint = self.endpoints.home(index);
        endpoint.opening -= 1;
        count(&mut endpoint.stats);
        let owner = self.with_protocol(key, index, opening.into_opened(), protocol);
        self.slots[key as usize].owner = owner;
        self.start_protocol(key);
    }

    /// Closes a socket that has no slot yet and will not be served.
    fn refuse(&mut self, token: Token, endpoint: u16, peer: &Peer, stream: K::Stream, reason: &'static str) {
        self.endpoints[endpoint].stats.refused.add(reason);
        self.kernel.close(stream);
        xray::record(|| What::Closed(reason));
        self.log_refused(token, endpoint, peer, reason);
    }

    /// Decides by the address or the user of a peer whether it may come, by the newest configuration. If so, its connection is
    /// counted.
    ///
    /// # Errors
    /// The reason by which it is refused.
    fn admits(&mut self, index: u16, peer: &Peer) -> Result<(), &'static str> {
        let now = self.moment.now;
        let limits = &self.endpoints[index].limits;
        let (most, prefixes) = (limits.max_connections_per_ip, Prefixes::of(limits));
        let home = self.endpoints.home(index);
        home.gate.admit(peer, now)?;
        match most {
            Some(most) if !home.peers.admit(prefixes.origin(peer), most) => Err("max_connections_per_ip"),
            _ => Ok(()),
        }
    }

    /// Counts one connection less of the origin of `peer`, if the limits that it has kept count it.
    pub(super) fn uncount(&mut self, index: u16, peer: &Peer) {
        let limits = &self.endpoints[index].limits;
        if limits.max_connections_per_ip.is_some() {
            let origin = Prefixes::of(limits).origin(peer);
            self.endpoints.home(index).peers.leave(origin);
        }
    }

    /// Makes a protocol for `peer`, which has been counted. After a reload, the newest service makes it.
    ///
    /// # Errors
    /// The service refused the peer, or panicked: the peer is no longer counted.
    fn connect(&mut self, index: u16, peer: &Peer) -> Result<Box<dyn StreamProtocol>, NotServed> {
        let endpoint = self.endpoints.home(index);
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
        self.uncount(index, peer);
        Err(why)
    }

    /// Calls the protocol of a new connection for the first time. Does nothing if the slot is still in its opening.
    fn start_protocol(&mut self, key: u32) {
        if let Some((Owner::Connection(connection), mut visit)) = self.visit(key) {
            xray::about(visit.place.id.token(), || What::Visit);
            connection.open(&mut visit);
            let errand = visit.errand.take();
            self.totals.pending_bytes += connection.pending_bytes();
            if let Some(errand) = errand {
                self.run_errand(key, errand);
            }
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
            self.ledger.add(key, moved.0, moved.1, pending_after > 0);
        }
        match visited {
            Visited::Left(left @ Left { status, deadline }) => {
                xray::record(move || super::recording::left(status, pending_after, deadline, now));
                self.settle(key, left, errand, Class::Loud);
            }
            Visited::Complete => {
                if let Some(errand) = errand {
                    self.run_errand(key, errand);
                }
                self.complete(key);
            }
        }
    }

    /// Notes the proxy of a connection whose opening is complete, and logs who has come. If a proxy itself checks whether the server
    /// is there, the line is left to `trace`.
    fn note_opened(&mut self, key: u32) {
        let slot = &self.slots[key as usize];
        let Owner::Opening(opening) = &slot.owner else { return };
        let token = slot.token(key);
        let id = ConnectionId::of(token);
        let endpoint = &mut self.endpoints[slot.endpoint];
        if opening.proxy().is_some() || opening.is_probe() {
            endpoint.site.proxies.note(id, opening.proxy());
        }
        let proxies = &endpoint.site.proxies;
        let level = if opening.is_probe() { log::Level::Trace } else { log::Level::Debug };
        log::log!(level, "{token} {}: accepted {}{}", endpoint.name(), opening.peer(), proxies.beside(id));
    }

    /// Moves a connection that has no protocol yet from an elder to its home, whose service it gets: a reload has come between.
    /// Returns the index of the home.
    fn go_home(&mut self, key: u32, index: u16) -> u16 {
        let home = self.endpoints.home_of(index);
        if home != index {
            self.slots[key as usize].endpoint = home;
            self.totals.descriptors += self.endpoints[home].descriptors();
            self.totals.descriptors -= self.endpoints[index].descriptors();
            self.endpoints.enter(home);
            self.leave_endpoint(index);
        }
        home
    }

    /// Makes the protocol of a connection after its opening. Limits by address apply now, because the opening may name the peer.
    fn complete(&mut self, key: u32) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        let index = slot.endpoint;
        let Owner::Opening(opening) = &slot.owner else { return };
        if let Some(asker) = opening.asker() {
            return self.connected(key, asker);
        }
        let peer = opening.peer();
        let index = self.go_home(key, index);
        self.note_opened(key);
        let connected = match self.admits(index, &peer) {
            Ok(()) => self.connect(index, &peer),
            Err(reason) => Err(reason.into()),
        };
        match connected {
            Ok(protocol) => {
                self.start_opened(key, protocol, |stats| stats.accepted += 1);
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
