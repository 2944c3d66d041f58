//! Storing: bulk data goes from the socket into buffers, and a worker writes them to a file.

use super::{Connection, Pace, Phase, Round, transitions};
use crate::attempt::Attempt;
use crate::bulk::{Bulk, NoRoom, Room};
use crate::errno;
use crate::kernel::{Pipe, Transport};
use crate::limits::{READ_BYTES, SPLICED_PER_BYTE};
use crate::time::Time;
use crate::visit::{Errand, Visit};
use crate::xray::{self, Ask, What};

/// Why no bytes were moved into a pipe.
enum NotSpliced {
    /// The round ends in this way.
    Round(Round),
    /// It is not possible with this socket.
    Impossible,
}

impl<T: Transport> Connection<T> {
    /// Makes one round: stores first what was received already, then reads from the socket straight into a buffer. Not inlined: it would
    /// lengthen the path of a request.
    #[inline(never)]
    pub(super) fn store(&mut self, visit: &mut Visit<'_>) -> Round {
        let is_full = self.is_full(visit);
        // If a call below closes the connection, it sets a new phase. The end of this function then finds it.
        let Some(mut phase) = self.take_phase() else { return Round::Progress };
        let Phase::Storing(bulk) = &mut *phase else { return Round::Progress };
        let over = self.is_stored(bulk);
        // The protocol's answer needs room.
        if !is_full && let Some(stored) = bulk.ended(over, visit.buffers) {
            transitions::check(phase.name(), xray::Phase::Conversing);
            xray::record(|| What::Phase(xray::Phase::Conversing, ""));
            self.active = visit.now;
            self.call_with_input(Ask::Stored, visit, |protocol, rest, cx| stored.call(protocol, rest, cx));
            return Round::Progress;
        }
        let round = if over { Round::Rest } else { self.fill(bulk, visit) };
        if !self.is_closed() {
            let pausing = !matches!(round, Round::Progress);
            // A visit whose budget is used up is not the end of what has arrived.
            if let Some(job) = bulk.hand_over(pausing && !matches!(round, Round::Spent)) {
                self.hand_out(Errand::Job(job), visit);
            }
            if pausing {
                bulk.rest(visit.buffers);
            }
        }
        if let Some(closed) = self.held().phase.replace(phase) {
            self.replace_phase(*closed, visit.buffers);
            return Round::Progress;
        }
        round
    }

    /// Whether no more bytes of an upload follow.
    pub(super) fn is_stored(&self, bulk: &Bulk) -> bool {
        bulk.is_full() || (self.line.has_peer_finished() && self.input().is_empty())
    }

    /// Notes that no job is out any more.
    pub(super) fn end_job(&mut self, now: Time) {
        self.job_out = false;
        self.active = now;
        if self.has_pipe_away() {
            // It may have been the pipe that was full, and since then its reads may be paused: so no event may have come.
            self.line.ask_again();
            // The next visit may fill another pipe.
            self.pace = Pace::Long;
        }
    }

    /// Whether a worker has the pipe of an upload. Meanwhile what arrives stays in the socket.
    pub(crate) fn has_pipe_away(&self) -> bool {
        matches!(self.phase(), Some(Phase::Storing(bulk)) if bulk.has_pipe_away())
    }

    /// Whether something has arrived that has to wait until the worker is back with the pipe.
    pub(crate) fn waits_for_pipe(&self) -> bool {
        matches!(self.phase(), Some(Phase::Storing(bulk)) if bulk.has_pipe_away() && !self.is_stored(bulk))
            && self.line.is_readable()
    }

    /// Whether the connection stores an upload.
    pub(crate) fn is_storing(&self) -> bool {
        matches!(self.phase(), Some(Phase::Storing(_)))
    }

    /// Puts received bytes or one read into a buffer.
    fn fill(&mut self, bulk: &mut Bulk, visit: &mut Visit<'_>) -> Round {
        if self.input().is_empty() && !self.line.is_readable() {
            return Round::Rest;
        }
        // Bytes that the program has already, and those that a layer opens, are in memory.
        let may_pipe = self.input().is_empty() && !self.is_layered() && self.line.may_splice();
        let room = match bulk.room(visit.buffers, may_pipe, visit.now) {
            Ok(room) => room,
            Err(NoRoom::Writing) => return Round::Rest,
            Err(NoRoom::PoolEmpty) => {
                // The peer is not idle: the server does not read from it.
                self.active = visit.now;
                return Round::WantsBuffer;
            }
        };
        if self.input().is_empty() && self.is_layered() {
            return self.read_ahead(visit);
        }
        match room {
            Room::Pipe(pipe, most) => match self.splice_into(pipe, most, visit) {
                Ok(count) => bulk.advance(count),
                Err(NotSpliced::Round(round)) => return round,
                Err(NotSpliced::Impossible) => bulk.forgo_pipes(visit.buffers),
            },
            Room::Bytes(room) if self.input().is_empty() => match self.read_into(room, visit) {
                Ok(count) => bulk.advance(count),
                Err(round) => return round,
            },
            Room::Bytes(room) => {
                let input = self.take_input();
                let count = room.len().min(input.len());
                room[..count].copy_from_slice(&input[..count]);
                bulk.advance(count);
                self.keep(input, count);
            }
        }
        Round::Progress
    }

    /// Moves bytes from the socket into a pipe, as many as the budget allows. Returns the number of bytes.
    fn splice_into(&mut self, pipe: &mut Pipe, most: usize, visit: &mut Visit<'_>) -> Result<usize, NotSpliced> {
        let most = most.min(SPLICED_PER_BYTE * visit.budget.bytes());
        if most == 0 {
            return Err(NotSpliced::Round(Round::Spent));
        }
        match self.line.splice(pipe, most) {
            Attempt::Done(0) | Attempt::WouldBlock => Err(NotSpliced::Round(Round::Progress)),
            Attempt::Done(count) => {
                visit.budget.take_bytes(count.div_ceil(SPLICED_PER_BYTE));
                visit.stats.received_bytes += count as u64;
                self.active = visit.now;
                Ok(count)
            }
            Attempt::Failed(error) if errno::is_no_splice(&error) => Err(NotSpliced::Impossible),
            Attempt::Failed(error) => {
                self.fail(error.kind(), visit);
                Err(NotSpliced::Round(Round::Progress))
            }
        }
    }

    /// Reads through a layer into the unconsumed input, because more may come than is to be stored.
    fn read_ahead(&mut self, visit: &mut Visit<'_>) -> Round {
        match self.read(READ_BYTES, visit) {
            Ok(count) => {
                self.held().input.extend_from_slice(&visit.read_buffer[..count]);
                Round::Progress
            }
            Err(round) => round,
        }
    }
}
