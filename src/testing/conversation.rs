//! A conversation between a scripted peer and a protocol, through the real driver, without a socket.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{mem, slice, thread};

use super::script::{Action, Script};
use super::stage::Stage;
use super::wire::Wire;
use crate::budget::Budget;
use crate::bulk::{Buffers, Pipes};
use crate::clock::Still;
use crate::connection::opening::Visited;
use crate::connection::{Claim, Ended, Took};
use crate::job::Outcome;
use crate::kernel::Pipe;
use crate::limits::PIPES_MAX;
use crate::messages::{Attended, Handed, Parcel};
use crate::panics::catch;
use crate::protocol::{CloseReason, ConnectionId, Job, Place, Site, StreamProtocol};
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
    /// The connection that the protocol has asked to [relay](crate::protocol::Step::relay) with: the conversation ends there, with
    /// [`CloseReason::Shutdown`].
    pub relayed: Option<ConnectionId>,
}

/// Records what the driver does, and prints it if the conversation panics.
pub(super) struct Xray(#[expect(dead_code, reason = "it records for as long as it lives")] pub(super) SimulatedClock);

impl Drop for Xray {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("X-ray of the connection:\n{}", xray::last(None).unwrap_or_default());
        }
    }
}

/// One conversation among those of a `Company`.
pub(super) struct Conversation<'s> {
    script: &'s Script,
    /// The steps of the script that are left, and when the next one happens.
    steps: slice::Iter<'s, Action>,
    pub(super) resumes: Duration,
    /// The slot of the connection.
    pub(super) id: ConnectionId,
    site: Site,
    wire: Wire,
    /// `None` after the end, and while one stage is replaced by the next.
    stage: Option<Stage>,
    origin: Instant,
    pub(super) elapsed: Duration,
    stats: Stats,
    lent: Lent,
    /// The running job, and when it will be done.
    job: Option<(Job, Duration)>,
    /// Jobs that workers have taken so far.
    jobs_taken: usize,
    stopping: bool,
    /// Whether the next visit resets the connection, because it had no room for a message.
    too_slow: bool,
    replies: Vec<Vec<u8>>,
    /// When the peer last read, if it reads at intervals.
    dripped: Duration,
    /// The number of writes in the replies so far.
    writes_told: usize,
    pending_bytes_max: usize,
    /// The result, after the end.
    pub(super) transcript: Option<Transcript>,
    relayed: Option<ConnectionId>,
}

/// Returns the pool of pipes that the script asks for.
fn pipes(script: &Script) -> Pipes {
    let Some((bytes, pieces)) = script.pipes else { return Pipes::none() };
    Pipes::new(Box::new(move || Ok(Pipe::in_memory(bytes, pieces))), PIPES_MAX).hurried(PIPES_MAX)
}

const STAGE: &str = "one stage becomes the next at once";

impl<'s> Conversation<'s> {
    pub(super) fn new(
        protocol: Box<dyn StreamProtocol>,
        script: &'s Script,
        id: ConnectionId,
        exchange: &Arc<Attended>,
        origin: Instant,
    ) -> Self {
        let wire = Wire::new(script.edges, script.window.unwrap_or(usize::MAX), script.fault);
        if script.connect.is_some() {
            wire.world(|ends| ends.begin_connect());
        }
        Self {
            script,
            steps: script.steps.iter(),
            resumes: Duration::ZERO,
            id,
            site: Site { exchange: Arc::clone(exchange), ..script.site.clone() },
            stage: Some(Stage::new(wire.clone(), protocol, script, Time::since(origin, origin))),
            wire,
            origin,
            elapsed: Duration::ZERO,
            stats: Stats::default(),
            lent: Lent {
                buffers: Buffers::new(script.buffers).with_pipes(pipes(script)),
                ..Lent::new(Budget::new(Time::since(origin, origin), None))
            },
            job: None,
            jobs_taken: 0,
            stopping: false,
            too_slow: false,
            replies: Vec::new(),
            dripped: Duration::ZERO,
            writes_told: 0,
            pending_bytes_max: 0,
            transcript: None,
            relayed: None,
        }
    }

    /// Opens the connection.
    pub(super) fn open(&mut self) {
        self.visit(Stage::greet);
        self.settle();
        if let Some(ends) = self.script.connect
            && !self.is_over()
        {
            self.wire.world(|world| world.end_connect(ends));
            self.settle();
        }
    }

    /// Whether the connection has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.transcript.is_some()
    }

    /// Returns the next step of the script, if it happens by now.
    pub(super) fn next_step(&mut self) -> Option<&'s Action> {
        if self.is_over() || self.elapsed < self.resumes {
            return None;
        }
        let step = self.steps.next()?;
        self.end_reply();
        Some(step)
    }

    /// Does a step that concerns this connection only.
    pub(super) fn act(&mut self, step: &Action) {
        match step {
            Action::Send(bytes) => self.wire.world(|ends| ends.arrive(bytes)),
            Action::Fin => self.wire.world(|ends| ends.arrive_fin()),
            Action::SendFin(bytes) => self.wire.world(|ends| {
                ends.arrive(bytes);
                ends.arrive_fin();
            }),
            Action::Reset => self.wire.world(|ends| ends.arrive_reset()),
            Action::Stop => self.stopping = true,
            Action::Cut => self.stage.as_mut().expect(STAGE).cut(&mut self.lent.buffers),
            Action::Close => {
                let now = self.now();
                self.stage.as_mut().expect(STAGE).ask_to_close(now);
            }
            Action::Pause(duration) => {
                self.resumes = self.elapsed + *duration;
                return;
            }
            Action::HoldUp(_) | Action::Post(_) | Action::Cast(..) => {
                unreachable!("these concern the company")
            }
        }
        self.settle();
    }

    /// The peer closes after the server, once its script has ended. Returns whether it did.
    pub(super) fn closes_after_the_server(&mut self) -> bool {
        let closes = !self.is_over()
            && self.steps.as_slice().is_empty()
            && self.resumes <= self.elapsed
            && self.wire.world(|ends| ends.is_fin_sent() && !ends.is_readable());
        if closes {
            self.wire.world(|ends| ends.arrive_fin());
            self.settle();
        }
        closes
    }

    /// Takes a message. `is_queued`: the connection is to be visited.
    pub(super) fn take(&mut self, parcel: Parcel<'_>, is_queued: bool) -> Handed {
        let took = match &mut self.stage {
            Some(stage) => stage.take(parcel, is_queued, &self.script.limits),
            None => Took::Gone,
        };
        match took {
            Took::Taken => self.stats.messages += 1,
            Took::Missed => self.stats.undelivered.add("no room"),
            Took::TooSlow => {
                self.stats.undelivered.add("slow consumer");
                self.too_slow = true;
            }
            Took::Gone => self.stats.undelivered.add("gone"),
            Took::Later => {}
        }
        Handed { taken: took == Took::Taken, again: took == Took::Later, goes_on: true }
    }

    /// Returns when something happens next without a message: a step of the script, or an event of time.
    pub(super) fn next_time(&self) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        let step = (self.elapsed < self.resumes || !self.steps.as_slice().is_empty()).then_some(self.resumes);
        step.into_iter().chain(self.next_event()).min()
    }

    /// Acts on the time that has come. `at`: the time of the event for which the clock was moved.
    pub(super) fn wake(&mut self, at: Duration) {
        if self.is_over() {
            return;
        }
        let is_due = self.next_event().is_some_and(|next| next <= at);
        if !is_due && self.resumes > at {
            return;
        }
        self.settle();
        if is_due && !self.is_over() && self.next_event().is_some_and(|again| again <= at && again <= self.elapsed) {
            panic!("a deadline that has passed was not acted on");
        }
    }

    /// Returns the time as the loop knows it.
    fn now(&self) -> Time {
        Time::since(self.origin, self.origin + self.elapsed)
    }

    /// Ends a reply: the bytes that the peer got since the previous one.
    fn end_reply(&mut self) {
        let writes = self.wire.world(|ends| ends.writes()[self.writes_told..].to_vec());
        self.writes_told += writes.len();
        self.replies.push(writes.concat());
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

    /// Drives until the driver waits and no edge and no result is due, or the connection has ended.
    pub(super) fn settle(&mut self) {
        if self.too_slow
            && let Some(Stage::Connection(connection)) = &mut self.stage
        {
            connection.cut(CloseReason::Refused("slow consumer"), &mut self.lent.buffers);
        }
        while !self.is_over() {
            match self.visit(Stage::drive) {
                Status::Closed => return self.end(),
                Status::Again | Status::WantsBuffer => continue,
                Status::Relays => unreachable!("a relay needs another connection"),
                Status::Waiting => self.check_claim(),
            }
            // Rule 3: a new socket is registered after its first visit.
            self.wire.world(|ends| ends.register(&self.script.early));
            let paused = self.stage().has_pipe_away();
            self.wire.world(|ends| ends.pause_reads(paused));
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
                    xray::about(self.id.token(), || What::Event(readiness));
                    self.stage.as_mut().expect(STAGE).note_ready(readiness);
                }
                None => return,
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
        xray::about(self.id.token(), || What::Visit);
        self.lent.budget.begin_visit(self.stage().class(), 0);
        let moment = Moment::new(self.origin, instant);
        let mood = Mood { pressed: self.script.pressed, stopping: self.stopping };
        let served = (&mut self.stats, &self.script.limits);
        let clock = Still(instant, self.script.wall_clock + self.elapsed);
        let place = Place { id: self.id, site: &self.site, clock: &clock };
        let mut visit = Visit::new(&mut self.lent, &moment, place, served, mood);
        let visited = drive(self.stage.as_mut().expect(STAGE), &mut visit);
        let errand = visit.errand.take();
        let mut status = match visited {
            Visited::Left(Left { status, .. }) => status,
            Visited::Complete => return self.complete(moment.now),
        };
        match errand {
            None => {}
            Some(Errand::Job(job)) => status = self.run_job(job, status, moment.now),
            Some(Errand::Connect(connect)) => {
                let (make, answer) = connect.into_parts().expect("asked for once");
                if self.script.connected.is_ok() {
                    drop(make(self.id));
                }
                let outcome = Outcome::of(answer(self.script.connected));
                self.stage.as_mut().expect(STAGE).note_done(Ok(outcome), moment.now, &mut self.lent.buffers);
                if status != Status::Closed {
                    status = Status::Again;
                }
            }
            Some(Errand::LetGo(..)) => unreachable!("no other connection waits in a conversation"),
            // The protocol is not called again: the bytes of a relay are not its business.
            Some(Errand::Relay(other)) => {
                self.relayed = Some(other);
                status = Status::Closed;
            }
        }
        assert!(self.lent.outbox.is_empty(), "output is left in the buffer that all connections share");
        status
    }

    /// Lets a worker take a job, or no worker. Returns the status of the visit.
    fn run_job(&mut self, job: Job, mut status: Status, now: Time) -> Status {
        if self.jobs_taken < self.script.jobs_taken {
            self.jobs_taken += 1;
            let done = self.elapsed + self.script.job_time;
            assert!(self.job.replace((job, done)).is_none(), "two jobs at a time");
        } else {
            drop(job);
            self.stage.as_mut().expect(STAGE).note_refused(now, &mut self.lent.buffers);
            if status != Status::Closed {
                status = Status::Again;
            }
        }
        status
    }

    /// Replaces the complete opening by the connection, and lets the protocol open it.
    fn complete(&mut self, now: Time) -> Status {
        self.stage = self.stage.take().map(|stage| stage.complete(&self.script.limits, now));
        self.visit(Stage::greet)
    }

    /// Ends the connection.
    fn end(&mut self) {
        self.end_reply();
        let Ended { transport, reason, bug, last, job_out, .. } = self.stage.take().expect(STAGE).end();
        self.site.exchange.forget(self.id);
        if let Some((job, _)) = self.job.take() {
            assert!(job_out, "the driver does not know of a running job");
            drop(job.run());
        }
        if let Some(job) = last {
            drop(job.run());
        }
        let (writes, calls, reset) =
            transport.world(|ends| (ends.writes().to_vec(), ends.calls(), ends.is_reset_on_close()));
        self.transcript = Some(Transcript {
            sent: writes.concat(),
            replies: mem::take(&mut self.replies),
            writes,
            reason,
            bug,
            reset,
            elapsed: self.elapsed,
            calls,
            pending_bytes_max: self.pending_bytes_max,
            stats: mem::take(&mut self.stats),
            relayed: self.relayed,
        });
    }
}
