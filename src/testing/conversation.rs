//! A conversation between a scripted peer and a protocol, through the real driver, without a socket.

use std::thread;
use std::time::{Duration, Instant};

use super::script::{Action, Script};
use super::stage::Stage;
use super::wire::Wire;
use crate::budget::Budget;
use crate::bulk::Buffers;
use crate::clock::Still;
use crate::connection::opening::Visited;
use crate::connection::{Claim, Ended};
use crate::panics::catch;
use crate::protocol::{CloseReason, Job, Place, StreamProtocol};
use crate::stats::Stats;
use crate::time::Time;
use crate::visit::{Errand, Left, Lent, Moment, Mood, Status, Visit};
use crate::xray::{self, SimulatedClock, What};

/// The result of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcript {
    /// All bytes that the peer got.
    pub sent: Vec<u8>,
    /// The same bytes by steps of the script: first those on connecting, then those after each step. Steps after the end of
    /// the connection are left out.
    pub replies: Vec<Vec<u8>>,
    /// The same bytes by writes of the driver.
    pub writes: Vec<Vec<u8>>,
    /// Why the connection ended.
    pub reason: CloseReason,
    /// What the log would tell of a panic.
    pub(crate) bug: Option<Box<str>>,
    /// Whether the peer saw a reset instead of a FIN.
    pub reset: bool,
    /// The time that the conversation took, pauses and deadlines included.
    pub elapsed: Duration,
    /// The number of calls of the transport.
    pub calls: usize,
    /// The most bytes of output that were pending while the driver waited.
    pub pending_bytes_max: usize,
    /// The counters of the listener.
    pub stats: Stats,
}

/// Runs `protocol` against the peer of `script` until the connection has ended.
///
/// # Panics
/// With *lost wake-up* if the driver waits although it could go on, and if the driver breaks another of its rules. A protocol
/// that panics or breaks a rule does not panic here: it ends with [`CloseReason::Bug`].
pub fn converse(protocol: impl StreamProtocol + 'static, script: &Script) -> Transcript {
    let _xray = Xray(SimulatedClock::start());
    Conversation::new(Box::new(protocol), script).run()
}

/// Records what the driver does, and prints it if the conversation panics.
struct Xray(#[expect(dead_code, reason = "it records for as long as it lives")] SimulatedClock);

impl Drop for Xray {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("X-ray of the connection:\n{}", xray::last(None).unwrap_or_default());
        }
    }
}

struct Conversation<'s> {
    script: &'s Script,
    wire: Wire,
    /// `None` only while one stage is replaced by the next.
    stage: Option<Stage>,
    origin: Instant,
    elapsed: Duration,
    stats: Stats,
    lent: Lent,
    /// The running job, and when it will be done.
    job: Option<(Job, Duration)>,
    /// Jobs that workers have taken so far.
    jobs_taken: usize,
    stopping: bool,
    replies: Vec<Vec<u8>>,
    /// When the peer last read, if it reads at intervals.
    dripped: Duration,
    /// The number of writes in the replies so far.
    writes_told: usize,
    pending_bytes_max: usize,
}

const STAGE: &str = "one stage becomes the next at once";

/// Steps after which a conversation is considered endless.
const STEPS_MAX: usize = 1_000_000;

impl<'s> Conversation<'s> {
    fn new(protocol: Box<dyn StreamProtocol>, script: &'s Script) -> Self {
        let wire = Wire::new(script.edges, script.window.unwrap_or(usize::MAX), script.fault);
        let origin = Instant::now();
        if script.connect.is_some() {
            wire.world(|ends| ends.begin_connect());
        }
        Self {
            script,
            stage: Some(Stage::new(wire.clone(), protocol, script, Time::since(origin, origin))),
            wire,
            origin,
            elapsed: Duration::ZERO,
            stats: Stats::default(),
            lent: Lent {
                buffers: Buffers::new(script.buffers),
                ..Lent::new(Budget::new(Time::since(origin, origin), None))
            },
            job: None,
            jobs_taken: 0,
            stopping: false,
            replies: Vec::new(),
            dripped: Duration::ZERO,
            writes_told: 0,
            pending_bytes_max: 0,
        }
    }

    fn run(mut self) -> Transcript {
        self.visit(Stage::greet);
        let mut steps = self.script.steps.iter();
        let mut over = self.settle();
        if let Some(ends) = self.script.connect {
            self.wire.world(|world| world.end_connect(ends));
            over = self.settle();
        }
        for _ in 0..STEPS_MAX {
            if over {
                return self.transcript();
            }
            let step = steps.next();
            if step.is_some() {
                self.end_reply();
            }
            match step {
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
                Some(Action::HoldUp(duration)) => {
                    self.elapsed += *duration;
                    continue;
                }
                Some(Action::Stop) => self.stopping = true,
                Some(Action::Cut) => self.stage.as_mut().expect(STAGE).cut(&mut self.lent.buffers),
                None if self.wire.world(|ends| ends.is_fin_sent() && !ends.is_readable()) => {
                    self.wire.world(|ends| ends.arrive_fin());
                }
                None => {
                    let next = self.next_event().expect("a connection always has a deadline, or a job that is out");
                    over = self.pass(next.saturating_sub(self.elapsed));
                    continue;
                }
            }
            over = self.settle();
        }
        panic!("the conversation does not end");
    }

    /// Ends a reply: the bytes that the peer got since the previous one.
    fn end_reply(&mut self) {
        let writes = self.wire.world(|ends| ends.writes()[self.writes_told..].to_vec());
        self.writes_told += writes.len();
        self.replies.push(writes.concat());
    }

    /// Lets time pass, deadline by deadline and job by job. Returns whether the connection has ended.
    fn pass(&mut self, duration: Duration) -> bool {
        let end = self.elapsed + duration;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.elapsed = self.elapsed.max(next);
            if self.settle() {
                return true;
            }
            if self.next_event().is_some_and(|again| again <= next && again <= self.elapsed) {
                panic!("a deadline that has passed was not acted on");
            }
        }
        self.elapsed = end;
        self.settle()
    }

    /// Returns when time alone makes something happen next: a deadline, the end of a job, or a read of the peer.
    fn next_event(&self) -> Option<Duration> {
        let at = self.stage().deadline(&self.script.limits);
        let deadline = (at != Time::NEVER).then(|| at.duration_from(Time::since(self.origin, self.origin)));
        let done = self.job.as_ref().map(|(_, done)| *done);
        let drip = self.script.drip.filter(|_| self.wire.world(|ends| ends.unacknowledged() > 0));
        let drip = drip.map(|(_, every)| self.dripped + every);
        deadline.into_iter().chain(done).chain(drip).min()
    }

    /// Drives until the driver waits and no edge and no result is due. Returns whether the connection has ended.
    fn settle(&mut self) -> bool {
        loop {
            match self.visit(Stage::drive) {
                Status::Closed => return true,
                Status::Again | Status::WantsBuffer => continue,
                Status::Waiting => self.check_claim(),
            }
            let now = self.elapsed;
            if let Some((job, _)) = self.job.take_if(|(_, done)| *done <= now) {
                let result = catch(|| job.run());
                let now = Time::since(self.origin, self.origin + self.elapsed);
                self.stage.as_mut().expect(STAGE).note_done(result, now, &mut self.lent.buffers);
                continue;
            }
            self.drip();
            if self.script.reads && self.wire.world(|ends| ends.is_write_blocked()) {
                let window = self.script.window.unwrap_or(usize::MAX);
                self.wire.world(|ends| ends.open_window(window));
            }
            match self.wire.world(|ends| ends.take_edges()) {
                Some(readiness) => {
                    xray::about(self.script.id.token(), || What::Event(readiness));
                    self.stage.as_mut().expect(STAGE).note_ready(readiness);
                }
                None => return false,
            }
        }
    }

    /// Lets the peer read what it is to have read by now.
    fn drip(&mut self) {
        let (Some((bytes, every)), Some(window)) = (self.script.drip, self.script.window) else { return };
        while self.dripped + every <= self.elapsed {
            self.dripped += every;
            self.wire.world(|ends| ends.acknowledge(bytes, window));
        }
    }

    /// Checks the claim of a driver that waits: each direction that it still needs returned `WouldBlock`, or a job will wake it.
    fn check_claim(&mut self) {
        self.pending_bytes_max = self.pending_bytes_max.max(self.stage().pending_bytes());
        if let Err(broken) = self.stage().check_waiting() {
            panic!("lost wake-up: {broken}");
        }
        let Claim { drained, blocked } = self.stage().claim();
        let (read_blocked, write_blocked) = self.wire.world(|ends| (ends.is_read_blocked(), ends.is_write_blocked()));
        assert!(!drained || read_blocked, "lost wake-up: the driver waits for input, and no read returned WouldBlock");
        assert!(!blocked || write_blocked, "lost wake-up: the driver waits for room, and no write returned WouldBlock");
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect(STAGE)
    }

    fn visit(&mut self, drive: impl FnOnce(&mut Stage, &mut Visit<'_>) -> Visited) -> Status {
        let instant = self.origin + self.elapsed;
        xray::set_simulated_time(self.elapsed);
        xray::about(self.script.id.token(), || What::Visit);
        self.lent.budget.begin_visit(self.stage().class(), 0);
        let moment = Moment::new(self.origin, instant);
        let mood = Mood { pressed: self.script.pressed, stopping: self.stopping };
        let served = (&mut self.stats, &self.script.limits);
        let clock = Still(instant, self.script.wall_clock + self.elapsed);
        let place = Place { id: self.script.id, site: &self.script.site, clock: &clock };
        let mut visit = Visit::new(&mut self.lent, &moment, place, served, mood);
        let visited = drive(self.stage.as_mut().expect(STAGE), &mut visit);
        let errand = visit.errand.take();
        let mut status = match visited {
            Visited::Left(Left { status, .. }) => status,
            Visited::Complete => return self.complete(moment.now),
        };
        if let Some(Errand::Job(job)) = errand {
            if self.jobs_taken < self.script.jobs_taken {
                self.jobs_taken += 1;
                let done = self.elapsed + self.script.job_time;
                assert!(self.job.replace((job, done)).is_none(), "two jobs at a time");
            } else {
                drop(job);
                self.stage.as_mut().expect(STAGE).note_refused(moment.now, &mut self.lent.buffers);
                if status != Status::Closed {
                    status = Status::Again;
                }
            }
        }
        assert!(self.lent.outbox.is_empty(), "output is left in the buffer that all connections share");
        status
    }

    /// Replaces the complete opening by the connection, and lets the protocol open it.
    fn complete(&mut self, now: Time) -> Status {
        self.stage = self.stage.take().map(|stage| stage.complete(&self.script.limits, now));
        self.visit(Stage::greet)
    }

    fn transcript(mut self) -> Transcript {
        self.end_reply();
        let Ended { transport, reason, bug, last, job_out, .. } = self.stage.take().expect(STAGE).end();
        if let Some((job, _)) = self.job {
            assert!(job_out, "the driver does not know of a running job");
            drop(job.run());
        }
        if let Some(job) = last {
            drop(job.run());
        }
        let (writes, calls, reset) =
            transport.world(|ends| (ends.writes().to_vec(), ends.calls(), ends.is_reset_on_close()));
        Transcript {
            sent: writes.concat(),
            replies: self.replies,
            writes,
            reason,
            bug,
            reset,
            elapsed: self.elapsed,
            calls,
            pending_bytes_max: self.pending_bytes_max,
            stats: self.stats,
        }
    }
}
