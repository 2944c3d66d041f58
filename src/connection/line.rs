//! The socket half of a connection: moves bytes, and knows what has been proved about its readiness.
//!
//! Edge-triggered readiness is reported once. So a flag of [`Readiness`] is cleared only when the kernel will report the next
//! edge, or after the peer's FIN.

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
    /// The socket.
    transport: T,
    /// What the socket may be ready for. Events set it; only `WouldBlock`, or what proves the same, clears it.
    ready: Readiness,
    /// The peer's FIN has been read.
    peer_finished: bool,
}

impl<T: Transport> Line<T> {
    /// Makes a line that is ready both ways: a new socket may already have bytes, and has room for some.
    pub(super) fn new(transport: T) -> Self {
        let ready = Readiness { readable: true, writable: true, in_doubt: false };
        Self { transport, ready, peer_finished: false }
    }

    /// Makes a line whose connect is in progress. It is not used before an event.
    pub(super) fn connecting(transport: T) -> Self {
        Self { transport, ready: Readiness::default(), peer_finished: false }
    }

    /// Asks the kernel whether the socket is connected. While the connect is in progress, an edge will follow.
    ///
    /// # Errors
    /// The connect has failed.
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

    /// Notes an event.
    pub(super) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
        self.ready.in_doubt |= readiness.in_doubt;
    }

    /// Whether a read may return something.
    pub(super) fn is_readable(&self) -> bool {
        self.ready.readable
    }

    /// Whether the kernel may take a write.
    pub(super) fn is_writable(&self) -> bool {
        self.ready.writable
    }

    /// Whether the peer has sent its FIN, and everything before it has been read.
    pub(super) fn has_peer_finished(&self) -> bool {
        self.peer_finished
    }

    /// Makes the next read ask the kernel, whatever was proved before.
    pub(super) fn ask_again(&mut self) {
        self.ready.readable = true;
    }

    /// Reads into `room`, which is not empty. 0 bytes mean the peer's FIN; a short read may prove that nothing is left.
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
            // Rule 1: only now may the connection wait for an edge.
            Attempt::WouldBlock => {
                self.ready.readable = false;
                self.ready.in_doubt = false;
            }
            Attempt::Failed(_) => {}
        }
        read
    }

    /// Writes until nothing is pending or the kernel takes no more. Calls `took` with each number of bytes taken.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline]
    pub(super) fn flush(&mut self, outbox: &mut Outbox, mut took: impl FnMut(usize)) -> io::Result<()> {
        while !outbox.is_empty() && self.ready.writable {
            let count = self.write(outbox.pending())?;
            outbox.advance(count);
            took(count);
        }
        Ok(())
    }

    /// Makes one write. Returns the number of bytes that the kernel took: 0 if it takes no more.
    #[inline(always)]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let offered = bytes.len() as u32;
        match attempt(|| xray::answered(self.transport.write(bytes), move || Call::Write { offered })) {
            Attempt::Done(0) => Err(io::ErrorKind::WriteZero.into()),
            Attempt::Done(count) => Ok(count),
            Attempt::WouldBlock => {
                self.ready.writable = false;
                Ok(0)
            }
            Attempt::Failed(error) => Err(error),
        }
    }

    /// Sends our FIN, while the peer may go on sending.
    pub(super) fn send_fin(&mut self) -> io::Result<()> {
        xray::answered(self.transport.shutdown_write(), || Call::Shutdown)
    }

    /// Sends our FIN, unless the peer's has come (then `close(2)` sends it). Returns whether to wait for the peer's FIN.
    pub(super) fn finish(&mut self) -> bool {
        !self.peer_finished && self.send_fin().is_ok()
    }

    /// Makes `close(2)` reset the connection.
    pub(super) fn reset_on_close(&mut self) {
        self.transport.reset_on_close();
    }

    /// Returns the number of bytes written that the peer has not acknowledged; `None` if the system cannot tell.
    pub(super) fn unacknowledged(&self) -> Option<usize> {
        self.transport.unacknowledged()
    }

    /// Asks the kernel for the local address of the connection.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.transport.local_address()
    }

    /// Returns what the line claims about its socket.
    pub(super) fn claim(&self) -> Claim {
        Claim { drained: !self.ready.readable && !self.peer_finished, blocked: !self.ready.writable }
    }

    /// Returns the socket, to be closed.
    pub(super) fn into_transport(self) -> T {
        self.transport
    }
}

#[cfg(test)]
impl<T> Line<T> {
    /// Returns the other end, for a test.
    pub(super) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}
