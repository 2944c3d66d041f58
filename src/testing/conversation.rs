//! A conversation between a scripted peer and a protocol, through the real driver, without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::wire::{Edges, Fault, Wire};
use crate::bulk::Buffers;
use crate::connection::{Connection, Ended, Status, Visit};
use crate::kernel::Panicked;
use crate::limits::{Limits, READ_BYTES};
use crate::outbox::Outbox;
use crate::protocol::{CloseReason, Context, Event, Job, Outcome, Reply, StreamProtocol};
use crate::stats::Stats;
use crate::time::Time;

/// What the peer does, in order. Each step happens when the driver waits; after the last one the peer closes when we do,
/// and otherwise says nothing more.
#[derive(Debug, Clone)]
pub struct Script {
    steps: Vec<Action>,
    window: Option<usize>,
    reads: bool,
    edges: Edges,
    fault: Option<(usize, Fault)>,
    limits: Limits,
    wall_clock: SystemTime,
    stop_at_end: bool,
}

#[derive(Debug, Clone)]
enum Action {
    Send(Vec<u8>),
    Pause(Duration),
    Fin,
    SendFin(Vec<u8>),
    Reset,
}

/// What came of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcript {
    /// What the peer got.
    pub sent: Vec<u8>,
    /// The same, write by write.
    pub writes: Vec<Vec<u8>>,
    /// Why the connection ended.
    pub reason: CloseReason,
    /// Whether the peer saw a reset instead of a FIN.
    pub reset: bool,
    /// How long it took, pauses and deadlines included.
    pub elapsed: Duration,
    /// Calls of the transport.
    pub calls: usize,
    /// The most bytes of output that were pending while the driver waited.
    pub pending_bytes_max: usize,
    /// What the listener would have counted.
    pub stats: Stats,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A peer that says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            steps: Vec::new(),
            window: None,
            reads: true,
            edges: Edges::WouldBlock,
            fault: None,
            limits: Limits::default(),
            wall_clock: SystemTime::UNIX_EPOCH,
            stop_at_end: false,
        }
    }

    /// The peer sends these bytes in one segment.
    #[must_use]
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::Send(bytes.as_ref().to_vec()));
        self
    }

    /// The peer sends each of these in a segment of its own.
    #[must_use]
    pub fn send_all(self, chunks: &[&[u8]]) -> Self {
        chunks.iter().fold(self, |script, chunk| script.send(chunk))
    }

    /// Nothing arrives for that long.
    #[must_use]
    pub fn pause(mut self, duration: Duration) -> Self {
        self.steps.push(Action::Pause(duration));
        self
    }

    /// The peer finishes (FIN) and goes on reading.
    #[must_use]
    pub fn fin(mut self) -> Self {
        self.steps.push(Action::Fin);
        self
    }

    /// The peer's last bytes and its FIN arrive at once.
    #[must_use]
    pub fn send_fin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::SendFin(bytes.as_ref().to_vec()));
        self
    }

    /// The peer resets the connection.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.steps.push(Action::Reset);
        self
    }

    /// The server is asked to stop when the script is at its end.
    #[must_use]
    pub fn stop(mut self) -> Self {
        self.stop_at_end = true;
        self
    }

    /// The kernel takes only so many bytes before a write blocks; then the peer reads, and it takes as many again.
    #[must_use]
    pub fn window(mut self, bytes: usize) -> Self {
        self.window = Some(bytes);
        self
    }

    /// The peer reads nothing: the kernel takes so many bytes, and no more.
    #[must_use]
    pub fn never_reads(mut self, bytes: usize) -> Self {
        self.window = Some(bytes);
        self.reads = false;
        self
    }

    /// What the kernel promises about reads; only `WouldBlock` counts unless this says otherwise.
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// A fault strikes the `call`th call of the transport, counted from 0 over reads and writes.
    #[must_use]
    pub fn fault(mut self, call: usize, fault: Fault) -> Self {
        self.fault = Some((call, fault));
        self
    }

    /// The limits of the connection.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The wall-clock time at which the conversation begins.
    #[must_use]
    pub fn wall_clock(mut self, time: SystemTime) -> Self {
        self.wall_clock = time;
        self
    }
}

/// Lets the peer of `script` talk to `protocol`, until the connection is over.
///
/// # Panics
/// With *lost wake-up* if the driver waits although it could go on, and if the driver or the protocol break another of
/// their rules.
pub fn converse(protocol: impl StreamProtocol + 'static, script: &Script) -> Transcript {
    Conversation::new(Box::new(protocol), script).run()
}

/// Calls `check` with `bytes` whole, cut in two at every place, and byte by byte.
pub fn every_split(bytes: &[u8], mut check: impl FnMut(&[&[u8]])) {
    check(&[bytes]);
    for cut in 1..bytes.len() {
        check(&[&bytes[..cut], &bytes[cut..]]);
    }
    check(&bytes.chunks(1).collect::<Vec<_>>());
}

/// Lets every fault strike at every call of the conversation that `script` describes, for every kind of edges.
///
/// # Panics
/// If a harmless fault changes what the peer gets, if after a reset the peer got something else than the beginning of
/// it, or if the protocol is not told exactly once that the connection is over.
pub fn every_fault<P: StreamProtocol + 'static>(mut protocol: impl FnMut() -> P, script: &Script) {
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        let script = script.clone().edges(edges);
        let clean = converse(protocol(), &script);
        for call in 0..clean.calls {
            for fault in Fault::HARMLESS {
                let faulty = converse(protocol(), &script.clone().fault(call, fault));
                assert_eq!(
                    String::from_utf8_lossy(&faulty.sent),
                    String::from_utf8_lossy(&clean.sent),
                    "{fault:?} at call {call} with {edges:?}"
                );
                assert_eq!(faulty.reason, clean.reason, "{fault:?} at call {call} with {edges:?}");
            }
            let goodbyes = Arc::new(AtomicUsize::new(0));
            let watched = Watched { protocol: protocol(), goodbyes: Arc::clone(&goodbyes) };
            let cut = converse(watched, &script.clone().fault(call, Fault::Reset));
            assert!(
                clean.sent.starts_with(&cut.sent),
                "a reset at call {call} with {edges:?} changed what came before"
            );
            assert_eq!(goodbyes.load(Ordering::Relaxed), 1, "on_close after a reset at call {call}");
        }
    }
}

/// Counts how often a protocol is told that it is over.
struct Watched<P> {
    protocol: P,
    goodbyes: Arc<AtomicUsize>,
}

impl<P: StreamProtocol> StreamProtocol for Watched<P> {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.protocol.on_open(cx)
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_bytes(input, cx)
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_event(event, rest, cx)
    }

    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        self.goodbyes.fetch_add(1, Ordering::Relaxed);
        self.protocol.on_close(reason)
    }
}

struct Conversation<'s> {
    script: &'s Script,
    wire: Wire,
    connection: Connection<Wire>,
    origin: Instant,
    elapsed: Duration,
    stats: Stats,
    outbox: Outbox,
    buffers: Buffers,
    read_buffer: Vec<u8>,
    job: Option<Job>,
    stopping: bool,
    pending_bytes_max: usize,
}

/// Steps after which a conversation is taken to go on for ever.
const STEPS_MAX: usize = 1_000_000;

impl<'s> Conversation<'s> {
    fn new(protocol: Box<dyn StreamProtocol>, script: &'s Script) -> Self {
        let wire = Wire::new(script.edges, script.window.unwrap_or(usize::MAX), script.fault);
        let origin = Instant::now();
        let peer = ([192, 0, 2, 1], 40_000).into();
        Self {
            script,
            connection: Connection::new(wire.clone(), protocol, peer, Time::since(origin, origin)),
            wire,
            origin,
            elapsed: Duration::ZERO,
            stats: Stats::default(),
            outbox: Outbox::default(),
            buffers: Buffers::default(),
            read_buffer: vec![0; READ_BYTES],
            job: None,
            stopping: false,
            pending_bytes_max: 0,
        }
    }

    fn run(mut self) -> Transcript {
        self.visit(|connection, visit| {
            connection.open(visit);
            Status::Again
        });
        let mut steps = self.script.steps.iter();
        let mut over = self.settle();
        for _ in 0..STEPS_MAX {
            if over {
                return self.transcript();
            }
            match steps.next() {
                Some(Action::Send(bytes)) => self.wire.world(|ends| ends.arrive(bytes)),
                Some(Action::Fin) => self.wire.world(|ends| ends.arrive_fin()),
                Some(Action::SendFin(bytes)) => self.wire.world(|ends| {
                    ends.arrive(bytes);
                    ends.arrive_fin();
                }),
                Some(Action::Reset) => self.wire.world(|ends| ends.arrive_reset()),
                Some(Action::Pause(duration)) => {
                    over = self.pass(*duration);
                    continue;
                }
                None if self.script.stop_at_end && !self.stopping => self.stopping = true,
                None if self.wire.world(|ends| ends.is_fin_sent() && !ends.is_readable()) => {
                    self.wire.world(|ends| ends.arrive_fin());
                }
                None => {
                    let next = self.next_deadline().expect("a connection always has a deadline");
                    over = self.pass(next.saturating_sub(self.elapsed));
                    continue;
                }
            }
            over = self.settle();
        }
        panic!("the conversation does not end");
    }

    /// Lets time pass, deadline by deadline. Returns whether the connection is over.
    fn pass(&mut self, duration: Duration) -> bool {
        let end = self.elapsed + duration;
        while let Some(next) = self.next_deadline().filter(|next| *next <= end) {
            self.elapsed = self.elapsed.max(next);
            if self.settle() {
                return true;
            }
            if self.next_deadline().is_some_and(|again| again <= next && again <= self.elapsed) {
                panic!("a deadline that has passed was not acted on");
            }
        }
        self.elapsed = end;
        self.settle()
    }

    fn next_deadline(&self) -> Option<Duration> {
        let at = self.connection.deadline(&self.script.limits);
        (at != Time::NEVER).then(|| at.duration_from(Time::since(self.origin, self.origin)))
    }

    /// Drives until the driver waits and no edge and no result is owed. Returns whether the connection is over.
    fn settle(&mut self) -> bool {
        loop {
            match self.visit(|connection, visit| connection.drive(visit)) {
                Status::Closed => return true,
                Status::Again | Status::WantsBuffer => continue,
                Status::Waiting => self.check_claim(),
            }
            if let Some(job) = self.job.take() {
                let result: Result<Outcome, Panicked> =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run())).map_err(|_| Panicked);
                self.connection.note_done(result, &mut self.buffers);
                continue;
            }
            if self.script.reads && self.wire.world(|ends| ends.is_write_blocked()) {
                let window = self.script.window.unwrap_or(usize::MAX);
                self.wire.world(|ends| ends.open_window(window));
            }
            match self.wire.world(|ends| ends.take_edges()) {
                Some(readiness) => self.connection.note_ready(readiness),
                None => return false,
            }
        }
    }

    /// Waiting is a claim: a job is out, or whatever is still wanted said `WouldBlock`.
    fn check_claim(&mut self) {
        let pending = self.connection.pending_bytes();
        self.pending_bytes_max = self.pending_bytes_max.max(pending);
        let (read_blocked, write_blocked) = self.wire.world(|ends| (ends.is_read_blocked(), ends.is_write_blocked()));
        assert!(pending == 0 || write_blocked, "lost wake-up: output is pending and no write said WouldBlock");
        assert!(
            self.job.is_some() || write_blocked || read_blocked,
            "lost wake-up: nothing is pending and no read said WouldBlock"
        );
    }

    fn visit(&mut self, drive: impl FnOnce(&mut Connection<Wire>, &mut Visit<'_>) -> Status) -> Status {
        let instant = self.origin + self.elapsed;
        let mut visit = Visit {
            read_buffer: &mut self.read_buffer,
            outbox: &mut self.outbox,
            buffers: &mut self.buffers,
            stats: &mut self.stats,
            limits: &self.script.limits,
            now: Time::since(self.origin, instant),
            instant,
            wall_clock: self.script.wall_clock + self.elapsed,
            pressed: false,
            stopping: self.stopping,
            job: None,
        };
        let status = drive(&mut self.connection, &mut visit);
        if let Some(job) = visit.job.take() {
            assert!(self.job.replace(job).is_none(), "two jobs at a time");
        }
        assert!(self.outbox.is_empty(), "output is left in the buffer that all connections share");
        status
    }

    fn transcript(self) -> Transcript {
        let Ended { transport, reason, last, job_out } = self.connection.end();
        if let Some(job) = self.job {
            assert!(job_out, "a job is out");
            drop(job.run());
        }
        if let Some(job) = last {
            drop(job.run());
        }
        let (writes, calls, reset) =
            transport.world(|ends| (ends.writes().to_vec(), ends.calls(), ends.is_reset_on_close()));
        Transcript {
            sent: writes.concat(),
            writes,
            reason,
            reset,
            elapsed: self.elapsed,
            calls,
            pending_bytes_max: self.pending_bytes_max,
            stats: self.stats,
        }
    }
}
