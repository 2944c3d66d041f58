//! Relaying: two connections are joined. What one peer sends goes to the other, past both protocols.
//!
//! ```text
//! relay                  moves bytes both ways, then passes on FINs, failures and deadlines
//!  ├ pass_on             one read of one half: `read(2)` into the loop's buffer
//!  │  └ give             to the other half: `write(2)` from that buffer; what the kernel does not take is kept
//!  ├ pass_fin            our FIN, after all bytes before it
//!  └ expire_relay        the next deadline of either half
//! ```
//!
//! Rule 1, for two: a visit of either half moves bytes in both directions until each has a source that is drained or a sink that
//! is full. So a half whose reading was paused needs no wake-up of its own: the event that makes room for its bytes visits it.

use std::io;
use std::mem;

use super::expiry::Expired;
use super::fin::Fin;
use super::moved::Moved;
use super::{Connection, Phase, Round};
use crate::bulk::Buffers;
use crate::job::Outcome;
use crate::kernel::Transport;
use crate::limits::{Limits, PRESSED_READ_BYTES, READ_BYTES, VISIT_UNITS};
use crate::panics::Panicked;
use crate::protocol::{CloseReason, ConnectionId, Within};
use crate::time::Time;
use crate::visit::{Left, Status, Visit};
use crate::xray::{self, What};

impl<T: Transport> Connection<T> {
    /// Whether the connection may be joined by `other`: its protocol waits for input, or it waits for `other`.
    pub(crate) fn may_relay_with(&self, other: ConnectionId) -> bool {
        self.is_open() || self.waits_for_asker() == Some(other)
    }

    /// Makes a new connection wait until the protocol of the one that asked for it has had its number. It is not read until then:
    /// else its protocol would be shown a FIN that is meant for a relay, and close. Returns whether it waits.
    pub(crate) fn wait_for_asker(&mut self, asker: ConnectionId) -> bool {
        // A protocol that has begun something else in `on_open` is not disturbed.
        let may_wait = self.is_open();
        if may_wait {
            self.begin(Phase::Working(None));
            self.held().other = Some(asker);
        }
        may_wait
    }

    /// Returns the connection that asked for this one, while this one waits for it.
    pub(crate) fn waits_for_asker(&self) -> Option<ConnectionId> {
        let waits = !self.job_out && matches!(self.phase(), Some(Phase::Working(None)));
        self.held.as_ref().filter(|_| waits)?.other
    }

    /// Goes on after the connection that asked for this one. Its peer was not read until now, and was not idle.
    pub(crate) fn go_on(&mut self, now: Time) {
        self.active = now;
        self.converse_again();
        self.held().other = None;
    }

    /// Whether the connection waits for an errand: a job, a connection to another server, or a relay.
    pub(crate) fn awaits_errand(&self) -> bool {
        self.job_out && matches!(self.phase(), Some(Phase::Working(None)))
    }

    /// Returns the other half, if the connection relays.
    pub(crate) fn relays_with(&self) -> Option<ConnectionId> {
        self.held.as_ref().filter(|_| self.relays())?.other
    }

    /// Notes the result of an errand.
    pub(crate) fn note_answer(&mut self, result: Result<Outcome, Panicked>, now: Time, buffers: &mut Buffers) {
        if let Some(held) = &mut self.held {
            held.other = None;
        }
        self.note_done(result, now, buffers);
    }

    /// Notes the socket that connects for this connection, or the new connection that waits for this one.
    pub(crate) fn note_other(&mut self, other: ConnectionId) {
        self.held().other = Some(other);
    }

    /// Whether this connection has an answer for its protocol, and `made` waits until that was called with it.
    pub(crate) fn keeps_waiting(&self, made: ConnectionId) -> bool {
        self.held.as_ref().is_some_and(|held| held.other == Some(made)) && (self.has_answer() || !self.listens())
    }

    /// Whether the next visit calls the protocol with the result of an errand.
    pub(super) fn has_answer(&self) -> bool {
        matches!(self.phase(), Some(Phase::Working(Some(_))))
    }

    /// Leaves the protocol, and is joined with `other`. Messages that wait for the protocol are dropped.
    pub(crate) fn join(&mut self, other: ConnectionId) {
        self.job_out = false;
        self.cut_short = false;
        self.within = Within::Body;
        self.begin(Phase::Relaying(Fin::NotYet));
        let held = self.held();
        held.other = Some(other);
        held.relayed = true;
        held.letters = None;
        (held.request, held.quiet, held.timer) = (Time::NEVER, Time::NEVER, Time::NEVER);
    }

    /// Ends the part of a visit that needs no other half. `relay` makes the rest, and notes how long the visit took.
    pub(super) fn leave_to_relay(&mut self, visit: &mut Visit<'_>) -> Left {
        visit.charge(VISIT_UNITS.saturating_add(visit.written as u32));
        self.stow(visit);
        Left { status: Status::Relays, deadline: Time::NEVER }
    }

    /// Moves bytes both ways between two halves of a relay. Each keeps what it holds between two visits. If either half leaves the
    /// relay, so does the other. Returns how the visit ended, and what this half and the other one moved in it.
    pub(crate) fn relay(&mut self, other: &mut Self, visit: &mut Visit<'_>) -> (Status, [Moved; 2]) {
        let (mut ours, mut others) = (Moved::default(), Moved::default());
        let mut asked = false;
        loop {
            let status = self.exchange(other, [&mut ours, &mut others], visit);
            self.pass_fins(other, [&mut ours, &mut others], visit);
            self.follow(other, visit);
            other.follow(self, visit);
            // Activity at either side counts for both.
            self.active = self.active.max(other.active);
            other.active = self.active;
            if !self.relays() || !self.expire_relay(other, &mut asked, status, visit) {
                self.pace = self.pace.after(visit.budget.bytes_read(), visit.budget);
                return (status, [ours, others]);
            }
        }
    }

    /// Whether the connection relays.
    fn relays(&self) -> bool {
        matches!(self.phase(), Some(Phase::Relaying(_)))
    }

    /// Moves bytes both ways until nothing can be moved or the budget is used up.
    fn exchange(&mut self, other: &mut Self, [ours, others]: [&mut Moved; 2], visit: &mut Visit<'_>) -> Status {
        loop {
            match (self.pass_on(other, [ours, others], visit), other.pass_on(self, [others, ours], visit)) {
                (Round::Progress, _) | (_, Round::Progress) => {}
                (Round::Spent, _) | (_, Round::Spent) => return Status::Again,
                _ => return Status::Waiting,
            }
        }
    }

    /// Passes on unconsumed input, or what one read returns, or that the peer has finished.
    fn pass_on(&mut self, other: &mut Self, [ours, others]: [&mut Moved; 2], visit: &mut Visit<'_>) -> Round {
        if !self.relays() || !other.relays() {
            return Round::Rest;
        }
        // Rule 6: no more is read than there is room for at the other side.
        let room = other.room(visit);
        if !self.input().is_empty() && room > 0 {
            let input = self.take_input();
            let count = room.min(input.len());
            self.record_visit_of_other_half();
            other.give(&input[..count], others, visit);
            self.keep(input, count);
            return Round::Progress;
        }
        if self.line.has_peer_finished() {
            // Set only after all input: a FIN never overtakes bytes.
            return if self.input().is_empty() { other.note_fin() } else { Round::Rest };
        }
        if !self.line.is_readable() {
            return Round::Rest;
        }
        if room == 0 {
            other.note_held_back(visit);
            return Round::Rest;
        }
        if visit.budget.is_spent() {
            return Round::Spent;
        }
        let buffer = mem::take(&mut visit.read_buffer);
        other.record_visit_of_other_half();
        let before = Moved::so_far(visit);
        let read = if self.is_layered() {
            // A layer may send something of its own.
            self.unstow(visit);
            let read = self.read_plain(buffer, room, visit);
            self.flush(visit);
            self.stow(visit);
            read
        } else {
            self.read_into(&mut buffer[..room], visit)
        };
        ours.add_since(before, visit);
        if let Ok(count) = read {
            self.record_visit_of_other_half();
            visit.charge(count as u32);
            other.give(&buffer[..count], others, visit);
        }
        visit.read_buffer = buffer;
        read.map_or_else(|round| round, |_| Round::Progress)
    }

    /// Records that the next calls are those of the other half.
    fn record_visit_of_other_half(&self) {
        if let Some(other) = self.held.as_ref().and_then(|held| held.other) {
            xray::about(other.token(), || What::Visit);
        }
    }

    /// Returns how many bytes this half may be given.
    fn room(&self, visit: &Visit<'_>) -> usize {
        match (visit.pressed, self.pending_bytes()) {
            (true, 0) => PRESSED_READ_BYTES.min(visit.limits.max_pending_output),
            (true, _) => 0,
            (false, pending) => visit.limits.max_pending_output.saturating_sub(pending).min(READ_BYTES),
        }
    }

    /// Notes that this half has no room, so that the other one is not read. Under pressure any pending output leaves none.
    fn note_held_back(&mut self, visit: &mut Visit<'_>) {
        if !self.is_held_back() {
            self.unstow(visit);
            self.stow(visit);
        }
    }

    /// Sends bytes, and keeps those that the kernel does not take.
    fn give(&mut self, bytes: &[u8], moved: &mut Moved, visit: &mut Visit<'_>) {
        let before = Moved::so_far(visit);
        self.unstow(visit);
        let mut rest = bytes;
        // Straight from the read buffer, unless older bytes come before them.
        if visit.outbox.is_empty() && !self.is_layered() {
            match self.write(bytes) {
                Ok(count) => {
                    visit.stats.sent_bytes += count as u64;
                    visit.written += count;
                    self.active = visit.now;
                    rest = &bytes[count..];
                }
                Err(error) => {
                    self.fail(error.kind(), visit);
                    rest = &[];
                }
            }
        }
        if !rest.is_empty() {
            let before = visit.outbox.len();
            visit.outbox.extend_from_slice(rest);
            if self.is_layered() {
                self.seal(before, visit);
            }
            self.flush(visit);
        }
        self.stow(visit);
        moved.add_since(before, visit);
    }

    /// Writes until the kernel takes no more. Returns the number of bytes that it took.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() && self.line.is_writable() {
            sent += self.line.write(&bytes[sent..])?;
        }
        Ok(sent)
    }

    /// Notes that the peer of the other half has finished, and that all of its bytes were given to this half.
    fn note_fin(&mut self) -> Round {
        match self.phase_mut() {
            Some(Phase::Relaying(fin @ Fin::NotYet)) => {
                *fin = Fin::Due;
                Round::Progress
            }
            _ => Round::Rest,
        }
    }

    /// Passes on FINs. Once all bytes of both sides are sent and both peers have finished, both halves close.
    fn pass_fins(&mut self, other: &mut Self, [ours, others]: [&mut Moved; 2], visit: &mut Visit<'_>) {
        // What a layer sends at its end comes before our FIN.
        let is_layered = self.is_layered() || other.is_layered();
        if is_layered || !(self.is_complete() && other.is_complete()) {
            self.pass_fin(other, ours, visit);
            other.pass_fin(self, others, visit);
        }
        if self.is_complete() && other.is_complete() {
            // `close(2)` sends a FIN that was not sent yet.
            for half in [self, other] {
                half.replace_phase(Phase::Closed(CloseReason::Eof), visit.buffers);
            }
        }
    }

    /// Whether everything is sent that will ever be, and the peer has finished.
    fn is_complete(&self) -> bool {
        let sent = match self.phase() {
            Some(Phase::Relaying(Fin::Sent)) => true,
            Some(Phase::Relaying(Fin::Due)) => self.pending_bytes() == 0 && !self.is_layered(),
            _ => false,
        };
        sent && self.line.has_peer_finished() && self.input().is_empty()
    }

    /// Sends our FIN if it is due and everything before it is sent.
    fn pass_fin(&mut self, other: &Self, moved: &mut Moved, visit: &mut Visit<'_>) {
        if !matches!(self.phase(), Some(Phase::Relaying(Fin::Due))) {
            return;
        }
        other.record_visit_of_other_half();
        if self.is_layered() && self.pending_bytes() == 0 {
            let before = Moved::so_far(visit);
            self.unstow(visit);
            self.close_layer(visit);
            self.flush(visit);
            self.stow(visit);
            moved.add_since(before, visit);
        }
        if self.pending_bytes() > 0 || !self.relays() {
            return;
        }
        match self.line.send_fin() {
            Ok(()) => {
                if let Some(Phase::Relaying(fin)) = self.phase_mut() {
                    *fin = Fin::Sent;
                }
            }
            Err(error) => self.fail(error.kind(), visit),
        }
    }

    /// Ends this half if the other one has left the relay.
    fn follow(&mut self, other: &Self, visit: &mut Visit<'_>) {
        if !self.relays() || other.relays() {
            return;
        }
        if other.is_closed() {
            // A reset is passed on as a reset, and so is what the protocols cannot know of.
            self.cut(CloseReason::OtherSide, visit.buffers);
        } else {
            self.leave_relay(CloseReason::OtherSide, visit);
        }
    }

    /// Leaves the relay gracefully: pending output, and our FIN unless that was sent.
    fn leave_relay(&mut self, reason: CloseReason, visit: &mut Visit<'_>) {
        let next = match self.phase() {
            Some(Phase::Relaying(Fin::Sent)) if self.line.has_peer_finished() => Phase::Closed(reason),
            Some(Phase::Relaying(Fin::Sent)) => Phase::Lingering(reason, visit.now),
            _ => Phase::Flushing(reason),
        };
        self.replace_phase(next, visit.buffers);
    }

    /// Acts on the deadlines of both halves. Returns whether to look at both once more.
    fn expire_relay(&mut self, other: &mut Self, asked: &mut bool, status: Status, visit: &mut Visit<'_>) -> bool {
        let pending = self.pending_bytes() + other.pending_bytes() > 0;
        let halves = [self, other];
        let Some(which) = halves.iter().position(|half| half.next_due(visit.limits) <= visit.now) else { return false };
        let (_, expired) = halves[which].next_expiry(visit.limits, halves[which].pending_between_visits());
        match expired {
            Expired::Write => {
                visit.written = 0;
                if halves[which].is_stuck(visit) {
                    xray::record(|| What::Expired("write timeout"));
                    let half = &mut *halves[which];
                    half.cut(CloseReason::WriteTimeout, visit.buffers);
                }
            }
            // Neither peer is idle: the server waits for one of them to read.
            Expired::Close(CloseReason::Idle) if pending => {
                for half in halves {
                    half.active = visit.now;
                }
            }
            // More may have come: that is not silence.
            Expired::Close(CloseReason::Idle) if status == Status::Again => return false,
            // Rule 8: a delayed loop must not count against the peers, so both sockets are asked once more.
            Expired::Close(_) if !mem::replace(asked, true) => {
                for half in halves {
                    half.line.ask_again();
                }
            }
            Expired::Close(reason) => {
                xray::record(|| What::Expired(reason.name()));
                for (place, half) in halves.into_iter().enumerate() {
                    log::debug!("{}: deadline expired: {}", half.peer(), half.why(visit.limits, visit.now, false));
                    let is_own = place == which || reason == CloseReason::Idle;
                    half.leave_relay(if is_own { reason } else { CloseReason::OtherSide }, visit);
                }
            }
            Expired::Quiet | Expired::Timer | Expired::Message | Expired::Linger => return false,
        }
        true
    }

    /// Returns when its next deadline is due.
    fn next_due(&self, limits: &Limits) -> Time {
        self.next_expiry(limits, self.pending_between_visits()).0
    }

    /// Checks the rules of waiting for two halves of a relay, neither of which is certain to be visited.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check_relay(&self, other: &Self, limits: &Limits, pressed: bool) -> Result<(), &'static str> {
        if !other.relays() {
            return Err("relays, and the other half does not");
        }
        let pending = other.pending_bytes();
        // What was held back under pressure goes on with the next edge of the other half, also if the pressure has ended.
        let has_room = if pressed || other.is_held_back() { pending == 0 } else { pending < limits.max_pending_output };
        // An event after the FIN of its peer brings no bytes.
        let is_readable = self.line.is_readable() && !self.line.has_peer_finished();
        let has_more = !self.input().is_empty() || is_readable;
        match self.phase() {
            _ if has_room && has_more => Err("relays, and waits although it has input and the other half has room"),
            Some(Phase::Relaying(Fin::Due)) if self.pending_bytes() == 0 => Err("relays, and does not send its FIN"),
            _ => Ok(()),
        }
    }
}
