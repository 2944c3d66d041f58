//! The socket half of a connection: what may be read and written, and what has been proved about it.
//!
//! It moves bytes of the wire and knows neither protocol nor budget. Edge-triggered readiness comes once, so each readiness is a
//! claim: it is cleared only when the kernel owes the next edge, or after the peer's FIN.

use std::io;
use std::net::SocketAddr;

use crate::attempt::{Attempt, attempt};
use crate::connection::Claim;
use crate::kernel::Transport;
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::xray::{self, Call};

/// A socket, and what is known of it.
pub(super) struct Line<T> {
    transport: T,
    /// What the socket may be ready for. Events set it; only `WouldBlock`, or what proves the same, clears it.
    ready: Readiness,
    /// The peer's FIN has been read.
    peer_finished: bool,
}

impl<T: Transport> Line<T> {
    /// A new socket may have bytes already and certainly takes some, so its first visit needs no event.
    pub(super) fn new(transport: T) -> Self {
        let ready = Readiness { readable: true, writable: true, in_doubt: false };
        Self { transport, ready, peer_finished: false }
    }

    /// A socket whose connect is in progress. Nothing is done with it before an event.
    pub(super) fn connecting(transport: T) -> Self {
        Self { transport, ready: Readiness::default(), peer_finished: false }
    }

    /// Asks how the connect ended. Returns whether it has: while it is in progress, an edge is owed.
    ///
    /// # Errors
    /// It has failed.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        let connected = match attempt(|| self.transport.is_connected()) {
            Attempt::Done(connected) => connected,
            Attempt::WouldBlock => false,
            Attempt::Failed(error) => return Err(error),
        };
        self.ready.readable = connected;
        self.ready.writable = connected;
        Ok(connected)
    }

    /// An event came.
    pub(super) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
        self.ready.in_doubt |= readiness.in_doubt;
    }

    /// Whether a read may find something.
    pub(super) fn is_readable(&self) -> bool {
        self.ready.readable
    }

    /// Whether a write may be taken.
    pub(super) fn is_writable(&self) -> bool {
        self.ready.writable
    }

    /// Whether the peer has sent its FIN, and everything before it has been read.
    pub(super) fn has_peer_finished(&self) -> bool {
        self.peer_finished
    }

    /// Makes the next read ask the socket, whatever was proved before.
    pub(super) fn ask_again(&mut self) {
        self.ready.readable = true;
    }

    /// Reads into `room`, which is not empty. 0 bytes are the peer's FIN; fewer than there is room for may prove that nothing is
    /// left.
    #[inline]
    pub(super) fn read(&mut self, room: &mut [u8]) -> Attempt<usize> {
        let read = attempt(|| xray::answered(self.transport.read(room), || Call::Read { asked: room.len() as u32 }));
        match read {
            Attempt::Done(0) => {
                self.peer_finished = true;
                self.ready.readable = false;
            }
            Attempt::Done(count) => {
                // Rule 2: a short read proves a stream drained, unless an event left it in doubt.
                if count < room.len() && !self.ready.in_doubt && self.transport.short_read_drains() {
                    self.ready.readable = false;
                }
            }
            // Rule 1: only now is waiting for an edge right.
            Attempt::WouldBlock => {
                self.ready.readable = false;
                self.ready.in_doubt = false;
            }
            Attempt::Failed(_) => {}
        }
        read
    }

    /// Writes until nothing is pending or the kernel takes no more; `took` is told of each number of bytes that it took.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(super) fn flush(&mut self, outbox: &mut Outbox, mut took: impl FnMut(usize)) -> io::Result<()> {
        while !outbox.is_empty() && self.ready.writable {
            let pending = outbox.pending();
            let offered = pending.len() as u32;
            match attempt(|| xray::answered(self.transport.write(pending), move || Call::Write { offered })) {
                Attempt::Done(0) => return Err(io::ErrorKind::WriteZero.into()),
                Attempt::Done(count) => {
                    outbox.advance(count);
                    took(count);
                }
                Attempt::WouldBlock => self.ready.writable = false,
                Attempt::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends our FIN, unless the peer's has come: then nothing is unread, and closing sends ours. Returns whether the peer's FIN
    /// is to be awaited.
    pub(super) fn finish(&mut self) -> bool {
        !self.peer_finished && xray::answered(self.transport.shutdown_write(), || Call::Shutdown).is_ok()
    }

    /// Makes closing reset the connection.
    pub(super) fn reset_on_close(&mut self) {
        self.transport.reset_on_close();
    }

    /// Bytes that were written and that the peer has not acknowledged; `None` where the system does not tell.
    pub(super) fn unacknowledged(&self) -> Option<usize> {
        self.transport.unacknowledged()
    }

    /// The address of this machine that the peer reached; asks the kernel.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.transport.local_address()
    }

    /// What it believes of its socket.
    pub(super) fn claim(&self) -> Claim {
        Claim { drained: !self.ready.readable && !self.peer_finished, blocked: !self.ready.writable }
    }

    /// The socket, to be closed.
    pub(super) fn into_transport(self) -> T {
        self.transport
    }
}

#[cfg(test)]
impl<T> Line<T> {
    /// What a test makes happen at the other end.
    pub(super) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}
