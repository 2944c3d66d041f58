//! A connection that the server resets.

use std::io;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use super::Lines;
use crate::budget::Budget;
use crate::clock::Still;
use crate::connection::opening::Opened;
use crate::connection::{Connection, Ended};
use crate::kernel::{Readiness, Transport};
use crate::limits::Limits;
use crate::protocol::{CloseReason, Place, Site};
use crate::stats::Stats;
use crate::time::Time;
use crate::token::{ConnectionId, Token};
use crate::visit::{Lent, Moment, Mood, Status, Visit};

/// A peer that has sent something, and takes nothing before its window is opened.
struct Gate {
    arriving: &'static [u8],
    open: bool,
    taken: Vec<u8>,
}

impl Transport for Gate {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        match std::mem::take(&mut self.arriving) {
            [] => Err(io::ErrorKind::WouldBlock.into()),
            arriving => io::Write::write(&mut buffer, arriving),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open { io::Write::write(&mut self.taken, bytes) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        true
    }
}

#[test]
fn a_connection_that_was_cut_sends_nothing_even_if_its_peer_reads_again() {
    let (limits, origin) = (Limits::default(), Instant::now());
    let now = Time::since(origin, origin);
    let gate = Gate { arriving: b"pending\n", open: false, taken: Vec::new() };
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let mut connection = Connection::new(Opened::at_once(gate, &address.into()), Box::new(Lines), &limits, now);
    let (mut lent, mut stats) = (Lent::new(Budget::new(now, None)), Stats::default());
    let (moment, clock) = (Moment::new(origin, origin), Still(origin, SystemTime::UNIX_EPOCH));
    let site = Site { name: String::new(), address };
    let mut visit = Visit::new(
        &mut lent,
        &moment,
        Place { id: ConnectionId::of(Token { slot: 0, generation: 1 }), site: &site, clock: &clock },
        (&mut stats, &limits),
        Mood::default(),
    );
    assert_eq!(connection.drive(&mut visit).status, Status::Waiting);
    assert_eq!(connection.pending_bytes(), b"pending\n".len());

    connection.line.transport_mut().open = true;
    connection.note_ready(Readiness { writable: true, ..Readiness::default() });
    connection.cut(CloseReason::Shutdown, visit.buffers);
    assert_eq!(connection.drive(&mut visit).status, Status::Closed);
    let Ended { transport, reason, .. } = connection.end();
    assert_eq!((transport.taken, reason), (Vec::new(), CloseReason::Shutdown));
}
