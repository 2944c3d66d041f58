//! Uploads: the kernel moves bytes from the socket into a pipe.

use super::{Doubt, Line};
use crate::attempt::Attempt;
use crate::kernel::{Pipe, Transport, pipes};

impl<T: Transport> Line<T> {
    /// Whether [`splice`](Self::splice) may be used. It stops for ever at urgent data, which a read skips: so not while an event is in
    /// doubt.
    pub(in crate::connection) fn may_splice(&self) -> bool {
        self.transport.splices() && self.doubt.0 & Doubt::EVENT == 0
    }

    /// Moves at most `most` bytes into `pipe` instead of reading them; 0 means the peer's FIN. After `WouldBlock` the stream is drained,
    /// or it is still readable and the pipe is full.
    pub(in crate::connection) fn splice(&mut self, pipe: &mut Pipe, most: usize) -> Attempt<usize> {
        let moved = pipes::fill(pipe, &mut self.transport, most);
        match moved {
            Attempt::Done(0) => (self.peer_finished, self.readable) = (true, false),
            // Rule 1: a full pipe proves nothing about the socket.
            Attempt::WouldBlock if pipes::has_room(pipe) => self.readable = false,
            _ => {}
        }
        moved
    }
}
