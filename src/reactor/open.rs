//! From a socket to a connection with its protocol: each way to a socket leads here.

use super::{Owner, Reactor, Remains};
use crate::amounts::Count;
use crate::connection::Connection;
use crate::connection::opening::Visited;
use crate::kernel::{Kernel, Token};
use crate::panics::catch;
use crate::peer::Peer;
use crate::protocol::{CloseReason, Refusal, StreamProtocol};
use crate::visit::{Left, Status};
use crate::xray::{self, What};

/// Why a peer gets no protocol.
pub(super) struct NotServed {
    /// The name of the counter.
    pub(super) reason: &'static str,
    /// What the service did, if it panicked.
    bug: Option<String>,
}

impl<K: Kernel> Reactor<K> {
    /// Whether one more peer of that address is within the limit. If so, it is counted.
    pub(super) fn admits(&mut self, endpoint: u16, peer: &Peer) -> bool {
        let endpoint = &mut self.endpoints[endpoint];
        match endpoint.limits.max_connections_per_ip {
            Some(most) if !endpoint.peers.admit(peer, most) => {
                let most = Count(most as u64, "connection");
                log::debug!("{}: closed {peer}: its address has {most} already", endpoint.name());
                false
            }
            _ => true,
        }
    }

    /// Has the service make a protocol for `peer`.
    ///
    /// # Errors
    /// The service refuses the peer, or has panicked.
    pub(super) fn connect(&self, endpoint: u16, peer: &Peer) -> Result<Box<dyn StreamProtocol>, NotServed> {
        let endpoint = &self.endpoints[endpoint];
        let service = endpoint.service.as_ref();
        match catch(|| service.map(|service| (service.connect)(peer))) {
            Ok(Some(Ok(protocol))) => Ok(protocol),
            Ok(Some(Err(Refusal(reason)))) => {
                log::debug!("{}: closed {peer}: refused: {reason}", endpoint.name());
                Err(NotServed { reason, bug: None })
            }
            connected => {
                let detail = connected.err().unwrap_or_default();
                let bug = format!("it panicked for a new connection{}", detail.detail());
                Err(NotServed { reason: "bug", bug: Some(bug) })
            }
        }
    }

    /// Logs why a peer is not served, if that is a bug of the service. The connection has been closed, so that the last records
    /// show its end.
    pub(super) fn tell_not_served(&mut self, endpoint: u16, who: Token, peer: &Peer, why: &NotServed) {
        if let Some(bug) = &why.bug {
            self.endpoints[endpoint].tell_bug(self.moment.now, who, Some(peer), bug);
        }
    }

    /// Lets the protocol of a new connection speak first; nothing happens yet if it opens still.
    pub(super) fn greet(&mut self, key: u32) {
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

    /// Goes on with the opening of a connection.
    pub(super) fn drive_opening(&mut self, key: u32) {
        let Some((Owner::Opening(opening), mut visit)) = self.visit(key) else { return };
        let now = visit.now;
        xray::about(visit.place.id.token(), || What::Visit);
        let Visited::Left(Left { status, deadline }) = opening.drive(&mut visit) else {
            return self.complete(key);
        };
        xray::record(move || super::recording::left(status, 0, deadline, now));
        match status {
            Status::Closed => return self.queue_over(key),
            Status::Again => self.queue(key),
            Status::Waiting | Status::WantsBuffer => {}
        }
        self.deadlines.arm(key, deadline);
    }

    /// The opening is complete: only now is it known who the peer is.
    fn complete(&mut self, key: u32) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        let (index, who) = (slot.endpoint, slot.token(key));
        let Owner::Opening(opening) = &slot.owner else { return };
        let peer = opening.peer();
        let connected = if self.admits(index, &peer) {
            let connected = self.connect(index, &peer);
            if connected.is_err() {
                self.endpoints[index].peers.leave(&peer);
            }
            connected
        } else {
            Err(NotServed { reason: "max_connections_per_ip", bug: None })
        };
        let slot = &mut self.slots[key as usize];
        let Owner::Opening(mut opening) = std::mem::replace(&mut slot.owner, Owner::Remains(Remains::Last)) else {
            return;
        };
        match connected {
            Ok(protocol) => {
                let limits = &self.endpoints[index].limits;
                let connection = Connection::new(opening.into_opened(), protocol, limits, self.moment.now);
                slot.owner = Owner::Connection(connection);
                self.greet(key);
                // What came behind the opening is owed no event.
                self.queue(key);
            }
            Err(why) => {
                opening.cut(CloseReason::Refused(why.reason));
                slot.owner = Owner::Opening(opening);
                self.queue_over(key);
                self.tell_not_served(index, who, &peer, &why);
            }
        }
    }
}
