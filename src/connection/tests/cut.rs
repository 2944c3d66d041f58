//! A connection that the server resets.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::Lines;
use crate::budget::{Budget, Class};
use crate::clock::Still;
use crate::connection::opening::Opened;
use crate::connection::{Connection, Ended};
use crate::kernel::{Readiness, Transport};
use crate::limits::Limits;
use crate::protocol::{CloseReason, Place, Site, StreamProtocol};
use crate::stats::Stats;
use crate::time::Time;
use crate::token::{ConnectionId, Token};
use crate::visit::{Lent, Moment, Mood, Status, Visit};

/// A peer that has sent something, and takes nothing before its window is opened.
pub(super) struct Gate {
    pub(super) arriving: &'static [u8],
    pub(super) open: bool,
    pub(super) taken: Vec<u8>,
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

/// Makes a connection of `protocol` through `gate`.
pub(super) fn connection(gate: Gate, protocol: impl StreamProtocol) -> Connection<Gate> {
    let opened = Opened::at_once(gate, &address().into());
    let now = Instant::now();
    Connection::new(opened, Box::new(protocol), &Limits::default(), Time::since(now, now))
}

/// Calls `call` with a quiet visit, in a turn of the loop `age` after its start.
pub(super) fn visit<R>(age: Duration, mood: Mood, call: impl FnOnce(&mut Visit<'_>) -> R) -> R {
    let (limits, origin) = (Limits::default(), Instant::now());
    let moment = Moment::new(origin, origin + age);
    let (mut lent, mut stats) = (Lent::new(Budget::new(moment.now, None)), Stats::default());
    lent.budget.begin_visit(Class::Quiet, 0);
    let clock = Still(moment.instant, SystemTime::UNIX_EPOCH);
    let site = Site::new(String::new(), address());
    let place = Place { id: ConnectionId::of(Token { slot: 0, generation: 1 }), site: &site, clock: &clock };
    call(&mut Visit::new(&mut lent, &moment, place, (&mut stats, &limits), mood))
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000))
}

#[test]
fn a_connection_that_was_cut_sends_nothing_even_if_its_peer_reads_again() {
    let gate = Gate { arriving: b"pending\n", open: false, taken: Vec::new() };
    let mut connection = connection(gate, Lines);
    assert_eq!(visit(Duration::ZERO, Mood::default(), |visit| connection.drive(visit)).status, Status::Waiting);
    assert_eq!(connection.pending_bytes(), b"pending\n".len());

    connection.line.transport.open = true;
    connection.note_ready(Readiness { writable: true, ..Readiness::default() });
    let left = visit(Duration::ZERO, Mood::default(), |visit| {
        connection.cut(CloseReason::Shutdown, visit.buffers);
        connection.drive(visit)
    });
    assert_eq!(left.status, Status::Closed);
    let Ended { transport, reason, .. } = connection.end();
    assert_eq!((transport.taken, reason), (Vec::new(), CloseReason::Shutdown));
}
