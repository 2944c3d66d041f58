//! Registering sockets with epoll or kqueue, and forgetting them.

use std::io;
use std::os::fd::AsRawFd;

use ::mio::Interest;

use super::{Mio, pack};
use crate::kernel::sockets::{self, Stream};
use crate::kernel::{Datagrams, StreamListener, Token};
use crate::xray::{self, Call};

/// The events that every connection is registered for. Urgent data is included where the system reports it,
/// because after urgent data a short read does not prove that nothing is left.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl Mio {
    /// Registers a connection.
    pub(super) fn watch_stream(&self, stream: &mut Stream, token: Token) -> io::Result<()> {
        let registered = self.poll.registry().register(stream.source(), pack(token), CONNECTION);
        xray::answered(registered, || Call::Register { interest: xray::Interest::ReadWriteUrgent })
    }

    /// Changes the events of a registered connection: all, or without those of input.
    pub(super) fn watch_reads(&self, stream: &mut Stream, token: Token, reads: bool) -> io::Result<()> {
        let (events, interest) = match reads {
            true => (CONNECTION, xray::Interest::ReadWriteUrgent),
            false => (Interest::WRITABLE, xray::Interest::Write),
        };
        let registered = self.poll.registry().reregister(stream.source(), pack(token), events);
        xray::answered(registered, || Call::Reregister { interest })
    }

    /// Deregisters a passed socket that is about to be closed. Its sender still has it open, and epoll forgets a socket only when its last descriptor is
    /// closed (`epoll(7)`, "Will closing a file descriptor").
    pub(super) fn forget_passed(&mut self, source: &mut (impl ::mio::event::Source + AsRawFd)) {
        if self.passed.forget(source.as_raw_fd())
            && sockets::EDGES_ARE_THE_KERNELS
            && let Err(error) = self.poll.registry().deregister(source)
        {
            log::debug!("cannot deregister a socket: {error}");
        }
    }

    /// Forgets a socket that is about to be closed. epoll and kqueue forget a descriptor when it is closed, which saves a system
    /// call for each connection. In mio's fallback on `poll(2)` a socket must be deregistered; otherwise the next descriptor with
    /// the same number is polled in its place.
    pub(super) fn forget(&self, source: &mut (impl ::mio::event::Source + ?Sized)) {
        if !sockets::EDGES_ARE_THE_KERNELS
            && let Err(error) = self.poll.registry().deregister(source)
        {
            log::debug!("cannot deregister a socket: {error}");
        }
    }

    /// Registers a listener.
    pub(super) fn watch_listener(&self, mut listener: StreamListener, token: Token) -> io::Result<StreamListener> {
        let registered = self.poll.registry().register(listener.source(), pack(token), Interest::READABLE);
        xray::answered(registered, || Call::Register { interest: xray::Interest::Read })?;
        Ok(listener)
    }

    /// Registers a socket for datagrams.
    pub(super) fn watch_datagrams(&self, mut socket: Datagrams, token: Token) -> io::Result<Datagrams> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(socket.source(), pack(token), interest);
        xray::answered(registered, || Call::Register { interest: xray::Interest::ReadWrite })?;
        Ok(socket)
    }
}
