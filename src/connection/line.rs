//! The socket half of a connection: moves bytes, and knows what has been proved about its readiness.
//!
//! Edge-triggered readiness is reported once. So a flag of [`Readiness`] is cleared only when the kernel will report the next
//! edge, or after the peer's FIN.

mod splice;

use std::io;
use std::net::SocketAddr;

use crate::attempt::{Attempt, attempt};
use crate::connection::Claim;
use crate::kernel::Transport;
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::xray::{self, Call};

/// A socket, and what is known of it.
pub(super) struct Line<T> {
    /// The socket.
    pub(super) transport: T,
    /// The socket may have something to read. Events set it; only `WouldBlock`, or what proves the same, clears it.
    readable: bool,
    /// The socket may take a write.
    writable: bool,
    /// Why a short read proves nothing.
    doubt: Doubt,
    /// The peer's FIN has been read.
    peer_finished: bool,
}

/// The reasons why a read that fills less than its room may have left something.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Doubt(u8);

impl Doubt {
    /// There is none.
    const NONE: Self = Self(0);
    /// An event included a FIN, an error or urgent data. It ends with `WouldBlock`.
    const EVENT: u8 = 1;
    /// The socket never proves it: descriptors that a peer passes over a Unix socket end a read early (`unix(7)`, `SCM_RIGHTS`), and
    /// some kernels guarantee nothing.
    const ALWAYS: Self = Self(2);
}

impl<T: Transport> Line<T> {
    /// Makes a line that is ready both ways: a new socket may already have bytes, and has room for some.
    /// `peer` is the peer that the kernel names.
    pub(super) fn new(transport: T, peer: &Peer) -> Self {
        Self { readable: true, writable: true, ..Self::connecting(transport, peer) }
    }

    /// Makes a line whose connect is in progress. It is not used before an event.
    pub(super) fn connecting(transport: T, peer: &Peer) -> Self {
        let doubt = if peer.is_process() || !transport.short_read_drains() { Doubt::ALWAYS } else { Doubt::NONE };
        Self { transport, readable: false, writable: false, doubt, peer_finished: false }
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
        self.readable = connected;
        self.writable = connected;
        Ok(connected)
    }

    /// Notes an event.
    pub(super) fn note_ready(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
        self.doubt.0 |= u8::from(readiness.in_doubt) * Doubt::EVENT;
    }

    /// Whether a read may return something.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the kernel may take a write.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the peer has sent its FIN, and everything before it has been read.
    pub(super) fn has_peer_finished(&self) -> bool {
        self.peer_finished
    }

    /// Makes the next read ask the kernel, whatever was proved before.
    pub(super) fn ask_again(&mut self) {
        self.readable = true;
    }

    /// Reads into `room`, which is not empty. 0 bytes mean the peer's FIN; a short read may prove that nothing is left.
    #[inline]
    pub(super) fn read(&mut self, room: &mut [u8]) -> Attempt<usize> {
        let read = attempt(|| xray::answered(self.transport.read(room), || Call::Read { asked: room.len() as u32 }));
        self.note_read(&read, room.len());
        read
    }

    /// Reads as [`read`](Self::read) does, and discards the bytes: `room` may hold anything afterwards.
    pub(super) fn discard(&mut self, room: &mut [u8]) -> Attempt<usize> {
        let read = attempt(|| self.transport.discard(room));
        self.note_read(&read, room.len());
        read
    }

    /// Notes what a read into `room` bytes has proved.
    #[inline(always)]
    fn note_read(&mut self, read: &Attempt<usize>, room: usize) {
        match *read {
            Attempt::Done(0) => {
                self.peer_finished = true;
                self.readable = false;
            }
            Attempt::Done(count) => {
                // Rule 2: a short read proves a stream drained, unless something leaves it in doubt.
                if count < room && self.doubt == Doubt::NONE {
                    self.readable = false;
                }
            }
            // Rule 1: only now may the connection wait for an edge.
            Attempt::WouldBlock => {
                self.readable = false;
                self.doubt.0 &= Doubt::ALWAYS.0;
            }
            Attempt::Failed(_) => {}
        }
    }

    /// Writes until nothing is pending or the kernel takes no more. An error means that the connection is broken.
    #[inline(always)]
    pub(super) fn flush(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        while !outbox.is_empty() && self.writable {
            let count = self.write(outbox.pending())?;
            outbox.advance(count);
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
                self.writable = false;
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
        Claim { drained: !self.readable && !self.peer_finished, blocked: !self.writable }
    }

    /// Returns the socket, to be closed.
    pub(super) fn into_transport(self) -> T {
        self.transport
    }
}
