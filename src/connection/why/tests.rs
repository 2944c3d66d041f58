//! Each sentence, from a connection that is driven into its state.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};
use std::{io, mem};

use super::*;
use crate::budget::Budget;
use crate::bulk::Pipes;
use crate::clock::Still;
use crate::connection::opening::Opened;
use crate::kernel::{Pipe, Readiness};
use crate::protocol::Place;
use crate::protocol::{Context, Reply, Sink, Site, Step, StreamProtocol};
use crate::stats::Stats;
use crate::token::{ConnectionId, Token};
use crate::visit::{Lent, Moment, Mood, Status};

/// A peer that takes `window` bytes.
#[derive(Default)]
struct Peer {
    arrived: Vec<u8>,
    finished: bool,
    window: usize,
}

impl Transport for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrived.is_empty() && !self.finished {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let arrived = mem::take(&mut self.arrived);
        buffer[..arrived.len()].copy_from_slice(&arrived);
        Ok(arrived.len())
    }

    fn splices(&self) -> bool {
        true
    }

    fn splice(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        match self.finished && self.arrived.is_empty() {
            true => Ok(0),
            false => pipe
                .take_arrived(&mut mem::take(&mut self.arrived).into(), most)
                .ok_or_else(|| io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match mem::take(&mut self.window).min(bytes.len()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => {
                self.window = usize::MAX - count;
                Ok(count)
            }
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        true
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn write_all(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn takes_pipes(&self) -> bool {
        true
    }
}

/// Does what the first letter of its input asks for.
struct Puppet;

impl StreamProtocol for Puppet {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        Ok(match input[0] {
            b'r' => Step::wait(Within::Request),
            b'b' => Step::wait(Within::Body),
            b'q' => Step::wait_quiet(Within::Request, Duration::from_millis(50)),
            b'j' => Step::run(|| ()).consuming(1),
            b'u' => Step::bulk(Nowhere, 1 << 30, |_: &mut Self, _, _, _| Ok(Step::finish())).consuming(1),
            b'f' => Step::finish(),
            b'o' => {
                cx.out.extend_from_slice(&[b'o'; 256 * 1024]);
                Step::again(1)
            }
            b'F' => {
                cx.out.extend_from_slice(&[b'F'; 1024]);
                Step::finish()
            }
            _ => {
                cx.out.extend_from_slice(b".");
                Step::again(1)
            }
        })
    }
}

/// A connection that was made ten seconds before it is asked.
struct Stage {
    connection: Connection<Peer>,
    limits: Limits,
    origin: Instant,
    pressed: bool,
    has_pipes: bool,
}

impl Stage {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let origin = Instant::now();
        let start = Time::since(origin, origin);
        let peer = Peer { window: 0, ..Peer::default() };
        let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let connection = Connection::new(Opened::at_once(peer, &address.into()), Box::new(Puppet), &limits, start);
        Self { connection, limits, origin, pressed: false, has_pipes: false }
    }

    /// Makes `bytes` arrive `milliseconds` after the start.
    fn at(mut self, milliseconds: u64, bytes: &[u8]) -> Self {
        self.connection.line.transport.arrived = bytes.to_vec();
        self.connection.note_ready(Readiness { readable: true, ..Readiness::default() });
        self.drive(milliseconds);
        self
    }

    fn drive(&mut self, milliseconds: u64) -> Status {
        let (mut lent, mut stats) = (Lent::new(Budget::new(self.time(0), None)), Stats::default());
        if self.has_pipes {
            lent.buffers.pipes = Pipes::new(Box::new(|| Ok(Pipe::in_memory(100, 5))), 2).hurried(2);
        }
        let moment = Moment::new(self.origin, self.origin + Duration::from_millis(milliseconds));
        let mood = Mood { pressed: self.pressed, stopping: false };
        let clock = Still(moment.instant, SystemTime::UNIX_EPOCH);
        let site = Site::new(String::new(), SocketAddr::from(([192, 0, 2, 2], 9000)));
        let place = Place { id: ConnectionId::of(Token { slot: 0, generation: 1 }), site: &site, clock: &clock };
        let mut visit = Visit::new(&mut lent, &moment, place, (&mut stats, &self.limits), mood);
        self.connection.drive(&mut visit).status
    }

    fn time(&self, milliseconds: u64) -> Time {
        Time::since(self.origin, self.origin + Duration::from_millis(milliseconds))
    }

    /// Returns the sentence ten seconds after the start.
    fn why(&self) -> String {
        self.connection.why(&self.limits, self.time(10_000), false).to_string()
    }
}

fn stage() -> Stage {
    Stage::new(|_| {})
}

#[test]
fn waiting_for_a_request_is_shown_with_its_age_and_its_deadline() {
    assert_eq!(stage().why(), "idle for 10.0 s, closed in 20.0 s unless a request comes");
    assert_eq!(
        stage().at(1_000, b"r").at(8_000, b"more").why(),
        "in the middle of a request: its first byte came 9.0 s ago, the last 2.0 s ago, closed in 21.0 s unless it is \
         complete"
    );
    assert_eq!(
        stage().at(1_000, b"b").why(),
        "in the middle of a body: the last byte came 9.0 s ago, closed in 21.0 s unless more comes"
    );
    assert_eq!(
        stage().at(9_990, b"q").why(),
        "waiting for a pause to end the message: the last byte came 10 ms ago, the protocol is notified in 40 ms unless \
         more comes"
    );
}

#[test]
fn waiting_for_a_reader_is_shown_with_pending_bytes_and_last_eagain() {
    assert_eq!(
        stage().at(6_800, b"o").why(),
        "waiting for the peer to read: 256 KiB pending, the last write said EAGAIN 3.2 s ago, closed in 26.8 s unless \
         it reads"
    );
    assert_eq!(
        stage().at(6_800, b"x").why(),
        "waiting for the peer to read, or to send more: 1 B pending, the last write said EAGAIN 3.2 s ago, closed in \
         26.8 s unless it reads"
    );
    let mut pressed = stage();
    pressed.pressed = true;
    assert_eq!(
        pressed.at(6_800, b"x").why(),
        "waiting for the peer to read, because all connections together have too much output: 1 B pending, the last \
         write said EAGAIN 3.2 s ago, closed in 26.8 s unless it reads"
    );
}

#[test]
fn an_edge_without_room_renews_the_eagain_but_not_the_deadline() {
    let mut stage = stage().at(1_000, b"o");
    stage.connection.note_ready(Readiness { writable: true, ..Readiness::default() });
    stage.drive(9_000);
    assert_eq!(
        stage.why(),
        "waiting for the peer to read: 256 KiB pending, the last write said EAGAIN 1.0 s ago, closed in 21.0 s unless \
         it reads"
    );
}

#[test]
fn waiting_for_a_worker_is_shown_and_only_the_lifetime_limits_it() {
    assert_eq!(
        stage().at(1_000, b"j").why(),
        "waiting for a worker to do a job: nothing else for 9.0 s, however long it takes"
    );
    let mortal = Stage::new(|limits| limits.lifetime = Some(Duration::from_secs(60)));
    assert_eq!(
        mortal.at(1_000, b"j").why(),
        "waiting for a worker to do a job: nothing else for 9.0 s, closed in 50.0 s whatever happens"
    );
    assert_eq!(
        stage().at(1_000, b"xj").why(),
        "waiting for a worker to do a job: nothing else for 9.0 s, closed in 21.0 s unless the peer reads; 1 B of \
         output pending"
    );
}

#[test]
fn an_upload_says_whether_the_peer_or_a_worker_or_a_buffer_is_missing() {
    assert_eq!(
        stage().at(1_000, b"u").why(),
        "waiting for more of an upload: 0 B so far, the last 9.0 s ago, closed in 21.0 s unless more comes"
    );
    let mut writing = stage().at(1_000, b"ucontents");
    assert_eq!(writing.why(), "waiting for more of an upload: 8 B so far, the last 9.0 s ago, however long it takes");
    let starved = writing.connection.why(&writing.limits, writing.time(10_000), true).to_string();
    assert_eq!(starved, "waiting for an upload buffer; all are in use: 8 B so far, however long it takes");
    writing.connection.line.transport.finished = true;
    assert_eq!(
        writing.at(2_000, b"").why(),
        "waiting for a worker to write an upload: 8 B so far, the last 9.0 s ago, however long it takes; the peer's FIN has come"
    );
    let spliced = Stage { has_pipes: true, ..stage().at(1_000, b"u") }.at(1_000, b"contents");
    assert_eq!(
        spliced.why(),
        "waiting for a worker to empty the pipe of an upload: 8 B so far, the last 9.0 s ago, however long it takes"
    );
}

#[test]
fn a_closing_connection_is_shown_with_its_reason_and_what_it_awaits() {
    assert_eq!(
        stage().at(6_800, b"F").why(),
        "closing (finished), 1 KiB still to send: the last write said EAGAIN 3.2 s ago, closed in 26.8 s unless the \
         peer reads"
    );
    assert_eq!(
        stage().at(9_500, b"f").why(),
        "closing (finished), waiting for the peer's FIN; ours was sent 500 ms ago, closed in 1.5 s at the latest"
    );
    assert_eq!(stage().at(9_500, b"f").at(11_500, b"").why(), "closed (finished)");
}

#[test]
fn a_deadline_that_has_passed_closes_now() {
    let stage = stage().at(1_000, b"o");
    let why = stage.connection.why(&stage.limits, stage.time(31_000), false);
    assert_eq!(
        why.to_string(),
        "waiting for the peer to read: 256 KiB pending, the last write said EAGAIN 30.0 s ago, closed now"
    );
    assert_eq!(
        format!("{why:#}"),
        "waiting for the peer to read: 256 KiB pending, the last write said EAGAIN 30.0 s ago"
    );
}
