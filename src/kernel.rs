//! The boundary to the operating system: the system calls of the loop, as traits.
//!
//! The loop talks to the kernel through one small trait, [`Kernel`]; [`Mio`] is the real one. It is generic and not
//! `dyn`: the hot path pays nothing for it, and a simulated kernel can run the whole server without a socket.
//!
//! # Stability
//! [`Kernel`], [`Transport`] and [`DatagramSocket`], and what their methods take and return, are exempt from semantic
//! versioning: they follow the needs of this version's loop, and gain a method whenever it needs another system call.
//! The crate's own tests and benchmarks implement them. A program that implements them too must depend on an exact
//! version (`reactord = "=x.y.z"`). [`Handle`] and [`disk`](crate::disk) are not exempt.

pub(crate) mod addresses;
mod cut;
mod either;
mod file_options;
mod handle;
mod ignored;
mod mio;
mod monotonic;
pub(crate) mod offload;
mod options;
mod passed;
pub(crate) mod pipes;
mod posix_disk;
mod replies;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod send_queue;
mod sender;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod socket_info;
mod sockets;
mod spin;
mod udp;
mod unix;
pub(crate) mod users;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::slice::ChunksExactMut;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use self::either::{Datagrams, StreamListener};
pub use self::file_options::FileOptions;
pub use self::handle::Handle;
pub use self::ignored::is_ignored;
pub use self::mio::Mio;
pub(crate) use self::monotonic::monotonic;
pub use self::options::{BindOptions, ListenOptions};
pub use self::passed::{Passed, PassedSocket, PassedSockets};
pub use self::posix_disk::PosixDisk;
pub use self::replies::{Replies, Reply};
pub use self::sender::Sender;
pub(crate) use self::sockets::REUSE_PORT_WORKS;
pub use self::sockets::Stream;
pub use self::udp::UdpSocket;
pub use self::unix::{UnixDatagrams, UnixListener};
pub use crate::address::UnixAddress;
use crate::clock::Clock;
pub use crate::disk::{Directory, Disk, Draft, Existing, Pipe};
pub use crate::job::{Job, Outcome};
pub use crate::notice::{Command, Notice, Readiness, Waiting};
pub use crate::panics::Panicked;
pub use crate::peer::Peer;
pub use crate::pipe::OpenPipe;
pub use crate::token::Token;
use crate::xray::{self, Call, ReturnValue};

/// The operating system, as the loop uses it.
///
/// Every call except [`Kernel::wait`] returns at once. It may gain methods in any release: see
/// [Stability](self#stability).
pub trait Kernel {
    /// A listening socket, TCP or Unix.
    type Listener;
    /// A connection.
    type Stream: Transport;
    /// A socket for datagrams, UDP or Unix.
    type Socket: DatagramSocket;

    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn wall_clock(&self) -> SystemTime;

    /// Binds and registers a TCP listener. Returns it with its local address.
    ///
    /// # Errors
    /// The address is in use, not an address of this machine, or not permitted (`bind(2)`, `listen(2)`).
    fn listen(
        &mut self,
        address: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> io::Result<(Self::Listener, SocketAddr)>;

    /// Binds and registers a UDP socket. Returns it with its local address.
    ///
    /// # Errors
    /// The address is in use, not an address of this machine, or not permitted (`bind(2)`).
    fn bind(
        &mut self,
        address: SocketAddr,
        options: &BindOptions,
        token: Token,
    ) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Changes a living listener: its `backlog` (by `listen(2)` again) unless it was passed, and the `keepalive` of later
    /// connections. Other options cannot be changed. A kernel without such options has nothing to do.
    ///
    /// # Errors
    /// The system refuses an option (`setsockopt(2)`).
    fn change_listener(&mut self, listener: &Self::Listener, options: &ListenOptions) -> io::Result<()> {
        let _ = (listener, options);
        Ok(())
    }

    /// Changes a living UDP socket: its `receive_buffer_bytes`, if they are set. Other options cannot be changed.
    ///
    /// # Errors
    /// The system refuses an option (`setsockopt(2)`).
    fn change_socket(&mut self, socket: &Self::Socket, options: &BindOptions) -> io::Result<()> {
        let _ = (socket, options);
        Ok(())
    }

    /// Limits the worker threads of each listener from now on. A kernel without threads has nothing to do.
    fn limit_workers(&mut self, most: usize) {
        let _ = most;
    }

    /// Sets how long each wait looks for events before it sleeps. A kernel that does not sleep has nothing to do.
    fn busy_poll(&mut self, longest: Duration) {
        let _ = longest;
    }

    /// Takes, checks and registers a socket that this process was started with. `keepalive` is for the connections of a listener,
    /// as in [`ListenOptions`].
    ///
    /// # Errors
    /// There is no such socket, it is of another kind, or an option cannot be set.
    fn passed(
        &mut self,
        name: &str,
        keepalive: Option<Duration>,
        token: Token,
    ) -> io::Result<Passed<Self::Listener, Self::Socket>> {
        let _ = (keepalive, token);
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("fd:{name}: this kernel has no passed sockets")))
    }

    /// Returns the passed sockets that no listener has taken, as a message names them.
    fn passed_and_left(&self) -> Vec<String> {
        Vec::new()
    }

    /// Binds and registers a listener for Unix streams (`unix(7)`). No client can connect before its file has its owner and its mode.
    /// The file of a process that has ended is replaced.
    ///
    /// # Errors
    /// The address is in use or not permitted, or this kernel has no Unix sockets.
    fn listen_unix(
        &mut self,
        _address: &UnixAddress,
        _options: &FileOptions,
        _backlog: u32,
        _token: Token,
    ) -> io::Result<Self::Listener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Binds and registers a socket for Unix datagrams, as [`Kernel::listen_unix`] does.
    ///
    /// # Errors
    /// As [`Kernel::listen_unix`].
    fn bind_unix(&mut self, _address: &UnixAddress, _options: &FileOptions, _token: Token) -> io::Result<Self::Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes one connection from the accept queue (`accept(2)`). The connection is not registered yet.
    ///
    /// # Errors
    /// `WouldBlock` if the queue is empty; otherwise see `listener.rs` for what each error means.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// Begins to connect to `address` (`connect(2)`), and probes the peer when it has been silent for the time `keepalive`. The connection is not registered yet; [`Transport::is_connected`] tells
    /// when it is there, and an event when to ask.
    ///
    /// # Errors
    /// No socket can be made, or the connect has failed already: the network is unreachable, or the address is not permitted.
    fn connect(&mut self, address: SocketAddr, keepalive: Option<Duration>) -> io::Result<Self::Stream>;

    /// Registers a connection, once for its lifetime: readable, writable, edge-triggered.
    ///
    /// # Errors
    /// The kernel is out of memory or watches (`epoll_ctl(2)`).
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Changes the events that are reported of a registered connection: with `reads` all, as [`Kernel::register`] does; without, it is not
    /// reported as readable. If it is ready for one of the events, that is reported again (`epoll_ctl(2)`, `EPOLL_CTL_MOD`). A kernel
    /// that reports more than it was asked for does no harm.
    ///
    /// # Errors
    /// The kernel is out of memory (`epoll_ctl(2)`).
    fn reregister(&mut self, stream: &mut Self::Stream, token: Token, reads: bool) -> io::Result<()> {
        let _ = (stream, token, reads);
        Ok(())
    }

    /// Closes a connection.
    fn close(&mut self, stream: Self::Stream);

    /// Closes a listener; connections that are still in its accept queue are reset.
    fn close_listener(&mut self, listener: Self::Listener);

    /// Closes a socket for datagrams.
    fn close_socket(&mut self, socket: Self::Socket);

    /// Waits until something happens or `timeout` has passed, and appends what happened to `notices`. `None` waits for
    /// ever. A signal that interrupts the wait is not an error.
    ///
    /// # Errors
    /// The poll itself failed; the loop cannot continue.
    fn wait(&mut self, notices: &mut Vec<Notice>, timeout: Option<Duration>) -> io::Result<()>;

    /// Queues a job for the workers of its listener; the result arrives as [`Notice::Done`] with the same token.
    ///
    /// # Errors
    /// The job was dropped: the queue is full, or no worker can be started.
    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker>;

    /// Returns a function that makes [`wait`](Self::wait) return, for other threads. A kernel whose turns a test drives needs
    /// none.
    fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }

    /// Returns a function that opens a pipe for uploads; `None` if the streams of this kernel [cannot splice](Transport::splices).
    fn pipes(&self) -> Option<OpenPipe> {
        None
    }

    /// The disk.
    fn disk(&self) -> Arc<dyn Disk>;

    /// The number of descriptors that this process may still open; `None` if there is no limit.
    fn descriptors_free(&self) -> Option<usize>;

    /// The jobs that are not finished: those that a worker runs, and those that wait for a worker. Called only when a protocol
    /// inquires.
    fn jobs(&self) -> (usize, usize) {
        (0, 0)
    }

    /// The connections in the accept queue of a listener, and the limit of the queue; `None` where the system does not report
    /// them. Called only when a protocol inquires.
    fn accept_queue(&self, listener: &Self::Listener) -> Option<(u32, u32)> {
        let _ = listener;
        None
    }
}

impl<K: Kernel> Clock for K {
    fn now(&self) -> Instant {
        Kernel::now(self)
    }

    fn wall_clock(&self) -> SystemTime {
        Kernel::wall_clock(self)
    }
}

/// One connection, as the driver uses it. All calls return at once. It may gain methods in any release: see
/// [Stability](self#stability).
pub trait Transport {
    /// Receives (`recv(2)`); 0 is the peer's FIN.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether [`splice`](Self::splice) may be called. Called only during an upload.
    fn splices(&self) -> bool {
        false
    }

    /// Receives at most `most` bytes into `pipe` (`splice(2)`), fewer if the pipe has less room; 0 is the peer's FIN,
    /// or urgent data with a FIN somewhere behind it.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived, or if the pipe is full; `Unsupported` and `EINVAL` if it cannot be done for this stream.
    fn splice(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        let _ = (pipe, most);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Receives at most as many bytes as `room` has, and discards them; 0 is the peer's FIN. Afterwards `room` may hold anything. A
    /// system that can discard bytes without copying them overrides this. Records the call for the X-ray.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived.
    fn discard(&mut self, room: &mut [u8]) -> io::Result<usize> {
        xray::answered(self.read(room), || Call::Read { asked: room.len() as u32 })
    }

    /// Sends (`send(2)`). Returns the number of bytes taken, which may be fewer than offered.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether a connect that was in progress (`connect(2)`, `EINPROGRESS`) has ended; asked after an event. A socket that was
    /// accepted is connected.
    ///
    /// # Errors
    /// Why the connect failed (`socket(7)`: `SO_ERROR`).
    fn is_connected(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Sends our FIN once everything before it is sent (`shutdown(2)` with `SHUT_WR`).
    ///
    /// # Errors
    /// The connection has ended.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Makes `close(2)` reset the connection (`SO_LINGER` with a time of zero, `socket(7)`).
    fn reset_on_close(&mut self);

    /// Written bytes that the peer has not acknowledged; `None` where the system does not report them.
    fn unacknowledged(&self) -> Option<usize> {
        None
    }

    /// The address of this machine that the peer reached (`getsockname(2)`); `None` where the system does not report
    /// it. Called only when a protocol asks for it.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Whether a read that returns fewer bytes than the buffer has room for proves that nothing is left. True for TCP with epoll
    /// and kqueue (`epoll(7)`, "Do I need to continuously read/write"); elsewhere only `WouldBlock` proves it. Over a Unix socket it
    /// never does, so the driver does not ask there.
    fn short_read_drains(&self) -> bool;
}

/// One socket for datagrams, as the driver uses it. All calls return at once. It may gain methods in any release: see
/// [Stability](self#stability).
pub trait DatagramSocket {
    /// Receives one datagram into each of `rooms`, as long as there are rooms and datagrams, and appends their
    /// descriptions to `received`. Bytes beyond a room are lost. Fewer datagrams than rooms do not prove that nothing
    /// is left: an error in the middle ends a batch too, and is reported by the next call (`recvmmsg(2)`).
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; other errors concern an earlier datagram; the socket stays usable. Nothing
    /// was received in either case.
    fn receive(&mut self, rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()>;

    /// Sends the unsent `replies` until the kernel takes no more; returns how many were taken, at least one.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full; other errors concern only the first unsent reply.
    fn send(&mut self, replies: &Replies) -> io::Result<usize>;

    /// The datagrams that the kernel dropped because the receive buffer was full; `None` where the system does not report them.
    /// Called only when a protocol inquires.
    fn drops(&self) -> Option<u32> {
        None
    }
}

/// A datagram that has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The length of the datagram, or of its room if that is shorter.
    pub length: usize,
    /// The sender.
    pub from: Sender,
    /// The address of this machine that it was sent to, if the socket has several.
    pub to: Option<Source>,
}

/// One datagram.
impl ReturnValue for Received {
    fn number(&self) -> i32 {
        1
    }
}

/// The address of this machine to send the reply from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// The index of the interface, for addresses that are unique only on it; 0 for any.
    pub interface: u32,
}

impl Source {
    /// Returns the address with a port.
    pub(crate) fn at(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.interface).into(),
        }
    }

    /// Returns the source for replies to a datagram that was sent to `address`. `None` if that is a multicast or
    /// broadcast address, which cannot be a source (RFC 1122, 3.2.1.3): the kernel then chooses.
    pub(crate) fn v4(address: Ipv4Addr) -> Option<Self> {
        let one = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        one.then_some(Self { address: IpAddr::V4(address), interface: 0 })
    }

    /// Returns the source for replies to a datagram that was sent to `address` through `interface`. `None` for
    /// multicast addresses (RFC 4291, 2.7), and as for IPv4 if the address is IPv4-mapped.
    pub(crate) fn v6(address: Ipv6Addr, interface: u32) -> Option<Self> {
        let one = match address.to_ipv4_mapped() {
            Some(v4) => Self::v4(v4).is_some(),
            None => !address.is_unspecified() && !address.is_multicast(),
        };
        let interface = if address.is_unicast_link_local() { interface } else { 0 };
        one.then_some(Self { address: IpAddr::V6(address), interface })
    }
}

/// The reason why no worker takes a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoWorker {
    /// `JOBS_MAX` jobs of the listener are unfinished (see `src/limits.rs`).
    QueueFull,
    /// The listener has no worker, and no thread can be started (`pthread_create(3)`).
    NoThread(io::Error),
}

impl fmt::Display for NoWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => f.write_str("the queue is full"),
            Self::NoThread(error) => write!(f, "no thread can be started: {error}"),
        }
    }
}

impl std::error::Error for NoWorker {}
