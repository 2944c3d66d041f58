//! What comes before the protocol: an opener of the tests that reads one line, which says who the peer is.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::budget::{Budget, Class};
use crate::clock::Still;
use crate::connection::opening::{Opened, Opener, Opening, Opens, Progress, Visited};
use crate::kernel::Transport;
use crate::limits::{Limits, UNCONSUMED_BYTES_MAX};
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::protocol::{CloseReason, Place, Refusal, Site};
use crate::stats::Stats;
use crate::testing::every_split;
use crate::time::Time;
use crate::token::{ConnectionId, Token};
use crate::visit::{Left, Lent, Moment, Mood, Status, Visit};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const OPENS: Opens = Opens { opener: || Box::new(FromLine), timeout: TIMEOUT };

/// Reads `from ADDRESS` on a line, and answers `welcome`.
struct FromLine;

impl Opener for FromLine {
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal> {
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else { return Ok(Progress::More) };
        let line = std::str::from_utf8(&received[..end]).map_err(|_| Refusal("no text"))?;
        let address = line.strip_prefix("from ").and_then(|address| address.parse::<SocketAddr>().ok());
        out.extend_from_slice(b"welcome\n");
        let peer = Some(address.ok_or(Refusal("no address"))?.into());
        Ok(Progress::Done { consumed: end + 1, peer, layer: None })
    }
}

/// What happens at a call instead of what should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Error(ErrorKind),
    Short,
}

/// A socket on which pieces arrive, one with each event.
#[derive(Default)]
struct Pieces {
    arrived: Vec<u8>,
    finished: bool,
    sent: Vec<u8>,
    calls: usize,
    fault: Option<(usize, Fault)>,
}

impl Pieces {
    /// Whether a fault strikes now.
    fn fault(&mut self) -> io::Result<bool> {
        let call = self.calls;
        self.calls += 1;
        match self.fault.filter(|(at, _)| *at == call) {
            Some((_, Fault::Error(kind))) => Err(kind.into()),
            fault => Ok(fault.is_some()),
        }
    }
}

impl Transport for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = if self.fault()? { 1 } else { buffer.len() }.min(self.arrived.len());
        if most == 0 && !self.finished {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..most].copy_from_slice(&self.arrived[..most]);
        self.arrived.drain(..most);
        Ok(most)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = if self.fault()? { 1 } else { bytes.len() };
        self.sent.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        false
    }
}

struct Stage {
    opening: Opening<Pieces>,
    origin: Instant,
    stats: Stats,
}

impl Stage {
    fn new(fault: Option<(usize, Fault)>) -> Self {
        let origin = Instant::now();
        let socket = Pieces { fault, ..Pieces::default() };
        let peer = Peer::from(SocketAddr::from(([192, 0, 2, 1], 40_000)));
        let opening = Opening::new(socket, &peer, OPENS, Time::since(origin, origin));
        Self { opening, origin, stats: Stats::default() }
    }

    fn drive(&mut self, after: Duration, stopping: bool) -> Visited {
        let instant = self.origin + after;
        let (mut lent, limits) = (Lent::new(Budget::new(Time::since(self.origin, instant), None)), Limits::default());
        lent.budget.begin_visit(Class::Quiet, 0);
        let (moment, clock) = (Moment::new(self.origin, instant), Still(instant, SystemTime::UNIX_EPOCH));
        let site = Site { name: String::new(), address: SocketAddr::from(([192, 0, 2, 2], 9000)) };
        let place = Place { id: ConnectionId::of(Token { slot: 0, generation: 1 }), site: &site, clock: &clock };
        let mood = Mood { pressed: false, stopping };
        let mut visit = Visit::new(&mut lent, &moment, place, (&mut self.stats, &limits), mood);
        self.opening.drive(&mut visit)
    }

    /// Lets each piece arrive with an event of its own, until the opening is complete or closed. Returns what has not arrived.
    fn talk(&mut self, pieces: &[&[u8]], fin: bool) -> (Option<Left>, Vec<u8>) {
        let mut pieces: VecDeque<_> = pieces.iter().copied().collect();
        loop {
            match self.drive(Duration::ZERO, false) {
                Visited::Complete => return (None, pieces.into_iter().flatten().copied().collect()),
                Visited::Left(Left { status: Status::Again, .. }) => continue,
                Visited::Left(left) if left.status == Status::Closed => return (Some(left), Vec::new()),
                Visited::Left(left) => {
                    let socket = self.opening.socket_mut();
                    match pieces.pop_front() {
                        Some(piece) => socket.arrived.extend_from_slice(piece),
                        None if fin && !socket.finished => socket.finished = true,
                        None if socket.arrived.is_empty() && socket.calls > 200 => return (Some(left), Vec::new()),
                        None => {}
                    }
                    self.opening.note_ready(Readiness { readable: true, writable: true, in_doubt: true });
                }
            }
        }
    }

    fn opened(self) -> Opened<Pieces> {
        self.opening.into_opened()
    }
}

const HEADER: &[u8] = b"from 192.0.2.77:5\n";

fn check(stage: Stage, late: &[u8], rest: &[u8], what: &str) {
    let opened = stage.opened();
    assert_eq!(opened.peer.unpack().to_string(), "192.0.2.77:5", "{what}");
    let received = opened.received.clone();
    let socket = opened.line.into_transport();
    assert_eq!([&received, &socket.arrived[..], late].concat(), rest, "{what}");
    assert_eq!(socket.sent, b"welcome\n", "{what}");
}

#[test]
fn an_opening_reads_what_is_its_own_however_it_is_split() {
    every_split(&[HEADER, b"rest"].concat(), |chunks| {
        let mut stage = Stage::new(None);
        let (left, late) = stage.talk(chunks, false);
        assert!(left.is_none(), "{chunks:?}");
        check(stage, &late, b"rest", &format!("{chunks:?}"));
    });
}

#[test]
fn no_harmless_fault_changes_an_opening_and_a_reset_ends_it() {
    for call in 0..6 {
        for fault in [Fault::Error(ErrorKind::WouldBlock), Fault::Error(ErrorKind::Interrupted), Fault::Short] {
            let mut stage = Stage::new(Some((call, fault)));
            let (left, late) = stage.talk(&[b"from 192.0.2", b".77:5\nrest"], false);
            assert!(left.is_none(), "{fault:?} at {call}");
            check(stage, &late, b"rest", &format!("{fault:?} at {call}"));
        }
        let mut stage = Stage::new(Some((call, Fault::Error(ErrorKind::ConnectionReset))));
        if stage.talk(&[b"from 192.0.2", b".77:5\nrest"], false).0.is_some() {
            assert_eq!(stage.opening.end().1, CloseReason::Transport(ErrorKind::ConnectionReset), "at {call}");
        }
    }
}

#[test]
fn an_opening_that_is_refused_or_cut_short_says_why() {
    for (pieces, fin, reason) in [
        (&b"hello\n"[..], false, CloseReason::Refused("no address")),
        (b"from 192.0", true, CloseReason::Eof),
        (&[b'x'; UNCONSUMED_BYTES_MAX + 1], false, CloseReason::Refused("too long")),
    ] {
        let mut stage = Stage::new(None);
        assert!(stage.talk(&[pieces], fin).0.is_some());
        assert_eq!(stage.opening.end().1, reason);
    }
}

#[test]
fn an_opening_has_a_deadline_of_its_own_and_the_socket_is_asked_once_more() {
    let mut stage = Stage::new(None);
    let Visited::Left(left) = stage.drive(Duration::ZERO, false) else { panic!("nothing has arrived") };
    assert_eq!((left.status, left.deadline), (Status::Waiting, stage.opening.deadline()));
    stage.opening.socket_mut().arrived.extend_from_slice(HEADER);
    assert!(matches!(stage.drive(TIMEOUT, false), Visited::Complete), "what had arrived counts");

    let mut silent = Stage::new(None);
    assert!(matches!(silent.drive(TIMEOUT, false), Visited::Left(Left { status: Status::Closed, .. })));
    assert_eq!(silent.opening.end().1, CloseReason::OpeningTimeout);
}

#[test]
fn a_server_that_stops_waits_for_no_opening() {
    let mut stage = Stage::new(None);
    assert!(matches!(stage.drive(Duration::ZERO, true), Visited::Left(Left { status: Status::Closed, .. })));
    assert_eq!(stage.opening.end().1, CloseReason::Shutdown);
}
