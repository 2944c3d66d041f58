//! Two scripted peers at both sides of a relay, through the real driver, without a socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::wire::{Edges, Fault, Wire};
use crate::budget::{Budget, Class};
use crate::clock::Still;
use crate::connection::layer::Layer;
use crate::connection::opening::Opened;
use crate::connection::{Claim, Connection, Ended};
use crate::limits::Limits;
use crate::protocol::{CloseReason, ConnectionId, Context, Place, Reply, Site, Step, StreamProtocol, Within};
use crate::stats::Stats;
use crate::time::Time;
use crate::token::Token;
use crate::visit::{Left, Lent, Moment, Mood, Status, Visit};

/// One side of a relay.
#[derive(Clone)]
pub(crate) struct Side {
    /// Bytes that the kernel takes before a write blocks.
    pub(crate) window: usize,
    /// Whether the peer then reads all of them, and the kernel takes as many again.
    pub(crate) reads: bool,
    pub(crate) fault: Option<(usize, Fault)>,
    pub(crate) layer: Option<fn() -> Box<dyn Layer>>,
    /// Input that the protocol has left unconsumed.
    pub(crate) received: Vec<u8>,
    /// What the peer sends, and then a FIN, while this connection is new and waits for the other one.
    pub(crate) early: Option<&'static [u8]>,
}

impl Default for Side {
    fn default() -> Self {
        Self { window: usize::MAX, reads: true, fault: None, layer: None, received: Vec::new(), early: None }
    }
}

/// What the peer of a side does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Send(usize, Vec<u8>),
    Fin(usize),
    Reset(usize),
    /// It reads everything.
    Read(usize),
    Pause(Duration),
}

/// What a peer got, and how its connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) sent: Vec<u8>,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) reason: Option<CloseReason>,
    pub(crate) pending_max: usize,
    pub(crate) calls: usize,
    /// When its connection ended.
    pub(crate) ended: Duration,
}

/// A protocol that leaves everything to the relay.
struct Mute;

impl StreamProtocol for Mute {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

/// Both connections, and their wires.
pub(crate) struct Pair {
    sides: [Side; 2],
    wires: [Wire; 2],
    halves: [Option<Connection<Wire>>; 2],
    reasons: [Option<CloseReason>; 2],
    ended: [Duration; 2],
    pending_max: [usize; 2],
    limits: Limits,
    lent: Lent,
    stats: Stats,
    site: Site,
    origin: Instant,
    elapsed: Duration,
}

impl Pair {
    pub(crate) fn new(sides: [Side; 2], edges: Edges, limits: Limits) -> Self {
        let origin = Instant::now();
        let now = Time::since(origin, origin);
        let wires = sides.each_ref().map(|side| Wire::new(edges, side.window, side.fault));
        let address = SocketAddr::from(([192, 0, 2, 2], 9000));
        let halves = [0, 1].map(|side| {
            let opened = Opened::at_once(wires[side].clone(), &address_of(side));
            let opened = opened.with(&sides[side].received).through(sides[side].layer.map(|layer| layer()));
            Some(Connection::new(opened, Box::new(Mute), &limits, now))
        });
        let mut pair = Self {
            sides,
            wires,
            halves,
            reasons: [None; 2],
            ended: [Duration::ZERO; 2],
            pending_max: [0; 2],
            limits,
            lent: Lent::new(Budget::new(now, None)),
            stats: Stats::default(),
            site: Site::new("test", address),
            origin,
            elapsed: Duration::ZERO,
        };
        for side in [0, 1] {
            pair.visit(side, |connection, _, visit| connection.open(visit));
            pair.wires[side].world(|ends| ends.register(&[]));
            if let Some(bytes) = pair.sides[side].early {
                pair.wait_for_asker(side, bytes);
            }
            pair.half(side).join(id(1 - side));
        }
        pair
    }

    /// Lets a new connection wait for the other one, while its peer sends `bytes` and a FIN.
    fn wait_for_asker(&mut self, side: usize, bytes: &[u8]) {
        assert!(self.half(side).wait_for_asker(id(1 - side)) && self.half(side).may_relay_with(id(1 - side)));
        assert!(!self.half(side).may_relay_with(id(side)), "no other connection may join it");
        self.wires[side].world(|ends| ends.arrive(bytes));
        self.wires[side].world(|ends| ends.arrive_fin());
        let readiness = self.wires[side].world(|ends| ends.take_edges()).expect("an edge");
        self.half(side).note_ready(readiness);
        let left = self.visit(side, |connection, _, visit| connection.drive(visit));
        assert_eq!((left.status, left.deadline), (Status::Waiting, Time::NEVER), "the other one wakes it");
        assert_eq!(self.half(side).check_waiting(false), Ok(()));
    }

    /// Plays `acts`, then lets time pass until both connections have ended or `end` has passed.
    pub(crate) fn run(mut self, acts: &[Act], end: Duration) -> [Got; 2] {
        self.settle();
        for act in acts {
            match act {
                Act::Send(side, bytes) => self.wires[*side].world(|ends| ends.arrive(bytes)),
                Act::Fin(side) => self.wires[*side].world(|ends| ends.arrive_fin()),
                Act::Reset(side) => self.wires[*side].world(|ends| ends.arrive_reset()),
                Act::Read(side) => {
                    self.sides[*side].reads = true;
                    self.wires[*side].world(|ends| ends.open_window(usize::MAX));
                }
                Act::Pause(time) => self.pass(*time),
            }
            self.settle();
        }
        self.pass(end);
        [0, 1].map(|side| {
            let (reason, pending_max, ended) = (self.reasons[side], self.pending_max[side], self.ended[side]);
            self.wires[side].world(|ends| Got {
                sent: ends.writes().concat(),
                fin: ends.is_fin_sent(),
                reset: ends.is_reset_on_close(),
                reason,
                pending_max,
                calls: ends.calls(),
                ended,
            })
        })
    }

    fn half(&mut self, side: usize) -> &mut Connection<Wire> {
        self.halves[side].as_mut().expect("a connection that has not ended")
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        let origin = Time::since(self.origin, self.origin);
        for _ in 0..10_000 {
            let deadlines = self.halves.iter().flatten().map(|half| half.deadline(&self.limits));
            let next = deadlines.filter(|at| *at != Time::NEVER).min().map(|at| at.duration_from(origin));
            let Some(next) = next.filter(|next| *next <= end) else {
                self.elapsed = end;
                return;
            };
            self.elapsed = self.elapsed.max(next);
            self.drive_both();
            self.settle();
        }
        panic!("a deadline that has passed was not acted on");
    }

    /// Drives both halves until no edge is due.
    fn settle(&mut self) {
        self.drive_both();
        loop {
            let mut woken = false;
            for side in [0, 1] {
                let blocked = self.wires[side].world(|ends| ends.is_write_blocked());
                if self.sides[side].reads && blocked {
                    let window = self.sides[side].window;
                    self.wires[side].world(|ends| ends.open_window(window));
                }
                if self.halves[side].is_some()
                    && let Some(readiness) = self.wires[side].world(|ends| ends.take_edges())
                {
                    self.half(side).note_ready(readiness);
                    // As in the loop, only the half that the event is for is visited.
                    self.drive(side);
                    woken = true;
                }
            }
            if !woken {
                return self.check();
            }
        }
    }

    fn drive_both(&mut self) {
        self.drive(0);
        self.drive(1);
    }

    /// Visits a half until it waits, as the loop does.
    fn drive(&mut self, side: usize) {
        while self.halves[side].is_some() {
            let Some(Left { status, .. }) = self.visit(side, |connection, _, visit| Some(connection.drive(visit)))
            else {
                return;
            };
            let status = match status {
                Status::Relays => self.visit(side, |connection, other, visit| {
                    connection.relay(other.expect("a half that relays has another"), visit).0
                }),
                status => status,
            };
            for half in [0, 1] {
                let pending = self.halves[half].as_ref().map_or(0, Connection::pending_bytes);
                self.pending_max[half] = self.pending_max[half].max(pending);
            }
            match status {
                Status::Again | Status::WantsBuffer => {}
                Status::Closed => self.end(side),
                Status::Waiting | Status::Relays => {
                    let left = |half: &Option<Connection<Wire>>| {
                        half.as_ref().is_some_and(|half| half.relays_with().is_none() && half.is_closed())
                    };
                    for half in [0, 1] {
                        if left(&self.halves[half]) {
                            self.end(half);
                        }
                    }
                    // A half that has left the relay gracefully is visited once more.
                    let other = self.halves[1 - side].as_ref();
                    if other.is_some_and(|half| half.relays_with().is_none()) && status == Status::Relays {
                        self.drive(1 - side);
                    }
                    return;
                }
            }
        }
    }

    /// Ends a half, and resets the other one if that still relays.
    fn end(&mut self, side: usize) {
        let Some(connection) = self.halves[side].take() else { return };
        let Ended { reason, other, .. } = connection.end();
        assert_eq!(other, Some(id(1 - side)));
        self.reasons[side] = Some(reason);
        self.ended[side] = self.elapsed;
        if let Some(other) = self.halves[1 - side].as_mut().filter(|other| other.relays_with().is_some()) {
            other.cut(CloseReason::OtherSide, &mut self.lent.buffers);
            self.drive(1 - side);
        }
    }

    fn visit<R>(
        &mut self,
        side: usize,
        drive: impl FnOnce(&mut Connection<Wire>, Option<&mut Connection<Wire>>, &mut Visit<'_>) -> R,
    ) -> R {
        let instant = self.origin + self.elapsed;
        let moment = Moment::new(self.origin, instant);
        let clock = Still(instant, SystemTime::UNIX_EPOCH);
        self.lent.budget.begin_visit(Class::Loud, 0);
        let place = Place { id: id(side), site: &self.site, clock: &clock };
        let served = (&mut self.stats, &self.limits);
        let mut visit = Visit::new(&mut self.lent, &moment, place, served, Mood::default());
        let [first, second] = &mut self.halves;
        let (near, far) = if side == 0 { (first, second) } else { (second, first) };
        let result = drive(near.as_mut().expect("a connection that has not ended"), far.as_mut(), &mut visit);
        assert!(self.lent.outbox.is_empty(), "output is left in the buffer that all connections share");
        result
    }

    /// Checks that each half which waits may wait.
    fn check(&self) {
        for side in [0, 1] {
            let Some(half) = &self.halves[side] else { continue };
            let checked = half.check_waiting(false).and_then(|()| half.check_bounds(&self.limits));
            let joined = match &self.halves[1 - side] {
                Some(other) if half.relays_with().is_some() => half.check_relay(other, &self.limits, false),
                _ => Ok(()),
            };
            checked.and(joined).unwrap_or_else(|broken| panic!("lost wake-up of side {side}: {broken}"));
            let Claim { drained, blocked } = half.claim();
            self.wires[side].world(|ends| {
                assert!(!drained || ends.is_read_blocked(), "side {side}: no read returned WouldBlock");
                assert!(!blocked || ends.is_write_blocked(), "side {side}: no write returned WouldBlock");
            });
        }
    }
}

fn id(side: usize) -> ConnectionId {
    ConnectionId::of(Token { slot: side as u32, generation: 1 })
}

fn address_of(side: usize) -> crate::peer::Peer {
    SocketAddr::from(([192, 0, 2, 1], 40_000 + side as u16)).into()
}
