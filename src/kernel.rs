//! The boundary to the operating system.
//!
//! The loop talks to the kernel through one small trait, [`Kernel`]; [`Mio`] is the real one. It is generic and not
//! `dyn`: the hot path pays nothing for it, and a simulated kernel can run the whole server without a socket.
//!
//! # Stability
//! [`Kernel`], [`Transport`] and [`DatagramSocket`], and what their methods take and return, are exempt from semantic
//! versioning: they say what this loop needs of this version, and gain a method whenever it needs another system call. The
//! crate's own tests and benchmarks implement them. A program that does so as well depends on an exact version
//! (`reactor = "=x.y.z"`). [`Handle`] and what is in [`disk`](crate::disk) are not exempt.

pub(crate) mod addresses;
mod cut;
mod ignored;
mod mio;
pub(crate) mod offload;
mod posix_disk;
mod replies;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod send_queue;
mod sockets;
mod udp;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::slice::ChunksExactMut;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use self::ignored::is_ignored;
pub use self::mio::{Handle, Mio};
pub use self::posix_disk::PosixDisk;
pub use self::replies::{Replies, Reply};
pub use self::sockets::Stream;
pub use self::udp::UdpSocket;
use crate::clock::Clock;
pub use crate::disk::{Directory, Disk, Draft, Existing};
pub use crate::job::{Job, Outcome};
pub use crate::notice::{Command, Notice, Readiness, Waiting};
pub use crate::panics::Panicked;
pub use crate::peer::Peer;
pub use crate::token::Token;
use crate::xray::Gives;

/// What the loop needs of an operating system.
///
/// Every call returns at once, [`Kernel::wait`] aside. It may gain methods in any release: see [Stability](self#stability).
pub trait Kernel {
    /// A listening TCP socket.
    type Listener;
    /// A TCP connection.
    type Stream: Transport;
    /// A UDP socket.
    type Socket: DatagramSocket;

    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn wall_clock(&self) -> SystemTime;

    /// Binds and registers a TCP listener; gives the address that it got.
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed (`bind(2)`, `listen(2)`).
    fn listen(
        &mut self,
        address: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> io::Result<(Self::Listener, SocketAddr)>;

    /// Binds and registers a UDP socket; gives the address that it got.
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed (`bind(2)`).
    fn bind(
        &mut self,
        address: SocketAddr,
        options: &BindOptions,
        token: Token,
    ) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Takes one connection from the accept queue (`accept(2)`). It is not registered yet.
    ///
    /// # Errors
    /// `WouldBlock` if the queue is empty; otherwise see `listener.rs` for what each error means.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// Registers a connection once and for all: readable, writable, edge-triggered.
    ///
    /// # Errors
    /// The kernel lacks memory or watches (`epoll_ctl(2)`).
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Closes a connection.
    fn close(&mut self, stream: Self::Stream);

    /// Closes a listener; what is still in its accept queue is reset.
    fn close_listener(&mut self, listener: Self::Listener);

    /// Closes a UDP socket.
    fn close_socket(&mut self, socket: Self::Socket);

    /// Waits until something happens or `timeout` has passed, and appends what happened to `notices`. `None` waits for
    /// ever; being interrupted by a signal is no error.
    ///
    /// # Errors
    /// The poll itself failed: nothing can go on.
    fn wait(&mut self, notices: &mut Vec<Notice>, timeout: Option<Duration>) -> io::Result<()>;

    /// Hands a job to a worker; its result comes as [`Notice::Done`] with the same token.
    ///
    /// # Errors
    /// No worker takes it, and it is dropped.
    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker>;

    /// The disk.
    fn disk(&self) -> Arc<dyn Disk>;

    /// How many more descriptors this process may open; `None` if there is no limit.
    fn descriptors_free(&self) -> Option<usize>;
}

impl<K: Kernel> Clock for K {
    fn now(&self) -> Instant {
        Kernel::now(self)
    }

    fn wall_clock(&self) -> SystemTime {
        Kernel::wall_clock(self)
    }
}

/// One TCP connection, as the driver sees it. All calls return at once. It may gain methods in any release: see
/// [Stability](self#stability).
pub trait Transport {
    /// Receives (`recv(2)`); 0 is the peer's FIN.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends (`send(2)`); may take less than it is given.
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
    /// The connection is gone.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Makes closing reset the connection instead of finishing it (`SO_LINGER` with a time of zero, `socket(7)`).
    fn reset_on_close(&mut self);

    /// Bytes that were written and that the peer has not acknowledged; `None` where the system does not tell.
    fn unacknowledged(&self) -> Option<usize> {
        None
    }

    /// The address of this machine that the peer reached (`getsockname(2)`); `None` where the system does not tell. It is asked for
    /// only if a protocol wants to know.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Whether a read that gives less than it was asked for proves that nothing is left. So it is with epoll and kqueue
    /// (`epoll(7)`, "Do I need to continuously read/write"); elsewhere only `WouldBlock` does.
    fn short_read_drains(&self) -> bool;
}

/// One UDP socket, as the driver sees it. All calls return at once. It may gain methods in any release: see
/// [Stability](self#stability).
pub trait DatagramSocket {
    /// Receives one datagram into each of `rooms`, as long as there are rooms and datagrams, and appends what they are to
    /// `received`. What does not fit its room is lost. Fewer datagrams than rooms prove nothing: an error in the middle
    /// ends a batch too, and may show at the next call (`recvmmsg(2)`).
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; others are about an earlier datagram and leave the socket in order. Nothing
    /// has been received then.
    fn receive(&mut self, rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()>;

    /// Sends what is unsent of `replies` as long as the kernel takes it, and gives how many it took: at least one.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full; others are about the first of them alone.
    fn send(&mut self, replies: &Replies) -> io::Result<usize>;
}

/// A datagram that has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its length, or that of its room if that was shorter.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of ours that it was sent to, if the socket has several.
    pub to: Option<Source>,
}

impl Received {
    /// Where a datagram is from if the kernel does not say it; nobody answers port 0.
    pub(crate) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
}

/// One datagram.
impl Gives for Received {
    fn number(&self) -> i32 {
        1
    }
}

/// An address of this machine from which a reply shall leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// The index of the interface, for addresses that are only unique there; 0 for any.
    pub interface: u32,
}

impl Source {
    /// The same with a port.
    pub(crate) fn at(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.interface).into(),
        }
    }

    /// That of a datagram which came to `address`. None if that is no address of one machine: nothing leaves from a group or
    /// from everybody (RFC 1122, 3.2.1.3), so the kernel has to choose.
    pub(crate) fn v4(address: Ipv4Addr) -> Option<Self> {
        let one = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        one.then_some(Self { address: IpAddr::V4(address), interface: 0 })
    }

    /// That of a datagram which came to `address` through `interface`, with the same exceptions (RFC 4291, 2.7), also for an
    /// address of IPv4 in the form of IPv6.
    pub(crate) fn v6(address: Ipv6Addr, interface: u32) -> Option<Self> {
        let one = match address.to_ipv4_mapped() {
            Some(v4) => Self::v4(v4).is_some(),
            None => !address.is_unspecified() && !address.is_multicast(),
        };
        let interface = if address.is_unicast_link_local() { interface } else { 0 };
        one.then_some(Self { address: IpAddr::V6(address), interface })
    }
}

/// What a TCP listener is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that the kernel holds before they are accepted (`listen(2)`).
    pub backlog: u32,
    /// Time of silence before the kernel probes a peer (`tcp(7)`: `TCP_KEEPIDLE`); accepted connections inherit it.
    pub keepalive: Option<Duration>,
    /// Whether an IPv6 wildcard also takes IPv4 (`ipv6(7)`: `IPV6_V6ONLY` off).
    pub both_families: bool,
}

impl ListenOptions {
    /// Options with `backlog` and `keepalive`, for `both_families` or one.
    #[must_use]
    pub const fn new(backlog: u32, keepalive: Option<Duration>, both_families: bool) -> Self {
        Self { backlog, keepalive, both_families }
    }
}

/// What a UDP socket is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindOptions {
    /// Bytes of the receive buffer, if it shall not have its default (`socket(7)`: `SO_RCVBUF`).
    pub receive_buffer_bytes: Option<usize>,
    /// Whether an IPv6 wildcard also takes IPv4 (`ipv6(7)`: `IPV6_V6ONLY` off).
    pub both_families: bool,
}

impl BindOptions {
    /// Options with `receive_buffer_bytes`, for `both_families` or one.
    #[must_use]
    pub const fn new(receive_buffer_bytes: Option<usize>, both_families: bool) -> Self {
        Self { receive_buffer_bytes, both_families }
    }
}

/// Why no worker takes a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoWorker {
    /// Too many jobs of the listener are unfinished: `JOBS_MAX` of `src/limits.rs`.
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
