//! The phases of a connection other than conversation: working, storing, speaking, and the steps by which it closes. The table
//! in `transitions.rs` has every change from one phase to another.

use std::any::Any;
use std::io;

use super::fin::Fin;
use super::round::Round;
use super::{Connection, Ended, recording, transitions};
use crate::attempt::Attempt;
use crate::bulk::{Buffers, Bulk, Returned};
use crate::kernel::Transport;
use crate::panics::catch;
use crate::protocol::{CloseReason, Job};
use crate::time::Time;
use crate::visit::{Errand, Visit};
use crate::xray::{self, What};

/// The phase of a connection that is not in conversation.
pub(super) enum Phase {
    /// The protocol waits for its job; holds the result once it has come.
    Working(Option<Returned>),
    /// Bytes go to a file.
    Storing(Bulk),
    /// The protocol has more output than there was room for.
    Speaking,
    /// Bytes go to another connection, and come from it; the state of our FIN.
    Relaying(Fin),
    /// Pending output is sent; then our FIN.
    Flushing(CloseReason),
    /// Our FIN was sent at this time. Rule 7: input is discarded until the peer's FIN, because closing over unread input resets
    /// the connection and can destroy the reply on its way (RFC 1122, 4.2.2.13).
    Lingering(CloseReason, Time),
    /// The connection is closed, and is reaped at the end of the turn.
    Closed(CloseReason),
}

impl Phase {
    /// Returns the name of the phase for the X-ray and the table of transitions.
    pub(super) fn name(&self) -> xray::Phase {
        match self {
            Self::Working(_) => xray::Phase::Working,
            Self::Storing(_) => xray::Phase::Storing,
            Self::Speaking => xray::Phase::Speaking,
            Self::Relaying(_) => xray::Phase::Relaying,
            Self::Flushing(_) => xray::Phase::Flushing,
            Self::Lingering(..) => xray::Phase::Lingering,
            Self::Closed(_) => xray::Phase::Closed,
        }
    }

    /// Returns the record of its beginning for the X-ray.
    fn recorded(&self) -> What {
        let reason = match self {
            Self::Flushing(reason) | Self::Lingering(reason, _) | Self::Closed(reason) => reason.text(),
            Self::Working(_) | Self::Storing(_) | Self::Speaking | Self::Relaying(_) => "",
        };
        What::Phase(self.name(), reason)
    }
}

impl<T: Transport> Connection<T> {
    /// Returns the phase; `None` in conversation.
    pub(super) fn phase(&self) -> Option<&Phase> {
        self.held.as_ref()?.phase.as_deref()
    }

    /// Returns the phase, to be changed; `None` in conversation.
    pub(super) fn phase_mut(&mut self) -> Option<&mut Phase> {
        self.held.as_mut()?.phase.as_deref_mut()
    }

    /// Whether the connection is in conversation: bytes go to the protocol.
    pub(super) fn is_open(&self) -> bool {
        self.phase().is_none()
    }

    /// Whether the connection waits only to be reaped.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase(), Some(Phase::Closed(_)))
    }

    /// Whether input still matters.
    pub(super) fn listens(&self) -> bool {
        matches!(
            self.phase(),
            None | Some(Phase::Working(_) | Phase::Storing(_) | Phase::Speaking | Phase::Relaying(_))
        )
    }

    /// Returns the name of the phase, conversation included.
    pub(super) fn phase_name(&self) -> xray::Phase {
        self.phase().map_or(xray::Phase::Conversing, Phase::name)
    }

    /// Changes to `phase`, from conversation or from an errand.
    pub(super) fn begin(&mut self, phase: Phase) {
        transitions::check(self.phase_name(), phase.name());
        xray::record(|| phase.recorded());
        self.held().phase = Some(Box::new(phase));
    }

    /// Asks the loop for an errand, and waits for its result.
    pub(super) fn wait_for(&mut self, errand: Errand, visit: &mut Visit<'_>) {
        self.begin(Phase::Working(None));
        self.hand_out(errand, visit);
    }

    /// Asks the loop to run an errand after the visit.
    pub(super) fn hand_out(&mut self, errand: Errand, visit: &mut Visit<'_>) {
        debug_assert!(!self.job_out, "one job at a time");
        self.job_out = true;
        visit.errand = Some(match visit.errand.take() {
            Some(Errand::LetGo(made, None)) => Errand::LetGo(made, Some(Box::new(errand))),
            before => {
                debug_assert!(before.is_none(), "one errand at a time");
                errand
            }
        });
    }

    /// Changes to conversation.
    pub(super) fn converse_again(&mut self) {
        transitions::check(self.phase_name(), xray::Phase::Conversing);
        self.take_phase();
        xray::record(|| What::Phase(xray::Phase::Conversing, ""));
    }

    /// Takes the phase: for good when the conversation goes on, or while the caller works on it.
    pub(super) fn take_phase(&mut self) -> Option<Box<Phase>> {
        self.held.as_mut()?.phase.take()
    }

    /// Sends our FIN once everything is sent, and waits for the peer's unless that has come.
    pub(super) fn finish_writing(&mut self, reason: CloseReason, visit: &mut Visit<'_>) -> Round {
        if !visit.outbox.is_empty() {
            return Round::Rest;
        }
        if self.close_layer(visit) {
            return Round::Progress;
        }
        // Rule 7: after the last byte our FIN, then the peer's or `linger_timeout`.
        let next = if self.line.finish() { Phase::Lingering(reason, visit.now) } else { Phase::Closed(reason) };
        self.replace_phase(next, visit.buffers);
        Round::Progress
    }

    /// Reads and discards input until the peer's FIN, as much as the budget allows. Not inlined: it would lengthen the path of a
    /// request.
    #[inline(never)]
    pub(super) fn discard(&mut self, reason: CloseReason, visit: &mut Visit<'_>) -> Round {
        if !self.line.is_readable() {
            return Round::Rest;
        }
        let most = visit.read_buffer.len().min(visit.budget.bytes());
        if most == 0 {
            return Round::Spent;
        }
        match self.line.discard(&mut visit.read_buffer[..most]) {
            Attempt::Done(0) => self.replace_phase(Phase::Closed(reason), visit.buffers),
            Attempt::Done(count) => {
                visit.budget.take_bytes(count);
                visit.stats.received_bytes += count as u64;
            }
            Attempt::WouldBlock => {}
            Attempt::Failed(error) => self.fail(error.kind(), visit),
        }
        Round::Progress
    }

    /// Resets the connection, in any phase.
    pub(crate) fn cut(&mut self, reason: CloseReason, buffers: &mut Buffers) {
        if !self.is_closed() {
            self.line.reset_on_close();
            self.replace_phase(Phase::Closed(reason), buffers);
        }
    }

    /// Closes the connection without a reset, so that an answer that has been sent still arrives. If it was closing already, the first
    /// reason counts.
    pub(crate) fn close_at_once(&mut self, reason: CloseReason, buffers: &mut Buffers) {
        let reason = self.first_reason(reason);
        self.replace_phase(Phase::Closed(reason), buffers);
    }

    /// Returns the reason of a connection that is closing already, and `reason` for another one.
    fn first_reason(&self, reason: CloseReason) -> CloseReason {
        match self.phase() {
            Some(&(Phase::Flushing(first) | Phase::Lingering(first, _))) => first,
            _ => reason,
        }
    }

    /// Returns the socket, to be registered, unless the connection has closed.
    pub(crate) fn open_socket(&mut self) -> Option<&mut T> {
        (!self.is_closed()).then_some(&mut self.line.transport)
    }

    /// Closes a connection whose socket has failed. If it was closing already, the first reason counts.
    #[cold]
    pub(super) fn fail(&mut self, kind: io::ErrorKind, visit: &mut Visit<'_>) {
        let reason = self.first_reason(CloseReason::Transport(kind));
        self.leave(Phase::Closed(reason), visit);
    }

    /// Leaves the conversation for good. Unconsumed input and messages are dropped, and if the connection is closed, pending output too.
    pub(super) fn leave(&mut self, phase: Phase, visit: &mut Visit<'_>) {
        if matches!(phase, Phase::Closed(_)) {
            visit.outbox.clear();
        }
        self.drop_letters(visit);
        self.replace_phase(phase, visit.buffers);
    }

    /// Changes to a phase of closing, and releases what the phase before held.
    pub(super) fn replace_phase(&mut self, next: Phase, buffers: &mut Buffers) {
        transitions::check(self.phase_name(), next.name());
        xray::record(|| next.recorded());
        let held = self.held();
        held.input = Vec::new();
        match held.phase.replace(Box::new(next)).map(|before| *before) {
            Some(Phase::Storing(bulk)) => {
                self.hold_remains(bulk.abandon(buffers).map(|sink| sink as Box<dyn Any + Send>))
            }
            Some(Phase::Working(Some(returned))) => self.hold_remains(returned.into_remains()),
            _ => {}
        }
    }

    /// Tears down a closed connection: calls `on_close`, and passes what may block when it is dropped to the last job.
    pub(crate) fn end(self) -> Ended<T> {
        let reason = match self.phase() {
            Some(&(Phase::Closed(reason) | Phase::Flushing(reason) | Phase::Lingering(reason, _))) => reason,
            _ => CloseReason::Shutdown,
        };
        let relayed = self.held.as_ref().is_some_and(|held| held.relayed);
        let (remains, mut bug, layered, other) =
            self.held.map_or((None, None, None, None), |held| (held.remains, held.bug, held.layered, held.other));
        let mut protocol = self.protocol;
        let told = catch(|| protocol.on_close(reason));
        xray::record(|| recording::on_close(matches!(told, Ok(Some(_)))));
        // Rule 9: a panic in a destructor ends only its own connection.
        let dropped = catch(move || drop(protocol));
        if let Some(panicked) = told.as_ref().err().or_else(|| dropped.as_ref().err()) {
            bug.get_or_insert_with(|| format!("panicked when its connection closed{}", panicked.detail()).into());
        }
        if let Some(layered) = layered
            && let Err(panicked) = catch(move || drop(layered))
        {
            bug.get_or_insert_with(|| format!("its layer panicked when it was dropped{}", panicked.detail()).into());
        }
        let last = match (told.unwrap_or(None), remains) {
            (None, None) => None,
            (discard, remains) => Some(Job::discarding(remains, discard)),
        };
        let (transport, job_out, within) = (self.line.into_transport(), self.job_out, self.within);
        Ended { transport, reason, bug, last, job_out, other, relayed, asked: None, within }
    }
}
