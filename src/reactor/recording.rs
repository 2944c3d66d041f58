//! What the loop records for the X-ray.

use super::{Owner, Reactor, xray};
use crate::endpoint::Endpoint;
use crate::kernel::Kernel;
use crate::time::Time;
use crate::visit::Status;
use crate::xray::{Open, Recording, Served, Waits, What};

impl<K: Kernel> Reactor<K> {
    /// Returns the records of this thread since [`xray::start`](crate::xray::start); `None` if nothing is being recorded. Call it
    /// on the thread that runs the loop.
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        xray::recording(|| self.open_connections())
    }

    /// Writes the X-ray to its file, if it has one.
    pub(crate) fn save_xray(&self) {
        xray::save(|| self.open_connections());
    }

    /// Writes the X-ray for the last time, and waits until it is written.
    pub(crate) fn save_last_xray(&self) {
        xray::save_last(|| self.open_connections());
    }

    /// Returns the open connections, oldest first.
    fn open_connections(&self) -> Vec<Open> {
        let mut open: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(key, slot)| match &slot.owner {
                Owner::Connection(connection) => Some(Open {
                    who: self.token(key as u32),
                    peer: connection.peer(),
                    endpoint: self.endpoints[slot.endpoint].served,
                    full: connection.is_held_back(),
                }),
                Owner::Opening(opening) => Some(Open {
                    who: self.token(key as u32),
                    peer: opening.peer(),
                    endpoint: self.endpoints[slot.endpoint].served,
                    full: false,
                }),
                _ => None,
            })
            .collect();
        open.sort_by_key(|open| open.who.generation);
        open
    }

    /// Returns the record of a new turn.
    pub(super) fn turn_begins(&self, number: u64) -> What {
        let connections: usize = self.endpoints.iter().map(|endpoint| endpoint.connections).sum();
        What::Turn {
            number,
            connections: connections as u32,
            pending: bytes(self.totals.pending_bytes),
            pressed: self.totals.pending_bytes > self.totals.pending_bytes_max,
        }
    }
}

/// Returns the record of a listener or datagram socket.
pub(super) fn served(endpoint: &Endpoint) -> Served {
    Served {
        who: endpoint.door,
        name: endpoint.name().to_owned(),
        protocol: endpoint.protocol().to_owned(),
        url: endpoint.url(),
    }
}

/// Returns the record of a visit's end.
pub(super) fn left(status: Status, pending: usize, deadline: Time, now: Time) -> What {
    let status = match status {
        Status::Waiting | Status::Relays => Waits::Event,
        Status::Again => Waits::Turn,
        Status::WantsBuffer => Waits::Buffer,
        Status::Closed => Waits::Reaping,
    };
    let deadline = match deadline {
        Time::NEVER => u64::MAX,
        at => xray::nanoseconds(at.duration_from(now)),
    };
    What::Left { status, pending: bytes(pending), deadline }
}

/// Returns a number of bytes, at most `u32::MAX`.
fn bytes(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
