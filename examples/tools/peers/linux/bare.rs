//! The lower bound: an event loop with only the necessary steps.
//!
//! No limits, no deadlines, no error handling, no state: a connection is only a descriptor. It is registered once,
//! edge-triggered; one large read takes all requests, one write answers them. It assumes that a short read has emptied
//! the socket, that a read holds whole requests, and that a write takes everything.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollOp, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, recv, send};
use nix::unistd::close;

const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;

/// Whether the connection stays open.
#[derive(PartialEq)]
enum Life {
    Open,
    Closed,
}

pub(crate) struct Bare {
    epoll: Epoll,
    accepts: RawFd,
    events: [EpollEvent; EVENTS_MAX],
    buffer: Vec<u8>,
}

impl Bare {
    /// The listener must stay open.
    pub(crate) fn new(listener: &TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let accepts = listener.as_raw_fd();
        add(&epoll, accepts, EpollFlags::EPOLLIN)?;
        Ok(Self { epoll, accepts, events: [EpollEvent::empty(); EVENTS_MAX], buffer: vec![0; READ_BYTES] })
    }

    /// Waits for events, and handles them.
    #[inline]
    pub(crate) fn turn(&mut self, timeout: EpollTimeout, answer: impl Fn(&mut [u8]) -> usize) -> io::Result<()> {
        let Self { epoll, accepts, events, buffer } = self;
        let count = epoll.wait(events, timeout)?;
        for event in &events[..count] {
            let descriptor = event.data() as RawFd;
            if descriptor == *accepts {
                while let Ok(stream) = accept4(*accepts, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC) {
                    // A client that speaks first has often sent by now. Input after this read is reported when the
                    // connection is registered.
                    if converse(stream, false, buffer, &answer) == Life::Open {
                        add(epoll, stream, EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP)?;
                    }
                }
            } else if event.events().contains(EpollFlags::EPOLLHUP) {
                // Closed by both sides, or reset: no reply would arrive.
                let _ = close(descriptor);
            } else {
                converse(descriptor, event.events().contains(EpollFlags::EPOLLRDHUP), buffer, &answer);
            }
        }
        Ok(())
    }
}

fn converse(stream: RawFd, finished: bool, buffer: &mut [u8], answer: &impl Fn(&mut [u8]) -> usize) -> Life {
    loop {
        match recv(stream, buffer, MsgFlags::empty()) {
            Ok(count @ 1..) => {
                let length = answer(&mut buffer[..count]);
                let _ = send(stream, &buffer[..length], MsgFlags::MSG_NOSIGNAL);
                if count < buffer.len() && !finished {
                    return Life::Open;
                }
            }
            Err(Errno::EAGAIN) => return Life::Open,
            Ok(0) | Err(_) => {
                let _ = close(stream);
                return Life::Closed;
            }
        }
    }
}

fn add(epoll: &Epoll, descriptor: RawFd, flags: EpollFlags) -> nix::Result<()> {
    let mut event = EpollEvent::new(flags | EpollFlags::EPOLLET, descriptor as u64);
    // Its replacement takes a descriptor with an owner; here there is only the number in the event.
    #[expect(deprecated)]
    nix::sys::epoll::epoll_ctl(epoll.0.as_raw_fd(), EpollOp::EpollCtlAdd, descriptor, &mut event)
}
