//! The conversation: bytes and events go to the protocol, and what it decides is done.
//!
//! A byte comes from [`converse`](Connection::converse), through [`deliver`](Connection::deliver), to
//! [`call`](Connection::call): the only place where a protocol is called, but for `on_close`.

use std::mem;
use std::time::Duration;

use super::ends::OfConnection;
use super::{Connection, Phase, Round, recording, transitions};
use crate::attempt::Attempt;
use crate::bulk::{Bulk, Returned};
use crate::job::Job;
use crate::kernel::Transport;
use crate::limits::{CALL_UNITS, PRESSED_READ_BYTES, QUIET_BYTES_MAX, READ_BYTES, UNCONSUMED_BYTES_MAX};
use crate::panics::catch;
use crate::protocol::{CloseReason, Context, Event, Reply, Step, StreamProtocol, Then, Timer, Within};
use crate::time::Time;
use crate::visit::{Errand, Visit};
use crate::xray::{self, Ask, What};

impl<T: Transport> Connection<T> {
    /// Lets the protocol speak first.
    pub(super) fn greet(&mut self, visit: &mut Visit<'_>) {
        self.call(visit, Ask::Open, &[], |protocol, cx| protocol.on_open(cx));
    }

    /// Delivers what waits, or what can be read, or the peer's FIN.
    pub(super) fn converse(&mut self, visit: &mut Visit<'_>) -> Round {
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
        if self.line.has_peer_finished() {
            self.announce_eof(visit);
            return Round::Progress;
        }
        if !self.line.is_readable() {
            return Round::Rest;
        }
        let most = if visit.pressed { PRESSED_READ_BYTES } else { READ_BYTES };
        let buffer = mem::take(&mut visit.read_buffer);
        let read = self.read_plain(buffer, most, visit);
        if let Ok(count) = read {
            let bytes = &buffer[..count];
            self.starved = false;
            if visit.budget.turns_loud() {
                visit.budget.spend();
                self.cut_short = true;
            }
            // Straight from the read buffer, unless older bytes wait before them.
            if self.input().is_empty() {
                let consumed = self.deliver(bytes, visit);
                if consumed < bytes.len() && self.listens() {
                    self.held().input = bytes[consumed..].to_vec();
                }
            } else {
                self.held().input.extend_from_slice(bytes);
            }
        }
        visit.read_buffer = buffer;
        read.map_or_else(|round| round, |_| Round::Progress)
    }

    /// Reads what came behind a read that was cut short, so that the protocol is shown both at once.
    fn read_on(&mut self, visit: &mut Visit<'_>) {
        if let Ok(count) = self.read(READ_BYTES - QUIET_BYTES_MAX, visit) {
            self.held().input.extend_from_slice(&visit.read_buffer[..count]);
        }
    }

    /// Reads at most `most` bytes into the loop's buffer. Returns how many there are for the protocol, or what the round comes to
    /// if there are none.
    pub(super) fn read(&mut self, most: usize, visit: &mut Visit<'_>) -> Result<usize, Round> {
        let buffer = mem::take(&mut visit.read_buffer);
        let read = self.read_plain(buffer, most, visit);
        visit.read_buffer = buffer;
        read
    }

    #[inline]
    fn read_plain(&mut self, buffer: &mut [u8], most: usize, visit: &mut Visit<'_>) -> Result<usize, Round> {
        if self.is_layered() {
            self.read_sealed(buffer, most, visit)
        } else {
            self.read_into(&mut buffer[..most], visit)
        }
    }

    /// Reads bytes of the wire into `room`, as many as the budget allows.
    pub(super) fn read_into(&mut self, room: &mut [u8], visit: &mut Visit<'_>) -> Result<usize, Round> {
        if !self.line.is_readable() {
            return Err(Round::Rest);
        }
        let most = room.len().min(visit.budget.bytes());
        if most == 0 {
            return Err(Round::Spent);
        }
        match self.line.read(&mut room[..most]) {
            Attempt::Done(0) | Attempt::WouldBlock => Err(Round::Progress),
            Attempt::Done(count) => {
                visit.budget.take_bytes(count);
                visit.stats.received_bytes += count as u64;
                self.active = visit.now;
                Ok(count)
            }
            Attempt::Failed(error) => {
                self.fail(error.kind(), visit);
                Err(Round::Progress)
            }
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
    pub(super) fn tell(&mut self, event: Event, visit: &mut Visit<'_>) -> usize {
        self.give(Ask::of(&event), visit, |protocol, rest, cx| protocol.on_event(event, rest, cx))
    }

    /// Gives the protocol something other than bytes. Returns how much of the rest it consumed.
    pub(super) fn give(
        &mut self,
        ask: Ask,
        visit: &mut Visit<'_>,
        give: impl FnOnce(&mut dyn StreamProtocol, &[u8], &mut Context<'_>) -> Reply,
    ) -> usize {
        let input = self.take_input();
        self.starved = false;
        let consumed = self.call(visit, ask, &input, |protocol, cx| give(protocol, &input, cx));
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
    pub(super) fn resume(&mut self, visit: &mut Visit<'_>) -> Round {
        let is_full = self.is_full(visit);
        let Some(Phase::Working(result)) = self.phase_mut() else { return Round::Progress };
        let Some(returned) = result.take_if(|returned| !is_full || !matches!(returned, Returned::Job(_))) else {
            return Round::Rest;
        };
        self.converse_again();
        match returned {
            Returned::Job(then) => {
                self.give(Ask::Done, visit, |protocol, rest, cx| then.call(protocol, rest, cx));
            }
            Returned::Refused => self.close_in_order(CloseReason::NoWorker, Event::NoWorker, visit),
            Returned::Bulk(..) | Returned::Panicked(_) => {
                self.leave(Phase::Closed(CloseReason::Bug("a job panicked")), visit);
            }
        }
        Round::Progress
    }

    /// Lets a protocol that has more to say go on, once there is room for it.
    pub(super) fn speak(&mut self, visit: &mut Visit<'_>) -> Round {
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
        transitions::check(self.phase_name(), xray::Phase::Conversing);
        self.take_phase();
        xray::record(|| What::Phase(xray::Phase::Conversing, ""));
    }

    /// Keeps what was not consumed, and no more memory than that takes: it may have to wait for long.
    pub(super) fn keep(&mut self, input: Vec<u8>, consumed: usize) {
        if consumed < input.len() && self.listens() {
            self.held().input = if consumed == 0 { input } else { input[consumed..].to_vec() };
        }
    }

    /// Calls the protocol, and does what it decides; nothing if these are its last words. Returns how much it consumed.
    pub(super) fn call(
        &mut self,
        visit: &mut Visit<'_>,
        ask: Ask,
        input: &[u8],
        call: impl FnOnce(&mut dyn StreamProtocol, &mut Context<'_>) -> Reply,
    ) -> usize {
        let before = visit.outbox.len();
        let ends = OfConnection { peer: &self.peer, line: &self.line };
        let mut cx = Context {
            out: visit.outbox,
            now: visit.moment.instant,
            refused: &mut visit.stats.refused,
            place: &visit.place,
            ends: &ends,
        };
        let reply = catch(|| call(&mut *self.protocol, &mut cx));
        visit.charge(CALL_UNITS);
        let (available, appended, answer) = (input.len(), visit.outbox.len() - before, &reply);
        xray::record(move || recording::asked(ask, available, appended, answer));
        let mut consumed = 0;
        match reply {
            Ok(Ok(step)) if step.consumed <= available => {
                consumed = step.consumed;
                if !ask.is_last() {
                    self.decide(step, available, visit);
                }
            }
            Ok(Ok(_)) => self.leave(Phase::Closed(CloseReason::Bug("it consumed more than there was")), visit),
            Ok(Err(error)) => {
                visit.outbox.extend_from_slice(error.reply.as_bytes());
                if !ask.is_last() {
                    self.leave(Phase::Flushing(CloseReason::Refused(error.reason)), visit);
                }
            }
            // What it knows cannot be trusted any more.
            Err(panicked) => {
                self.hold_bug(format!("it panicked{}", panicked.detail()));
                self.leave(Phase::Closed(CloseReason::Bug("it panicked")), visit);
            }
        }
        if self.is_layered() {
            self.seal(before, visit);
        }
        consumed
    }

    fn decide(&mut self, step: Step, available: usize, visit: &mut Visit<'_>) {
        if let Some(held) = &mut self.held {
            held.quiet = Time::NEVER;
        }
        if step.timer != Timer::Unchanged {
            self.move_timer(step.timer, visit);
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
                let reason = if self.line.has_peer_finished() { CloseReason::Eof } else { CloseReason::Finished };
                self.leave(Phase::Flushing(reason), visit);
            }
            Then::Bug(what) => self.leave(Phase::Closed(CloseReason::Bug(what)), visit),
        }
    }

    /// Sets or stops the timer. One that is due already fires in the next turn, so that a protocol which sets it again and again
    /// does not keep the loop.
    #[cold]
    fn move_timer(&mut self, timer: Timer, visit: &Visit<'_>) {
        let at = match timer {
            Timer::At(at) => Time::since(visit.moment.origin, at).max(visit.now.after(Duration::from_nanos(1))),
            Timer::Unchanged | Timer::Stopped => Time::NEVER,
        };
        self.held().timer = at;
    }

    pub(super) fn hand_out(&mut self, job: Job, visit: &mut Visit<'_>) {
        debug_assert!(visit.errand.is_none() && !self.job_out, "one job at a time");
        self.job_out = true;
        visit.errand = Some(Errand::Job(job));
    }
}
