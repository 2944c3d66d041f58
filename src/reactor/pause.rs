//! Pausing reads. While a worker empties the pipe of an upload, the socket collects what arrives, and no event reports it: one event for
//! each packet would cost more than the upload itself. When the worker is back, the connection is visited first and reads what has
//! come; its events are switched on again only if it hands nothing to the worker then.
//!
//! Nothing is lost: if the socket is ready when its events are switched on, an event reports that (`epoll_ctl(2)`).

use super::{Owner, Reactor};
use crate::kernel::{Kernel, Token};
use crate::protocol::CloseReason;
use crate::xray;

/// The reason by which a connection is counted whose events cannot be switched on.
const REASON: &str = "cannot be registered";

/// An upload through pipes. There are at most as many as pipes.
#[derive(Debug)]
pub(super) struct Piped {
    /// The connection.
    token: Token,
    /// Whether its reads are paused.
    paused: bool,
}

impl<K: Kernel> Reactor<K> {
    /// Notes that a job of a connection was submitted.
    pub(super) fn note_piped(&mut self, key: u32) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        let token = slot.token(key);
        if matches!(&slot.owner, Owner::Connection(connection) if connection.empties_pipe())
            && self.queues.piped.iter().all(|piped| piped.token != token)
        {
            self.queues.piped.push(Piped { token, paused: false });
        }
    }

    /// Pauses the reads of each connection whose pipe a worker has begun to empty in this turn, and resumes those of each other one.
    #[inline]
    pub(super) fn pause_reads(&mut self) {
        if !self.queues.piped.is_empty() {
            self.look_at_piped();
        }
    }

    /// Does that for all of them.
    #[cold]
    fn look_at_piped(&mut self) {
        let mut piped = std::mem::take(&mut self.queues.piped);
        piped.retain_mut(|piped| self.pause_or_resume(piped));
        self.queues.piped = piped;
    }

    /// Does that for one of them. Returns whether a worker empties its pipe.
    fn pause_or_resume(&mut self, Piped { token, paused }: &mut Piped) -> bool {
        let Some(slot) = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
        else {
            return false;
        };
        let Owner::Connection(connection) = &mut slot.owner else { return false };
        let pauses = connection.empties_pipe();
        if pauses == *paused {
            return pauses;
        }
        let Some(stream) = connection.registrable() else { return false };
        xray::go_on_about(*token);
        if let Err(error) = self.kernel.reregister(stream, *token, !pauses) {
            log::debug!(
                "{token} {}: closing: its events cannot be changed: {error}",
                self.endpoints[slot.endpoint].name()
            );
            connection.close_at_once(CloseReason::Refused(REASON), &mut self.lent.buffers);
            self.queue(token.slot);
            return false;
        }
        *paused = pauses;
        pauses
    }
}
