//! The protocol half: passes bytes and events to the protocol, and does what it decides.
//!
//! Bytes go from [`converse`](Connection::converse) through [`deliver`](Connection::deliver) to [`call`](Connection::call),
//! which makes every call of a protocol except `on_close`.

use std::mem;
use std::time::Duration;

use super::ends::OfConnection;
use super::{Connection, Phase, Round, recording};
use crate::attempt::Attempt;
use crate::bulk::{Bulk, Returned};
use crate::kernel::Transport;
use crate::limits::{CALL_UNITS, PRESSED_READ_BYTES, QUIET_BYTES_MAX, READ_BYTES, UNCONSUMED_BYTES_MAX};
use crate::panics::catch;
use crate::protocol::{CloseReason, Context, Event, Reply, Step, StreamProtocol, Then, Timer, Within};
use crate::time::Time;
use crate::visit::{Errand, Visit};
use crate::xray::{self, Ask};

impl<T: Transport> Connection<T> {
    /// Calls `on_open`.
    pub(super) fn greet(&mut self, visit: &mut Visit<'_>) {
        self.call(visit, Ask::Open, &[], |protocol, cx| protocol.on_open(cx));
    }

    /// Delivers unconsumed input, or what one read returns, or the peer's FIN.
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
            // Straight from the read buffer, unless older bytes come before them.
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

    /// Continues a read that was cut short, so that the protocol is shown all of it at once.
    fn read_on(&mut self, visit: &mut Visit<'_>) {
        if let Ok(count) = self.read(READ_BYTES - QUIET_BYTES_MAX, visit) {
            self.held().input.extend_from_slice(&visit.read_buffer[..count]);
        }
    }

    /// Reads at most `most` bytes into the loop's buffer. Returns the number of bytes, or how the round ends if there are none.
    pub(super) fn read(&mut self, most: usize, visit: &mut Visit<'_>) -> Result<usize, Round> {
        let buffer = mem::take(&mut visit.read_buffer);
        let read = self.read_plain(buffer, most, visit);
        visit.read_buffer = buffer;
        read
    }

    /// Reads bytes for the protocol into `buffer`; returns as [`read`](Self::read) does.
    #[inline]
    pub(super) fn read_plain(&mut self, buffer: &mut [u8], most: usize, visit: &mut Visit<'_>) -> Result<usize, Round> {
        if self.is_layered() {
            self.read_sealed(buffer, most, visit)
        } else {
            self.read_into(&mut buffer[..most], visit)
        }
    }

    /// Reads bytes from the socket into `room`, as many as the budget allows.
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

    /// Passes messages to the protocol until it asks for more input or the outbox is full. Returns the bytes consumed.
    fn deliver(&mut self, bytes: &[u8], visit: &mut Visit<'_>) -> usize {
        let mut done = 0;
        while done < bytes.len() && !self.starved && !visit.budget.is_spent() && self.is_open() && !self.is_full(visit)
        {
            let rest = &bytes[done..];
            let consumed = self.call(visit, Ask::Bytes, rest, |protocol, cx| protocol.on_bytes(rest, cx));
            if consumed == 0 && !self.starved && self.is_open() {
                self.leave(Phase::Closed(CloseReason::Bug("returned Step::again without consuming input")), visit);
            }
            done += consumed;
        }
        self.starved |= done == bytes.len();
        done
    }

    /// Delivers an event. Returns how much of the unconsumed input the protocol consumed.
    pub(super) fn notify(&mut self, event: Event, visit: &mut Visit<'_>) -> usize {
        self.call_with_input(Ask::of(&event), visit, |protocol, rest, cx| protocol.on_event(event, rest, cx))
    }

    /// Calls a method of the protocol that may also consume the unconsumed input. Returns how much it consumed.
    pub(super) fn call_with_input(
        &mut self,
        ask: Ask,
        visit: &mut Visit<'_>,
        method: impl FnOnce(&mut dyn StreamProtocol, &[u8], &mut Context<'_>) -> Reply,
    ) -> usize {
        let (input, has_seen_all) = (self.take_input(), self.starved);
        self.starved = false;
        let consumed = self.call(visit, ask, &input, |protocol, cx| method(protocol, &input, cx));
        self.keep(input, consumed);
        // Rule 1: input that `on_bytes` has not seen is still to be delivered, whatever this call waits for.
        self.starved = self.input().is_empty() || self.starved && (has_seen_all || ask == Ask::Eof);
        consumed
    }

    /// Delivers the peer's FIN after all input. Nothing can follow, so a protocol that asks for more input has finished.
    fn announce_eof(&mut self, visit: &mut Visit<'_>) {
        let consumed = self.notify(Event::Eof, visit);
        if consumed == 0 && self.is_open() {
            self.leave(Phase::Flushing(CloseReason::Eof), visit);
        }
    }

    /// Passes the job's result to the protocol, once it has come and there is room for the answer.
    pub(super) fn resume(&mut self, visit: &mut Visit<'_>) -> Round {
        let is_full = self.is_full(visit);
        let Some(Phase::Working(result)) = self.phase_mut() else { return Round::Progress };
        let Some(returned) = result.take_if(|returned| !is_full || !matches!(returned, Returned::Job(_))) else {
            return Round::Rest;
        };
        self.converse_again();
        match returned {
            Returned::Job(then) => {
                if let Some(made) = self.held.as_mut().and_then(|held| held.other.take()) {
                    visit.errand = Some(Errand::LetGo(made, None));
                }
                self.call_with_input(Ask::Done, visit, |protocol, rest, cx| then.call(protocol, rest, cx));
            }
            Returned::Refused => self.close_gracefully(CloseReason::NoWorker, Event::NoWorker, visit),
            Returned::Bulk(..) | Returned::Panicked(_) => {
                self.leave(Phase::Closed(CloseReason::Bug("a job panicked")), visit);
            }
        }
        Round::Progress
    }

    /// Asks a protocol that has more output for it, once there is room.
    pub(super) fn speak(&mut self, visit: &mut Visit<'_>) -> Round {
        if self.is_full(visit) {
            return Round::Rest;
        }
        if visit.budget.is_spent() {
            return Round::Spent;
        }
        self.converse_again();
        let before = visit.outbox.len();
        self.notify(Event::Room, visit);
        if visit.outbox.len() == before && matches!(self.phase(), Some(Phase::Speaking)) {
            self.leave(Phase::Closed(CloseReason::Bug("returned Step::more without appending output")), visit);
        }
        Round::Progress
    }

    /// Keeps unconsumed input, in no more memory than it needs, because it may wait for long.
    pub(super) fn keep(&mut self, input: Vec<u8>, consumed: usize) {
        if consumed < input.len() && self.listens() {
            self.held().input = if consumed == 0 { input } else { input[consumed..].to_vec() };
        }
    }

    /// Calls the protocol and does what it decides, unless the connection closes anyway. Returns how much it consumed.
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
            Ok(Ok(_)) => self.leave(Phase::Closed(CloseReason::Bug("consumed more than there was")), visit),
            Ok(Err(error)) => {
                visit.outbox.extend_from_slice(error.reply.as_bytes());
                if !ask.is_last() {
                    self.leave(Phase::Flushing(CloseReason::Refused(error.reason)), visit);
                }
            }
            // Rule 9: its state cannot be trusted any more, so its connection ends at once.
            Err(panicked) => {
                self.hold_bug(format!("panicked{}", panicked.detail()));
                self.leave(Phase::Closed(CloseReason::Bug("panicked")), visit);
            }
        }
        if self.is_layered() {
            self.seal(before, visit);
        }
        consumed
    }

    /// Does what a step asks for; `available` is the number of bytes that the protocol was shown.
    fn decide(&mut self, step: Step, available: usize, visit: &mut Visit<'_>) {
        if let Some(held) = &mut self.held {
            held.quiet = Time::NEVER;
        }
        if step.timer != Timer::Unchanged {
            self.move_timer(step.timer, visit);
        }
        if !matches!(step.then, Then::Wait { .. }) {
            visit.stats.requests += u64::from(step.consumed > 0);
        }
        match step.then {
            Then::Again => self.enter(Within::Nothing, visit),
            Then::Wait { .. } if available - step.consumed > UNCONSUMED_BYTES_MAX => {
                let (peer, why) = (self.peer(), self.why_until(visit));
                log::debug!(
                    "{peer}: closing: the protocol left more than {UNCONSUMED_BYTES_MAX} bytes unconsumed: {why:#}"
                );
                self.leave(Phase::Flushing(CloseReason::Refused("too long")), visit);
            }
            Then::Wait { within, quiet } => {
                self.enter(within, visit);
                self.starved = true;
                if let Some(quiet) = quiet.filter(|quiet| !quiet.is_zero()) {
                    self.held().quiet = visit.now.after(quiet);
                }
            }
            Then::Job(job) => self.wait_for(Errand::Job(job), visit),
            Then::Connect(connect) => self.wait_for(Errand::Connect(connect), visit),
            Then::Relay(other) => self.wait_for(Errand::Relay(other), visit),
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

    /// Sets or stops the timer. It fires in the next turn at the earliest, so that a protocol cannot keep the loop busy with it.
    #[cold]
    fn move_timer(&mut self, timer: Timer, visit: &Visit<'_>) {
        let at = match timer {
            Timer::At(at) => Time::since(visit.moment.origin, at).max(visit.now.after(Duration::from_nanos(1))),
            Timer::Unchanged | Timer::Stopped => Time::NEVER,
        };
        self.held().timer = at;
    }
}
