//! Drives one stream: deliver, flush, decide, read.
//!
//! This is the second of the three hops of a byte. The reactor calls [`Connection::drive`] when something may have
//! happened; the connection reads, hands the bytes to its protocol, and writes what the protocol appended, until it
//! may wait.
//!
//! **Waiting is a claim.** [`Status::Waiting`] means: every direction that is still wanted said `WouldBlock` last (or a
//! short read proved the same), or a job is out whose result will wake us. Whoever returns it too early sleeps for
//! ever, because edge-triggered readiness does not tell twice.

mod expiry;
mod held;
mod invariants;
mod pace;
mod peer;
mod phase;
mod recording;
mod storing;
mod taking;
mod visit;
mod why;

use std::io;
use std::mem;
use std::net::SocketAddr;

use self::held::Held;
pub(crate) use self::invariants::Claim;
use self::pace::Pace;
use self::peer::Peer;
use self::phase::Phase;
use self::visit::Round;
pub(crate) use self::visit::{Ended, Status, Visit};
use crate::attempt::{Attempt, attempt};
use crate::budget::Class;
use crate::bulk::{Buffers, Bulk, Returned};
use crate::kernel::{Panicked, Readiness, Transport};
use crate::limits::{
    CALL_UNITS, Limits, PRESSED_READ_BYTES, QUIET_BYTES_MAX, READ_BYTES, UNCONSUMED_BYTES_MAX, VISIT_UNITS,
};
use crate::panics::catch;
use crate::protocol::{CloseReason, Context, Event, Job, Outcome, Reply, Step, StreamProtocol, Then, Within};
use crate::time::Time;
use crate::xray::{self, Ask, Call, What};

/// One TCP connection and its protocol.
///
/// There may be very many, most of them idle: what only a busy one needs stands behind a pointer.
pub(crate) struct Connection<T> {
    transport: T,
    /// What the socket may be ready for. Events set it; only `WouldBlock`, or what proves the same, clears it.
    ready: Readiness,
    /// The peer's FIN has been read.
    peer_finished: bool,
    /// The protocol has seen all of the input and asked for more.
    starved: bool,
    /// The last read brought as much as a quiet visit may take, and nothing of it has been delivered: what else has come
    /// belongs to it.
    cut_short: bool,
    /// A worker is busy for this connection, and its result will come.
    job_out: bool,
    within: Within,
    pace: Pace,
    protocol: Box<dyn StreamProtocol>,
    peer: Peer,
    /// The last byte received, job finished, or output drained.
    active: Time,
    held: Option<Box<Held>>,
}

impl<T: Transport> Connection<T> {
    /// A connection that has just been accepted. It may have bytes already and certainly takes some, so its first visit
    /// needs no event.
    pub(crate) fn new(
        transport: T,
        protocol: Box<dyn StreamProtocol>,
        peer: SocketAddr,
        limits: &Limits,
        now: Time,
    ) -> Self {
        let mut connection = Self {
            transport,
            ready: Readiness { readable: true, writable: true, in_doubt: false },
            peer_finished: false,
            starved: true,
            cut_short: false,
            job_out: false,
            within: Within::Nothing,
            pace: Pace::default(),
            protocol,
            peer: Peer::from(peer),
            active: now,
            held: None,
        };
        connection.hold_lifetime(limits, now);
        connection
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer.address()
    }

    /// How much it takes at a time, as its last visits showed.
    pub(crate) fn class(&self) -> Class {
        self.pace.class()
    }

    /// Lets the protocol speak first.
    pub(crate) fn open(&mut self, visit: &mut Visit<'_>) {
        self.unstow(visit);
        self.call(visit, Ask::Open, &[], |protocol, cx| protocol.on_open(cx));
        self.stow(visit);
    }

    /// An event came for this connection.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
        self.ready.in_doubt |= readiness.in_doubt;
    }

    /// The result of the job came.
    pub(crate) fn note_done(&mut self, result: Result<Outcome, Panicked>, now: Time, buffers: &mut Buffers) {
        self.job_out = false;
        self.active = now;
        let returned = Returned::new(result, buffers);
        if let Some(panicked) = returned.panicked() {
            self.hold_bug(format!("a job panicked{}", panicked.detail()));
        }
        match (self.phase_mut(), returned) {
            (Some(Phase::Working(done)), returned) => *done = Some(returned),
            (Some(Phase::Storing(bulk)), Returned::Bulk(sink, result)) => bulk.welcome_back(sink, result),
            // The sink went with the job.
            (Some(Phase::Storing(_)), _) => {
                self.replace_phase(Phase::Closed(CloseReason::Bug("a job panicked")), buffers);
            }
            (_, returned) => self.hold_remains(returned.into_remains()),
        }
    }

    /// No worker took the job, and what was in it is gone. The next visit tells the protocol.
    pub(crate) fn note_refused(&mut self, now: Time, buffers: &mut Buffers) {
        self.job_out = false;
        self.active = now;
        match self.phase_mut() {
            Some(Phase::Working(done)) => *done = Some(Returned::Refused),
            Some(Phase::Storing(_)) => self.replace_phase(Phase::Working(Some(Returned::Refused)), buffers),
            _ => {}
        }
    }

    /// Does what can be done within the budget of a visit. Gives the next deadline too; [`Time::NEVER`] while only a job is
    /// awaited.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> (Status, Time) {
        self.unstow(visit);
        let ended = self.advance(visit);
        let bytes = visit.budget.bytes_read().saturating_add(visit.written);
        visit.charge(VISIT_UNITS.saturating_add(bytes as u32));
        self.stow(visit);
        self.pace = self.pace.after(visit.budget);
        ended
    }

    fn advance(&mut self, visit: &mut Visit<'_>) -> (Status, Time) {
        let mut asked = false;
        loop {
            // Rule 3: output is written first.
            self.flush(visit);
            let round = match self.phase_mut() {
                None => self.converse(visit),
                Some(Phase::Working(_)) => self.resume(visit),
                Some(Phase::Storing(_)) => self.store(visit),
                Some(Phase::Speaking) => self.speak(visit),
                Some(&mut Phase::Flushing(reason)) => self.finish_writing(reason, visit),
                Some(&mut Phase::Lingering(reason, _)) => self.discard(reason, visit),
                Some(Phase::Closed(_)) => return (Status::Closed, Time::NEVER),
            };
            let status = match round {
                Round::Progress => continue,
                // Rule 1: every direction that it wants said `WouldBlock` last, or a result is to come.
                Round::Rest => Status::Waiting,
                Round::Spent => Status::Again,
                Round::WantsBuffer => Status::WantsBuffer,
            };
            if !visit.outbox.is_empty() {
                self.note_taking(visit);
            }
            let next = self.next_expiry(visit.limits, self.pending(visit));
            if !self.is_due(next, visit, status) {
                return (status, next.0);
            }
            if asked {
                self.expire(next, visit);
            } else {
                // Rule 8: a loop that was held up must not blame the peer for it: what arrived in the meantime counts.
                self.ready.readable = true;
                asked = true;
            }
        }
    }

    /// Writes until nothing is left or the kernel takes no more.
    fn flush(&mut self, visit: &mut Visit<'_>) {
        if visit.outbox.is_empty() || !self.ready.writable || self.is_over() {
            return;
        }
        let was_full = self.is_full(visit);
        while !visit.outbox.is_empty() && self.ready.writable {
            let pending = visit.outbox.pending();
            let offered = pending.len() as u32;
            match attempt(|| xray::answered(self.transport.write(pending), move || Call::Write { offered })) {
                Attempt::Done(0) => return self.fail(io::ErrorKind::WriteZero, visit),
                Attempt::Done(count) => {
                    visit.outbox.advance(count);
                    visit.stats.sent_bytes += count as u64;
                    visit.written += count;
                    if visit.outbox.is_empty() {
                        self.active = visit.now;
                    }
                }
                Attempt::WouldBlock => self.ready.writable = false,
                Attempt::Failed(error) => return self.fail(error.kind(), visit),
            }
        }
        if was_full && !self.is_full(visit) {
            self.note_full(false, visit);
            if self.within == Within::Request {
                self.held().request = visit.now;
            }
        }
    }

    fn converse(&mut self, visit: &mut Visit<'_>) -> Round {
        // Rule 6: a full outbox stops reading, and TCP passes that on to the peer.
        if self.is_full(visit) {
            return Round::Rest;
        }
        if !self.starved {
            if visit.budget.is_spent() {
                return Round::Spent;
            }
            if mem::take(&mut self.cut_short) && !visit.pressed {
                self.read_on(visit);
                return Round::Progress;
            }
            let input = self.take_input();
            let consumed = self.deliver(&input, visit);
            self.keep(input, consumed);
            return Round::Progress;
        }
        if self.peer_finished {
            self.announce_eof(visit);
            return Round::Progress;
        }
        if !self.ready.readable {
            return Round::Rest;
        }
        let most = if visit.pressed { PRESSED_READ_BYTES } else { READ_BYTES };
        let buffer = mem::take(&mut visit.read_buffer);
        let round = match self.read(&mut buffer[..most], visit) {
            Ok(count) => {
                self.receive(&buffer[..count], visit);
                Round::Progress
            }
            Err(round) => round,
        };
        visit.read_buffer = buffer;
        round
    }

    /// Reads what came behind a read that was cut short, so that the protocol is shown both at once.
    fn read_on(&mut self, visit: &mut Visit<'_>) {
        let buffer = mem::take(&mut visit.read_buffer);
        if let Ok(count) = self.read(&mut buffer[..READ_BYTES - QUIET_BYTES_MAX], visit) {
            self.held().input.extend_from_slice(&buffer[..count]);
        }
        visit.read_buffer = buffer;
    }

    /// Reads into `room`, if the socket may have something and the budget allows it. Gives how much came; or what the
    /// round comes to, if nothing did.
    fn read(&mut self, room: &mut [u8], visit: &mut Visit<'_>) -> Result<usize, Round> {
        if !self.ready.readable {
            return Err(Round::Rest);
        }
        let most = room.len().min(visit.budget.bytes());
        if most == 0 {
            return Err(Round::Spent);
        }
        let room = &mut room[..most];
        match attempt(|| xray::answered(self.transport.read(room), || Call::Read { asked: room.len() as u32 })) {
            Attempt::Done(0) => {
                self.peer_finished = true;
                self.ready.readable = false;
                Err(Round::Progress)
            }
            Attempt::Done(count) => {
                visit.budget.take_bytes(count);
                visit.stats.received_bytes += count as u64;
                self.active = visit.now;
                // Rule 2: a short read proves a stream drained, unless an event left it in doubt.
                if count < room.len() && !self.ready.in_doubt && self.transport.short_read_drains() {
                    self.ready.readable = false;
                }
                Ok(count)
            }
            Attempt::WouldBlock => {
                self.ready.readable = false;
                self.ready.in_doubt = false;
                Err(Round::Progress)
            }
            Attempt::Failed(error) => {
                self.fail(error.kind(), visit);
                Err(Round::Progress)
            }
        }
    }

    /// Delivers what has just been read: straight from the read buffer, unless older bytes wait before it.
    fn receive(&mut self, bytes: &[u8], visit: &mut Visit<'_>) {
        self.starved = false;
        if visit.budget.turns_loud() {
            visit.budget.spend();
            self.cut_short = true;
        }
        if self.input().is_empty() {
            let consumed = self.deliver(bytes, visit);
            if consumed < bytes.len() && self.listens() {
                self.held().input = bytes[consumed..].to_vec();
            }
        } else {
            self.held().input.extend_from_slice(bytes);
        }
    }

    /// Gives the protocol one message after the other, until it asks for more or its output is full.
    fn deliver(&mut self, bytes: &[u8], visit: &mut Visit<'_>) -> usize {
        let mut done = 0;
        while done < bytes.len() && !self.starved && !visit.budget.is_spent() && self.is_open() && !self.is_full(visit)
        {
            let rest = &bytes[done..];
            let consumed = self.call(visit, Ask::Bytes, rest, |protocol, cx| protocol.on_bytes(rest, cx));
            if consumed == 0 && !self.starved && self.is_open() {
                self.leave(Phase::Closed(CloseReason::Bug("it asked to go on without consuming anything")), visit);
            }
            done += consumed;
        }
        self.starved |= done == bytes.len();
        done
    }

    /// Tells the protocol that something other than bytes happened. Returns how much of the rest it consumed.
    fn tell(&mut self, event: Event, visit: &mut Visit<'_>) -> usize {
        let input = self.take_input();
        self.starved = false;
        let consumed = self.call(visit, Ask::of(&event), &input, |protocol, cx| protocol.on_event(event, &input, cx));
        self.keep(input, consumed);
        self.starved |= self.input().is_empty();
        consumed
    }

    /// The peer's FIN, after everything before it. Nothing can follow, so a protocol that waits on is finished.
    fn announce_eof(&mut self, visit: &mut Visit<'_>) {
        let consumed = self.tell(Event::Eof, visit);
        if consumed == 0 && self.is_open() {
            self.leave(Phase::Flushing(CloseReason::Eof), visit);
        }
    }

    /// Tells the protocol what its job returned, once that is there and there is room for what it may answer.
    fn resume(&mut self, visit: &mut Visit<'_>) -> Round {
        let is_full = self.is_full(visit);
        let Some(Phase::Working(result)) = self.phase_mut() else { return Round::Progress };
        let Some(returned) = result.take_if(|returned| !is_full || !matches!(returned, Returned::Job(_))) else {
            return Round::Rest;
        };
        self.converse_again();
        match returned {
            Returned::Job(outcome) => {
                self.tell(Event::Done(outcome), visit);
            }
            Returned::Refused => self.close_in_order(CloseReason::NoWorker, Event::NoWorker, visit),
            Returned::Bulk(..) | Returned::Panicked(_) => {
                self.leave(Phase::Closed(CloseReason::Bug("a job panicked")), visit);
            }
        }
        Round::Progress
    }

    /// Lets a protocol that has more to say go on, once there is room for it.
    fn speak(&mut self, visit: &mut Visit<'_>) -> Round {
        if self.is_full(visit) {
            return Round::Rest;
        }
        if visit.budget.is_spent() {
            return Round::Spent;
        }
        self.converse_again();
        let before = visit.outbox.len();
        self.tell(Event::Room, visit);
        if visit.outbox.len() == before && matches!(self.phase(), Some(Phase::Speaking)) {
            self.leave(Phase::Closed(CloseReason::Bug("it had more to say and said nothing")), visit);
        }
        Round::Progress
    }

    /// Bytes go to the protocol again.
    fn converse_again(&mut self) {
        self.take_phase();
        xray::record(|| What::Phase(xray::Phase::Conversing, ""));
    }

    /// Keeps what was not consumed, and no more memory than that takes: it may have to wait for long.
    fn keep(&mut self, input: Vec<u8>, consumed: usize) {
        if consumed < input.len() && self.listens() {
            self.held().input = if consumed == 0 { input } else { input[consumed..].to_vec() };
        }
    }

    /// Calls the protocol, and does what it decides. Returns how much it consumed.
    fn call(
        &mut self,
        visit: &mut Visit<'_>,
        ask: Ask,
        input: &[u8],
        call: impl FnOnce(&mut dyn StreamProtocol, &mut Context<'_>) -> Reply,
    ) -> usize {
        match self.ask(visit, ask, input.len(), call) {
            Ok(Ok(step)) if step.consumed <= input.len() => {
                let consumed = step.consumed;
                self.decide(step, input.len(), visit);
                return consumed;
            }
            Ok(Ok(_)) => self.leave(Phase::Closed(CloseReason::Bug("it consumed more than there was")), visit),
            Ok(Err(error)) => {
                visit.outbox.extend_from_slice(error.reply.as_bytes());
                self.leave(Phase::Flushing(CloseReason::Refused(error.reason)), visit);
            }
            Err(panicked) => self.leave_over(&panicked, visit),
        }
        0
    }

    /// The protocol panicked: what it knows cannot be trusted any more.
    fn leave_over(&mut self, panicked: &Panicked, visit: &mut Visit<'_>) {
        self.hold_bug(format!("it panicked{}", panicked.detail()));
        self.leave(Phase::Closed(CloseReason::Bug("it panicked")), visit);
    }

    /// Calls the protocol.
    fn ask(
        &mut self,
        visit: &mut Visit<'_>,
        ask: Ask,
        input: usize,
        call: impl FnOnce(&mut dyn StreamProtocol, &mut Context<'_>) -> Reply,
    ) -> Result<Reply, Panicked> {
        let peer = self.peer.address();
        let before = visit.outbox.len();
        let mut cx = Context::new(visit.outbox, &mut visit.stats.refused, visit.instant, visit.wall_clock, peer);
        let reply = catch(|| call(&mut *self.protocol, &mut cx));
        visit.charge(CALL_UNITS);
        xray::record(|| recording::asked(ask, input, visit.outbox.len() - before, &reply));
        reply
    }

    fn decide(&mut self, step: Step, available: usize, visit: &mut Visit<'_>) {
        if let Some(held) = &mut self.held {
            held.quiet = Time::NEVER;
        }
        match step.then {
            Then::Again => self.enter(Within::Nothing, visit),
            Then::Wait { .. } if available - step.consumed > UNCONSUMED_BYTES_MAX => {
                log::debug!("{}: it may not leave so much unconsumed: {:#}", self.peer(), self.why_until(visit));
                self.leave(Phase::Flushing(CloseReason::Refused("too long")), visit);
            }
            Then::Wait { within, quiet } => {
                self.enter(within, visit);
                self.starved = true;
                if let Some(quiet) = quiet.filter(|quiet| !quiet.is_zero()) {
                    self.held().quiet = visit.now.after(quiet);
                }
            }
            Then::Job(job) => {
                self.begin(Phase::Working(None));
                self.hand_out(job, visit);
            }
            Then::Bulk { to, at_most } => {
                self.enter(Within::Body, visit);
                self.begin(Phase::Storing(Bulk::new(to, at_most)));
            }
            Then::More => self.begin(Phase::Speaking),
            Then::Finish => {
                let reason = if self.peer_finished { CloseReason::Eof } else { CloseReason::Finished };
                self.leave(Phase::Flushing(reason), visit);
            }
        }
    }

    fn hand_out(&mut self, job: Job, visit: &mut Visit<'_>) {
        debug_assert!(visit.job.is_none() && !self.job_out, "one job at a time");
        self.job_out = true;
        visit.job = Some(job);
    }
}

#[cfg(test)]
mod back_pressure;
#[cfg(test)]
mod tests;
