//! Pausing reads. While a worker empties the pipe of an upload, what arrives stays in the socket. An event for each packet would cost
//! more than the upload itself, so the loop asks for no more: at once if the pipe is full, else after the first event. When the
//! worker is back, the connection is visited, and reads what has come. Its reads stay paused until it has handed nothing to the
//! worker and waits for the peer: a fast upload goes from pipe to pipe without an event.
//!
//! Nothing is lost: when reads are resumed, an event reports a socket that is ready (`epoll_ctl(2)`). A reset is reported in any case.

use super::{Owner, Reactor};
use crate::kernel::{Kernel, Token};
use crate::protocol::CloseReason;
use crate::xray;

/// The reason by which a connection is counted whose reads cannot be resumed.
const REASON: &str = "cannot be registered";

/// An upload whose pipe a worker has, or has just brought back.
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
        if matches!(&slot.owner, Owner::Connection(connection) if connection.has_pipe_away())
            && self.queues.piped.iter().all(|piped| piped.token != token)
        {
            self.queues.piped.push(Piped { token, paused: false });
        }
    }

    /// Pauses and resumes the reads of uploads through pipes, at the end of a turn.
    #[inline]
    pub(super) fn pause_reads(&mut self) {
        if !self.queues.piped.is_empty() {
            self.pause_or_resume();
        }
    }

    /// Looks at each of these uploads, and forgets those that go on without a pipe or have ended.
    #[cold]
    fn pause_or_resume(&mut self) {
        let mut piped = std::mem::take(&mut self.queues.piped);
        piped.retain_mut(|piped| self.goes_on(piped));
        self.queues.piped = piped;
    }

    /// Pauses or resumes the reads of one upload. Returns whether to look at it again.
    fn goes_on(&mut self, Piped { token, paused }: &mut Piped) -> bool {
        let Some(slot) = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
        else {
            return false;
        };
        let Owner::Connection(connection) = &mut slot.owner else { return false };
        let is_away = connection.has_pipe_away();
        // A visit that is certain needs no event.
        let stays =
            if *paused { is_away || slot.queued && connection.is_storing() } else { connection.waits_for_pipe() };
        if stays == *paused {
            return is_away || stays;
        }
        let Some(stream) = connection.open_socket() else { return false };
        xray::go_on_about(*token);
        match self.kernel.reregister(stream, *token, !stays) {
            Ok(()) => *paused = stays,
            // It goes on with more events than it needs.
            Err(_) if stays => {}
            Err(error) => {
                let endpoint = self.endpoints[slot.endpoint].name();
                log::debug!("{token} {endpoint}: closing: its reads cannot be resumed: {error}");
                connection.close_at_once(CloseReason::Refused(REASON), &mut self.lent.buffers);
                self.queue(token.slot);
            }
        }
        is_away
    }
}
