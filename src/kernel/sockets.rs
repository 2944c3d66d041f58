//! Making TCP sockets, and what mio's do not offer: options, and reset on close.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::mio::net::{TcpListener, TcpStream};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};
use rustix::net::{self, RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{ListenOptions, Transport};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::limits::UNSENT_BYTES_MAX;
use crate::xray::{self, Call, Gives, SocketOption};

/// Whether edges come from the kernel (epoll, kqueue) and are not emulated by mio on `poll(2)`.
pub(super) const EDGES_ARE_THE_KERNELS: bool = cfg!(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ),
    not(mio_unsupported_force_poll_poll)
));

/// What the kernel takes for `TCP_KEEPIDLE`, which counts in seconds; Linux has the narrowest range (`MAX_TCP_KEEPIDLE`).
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// Opens a listener. What connections inherit from it (`TCP_NODELAY`, keep-alive) is set here, once, and costs no
/// system call when they are accepted.
pub(super) fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    set(socket.set_reuse_address(true), SocketOption::ReuseAddress, 1)?;
    if address.is_ipv6() {
        only_v6(&socket, !options.both_families)?;
    }
    set(socket.set_tcp_nodelay(true), SocketOption::NoDelay, 1)?;
    bound_the_unsent(&socket)?;
    if let Some(quiet) = options.keepalive {
        let quiet = quiet.clamp(KEEPALIVE_MIN, KEEPALIVE_MAX);
        let result = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(quiet));
        // One call of the library, two of the system.
        set(result, SocketOption::KeepAlive, 1)?;
        set(Ok(()), SocketOption::KeepIdle, quiet.as_secs() as u32)?;
    }
    xray::answered(socket.bind(&address.into()), || Call::Bind)?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    xray::answered(socket.listen(backlog), || Call::Listen { backlog: options.backlog })?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Bounds what the kernel takes before it has sent it. Connections inherit that.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_the_unsent(socket: &Socket) -> io::Result<()> {
    set(socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX), SocketOption::NotSentLowat, UNSENT_BYTES_MAX)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bound_the_unsent(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Opens a socket that does not block.
pub(super) fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let datagram = kind == Type::DGRAM;
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol));
    let socket = xray::answered(socket, || Call::Socket { ipv6: address.is_ipv6(), datagram })?;
    let flags = fcntl(&socket, FcntlArg::F_GETFL).map_err(io::Error::from);
    let flags = OFlag::from_bits_retain(xray::answered(flags, || Call::GetFlags)?) | OFlag::O_NONBLOCK;
    let set = fcntl(&socket, FcntlArg::F_SETFL(flags)).map_err(io::Error::from);
    xray::answered(set, || Call::SetNonblocking)?;
    Ok(socket)
}

/// Whether a socket for IPv6 leaves IPv4 alone.
pub(super) fn only_v6(socket: &Socket, only: bool) -> io::Result<()> {
    set(socket.set_only_v6(only), SocketOption::OnlyV6, only.into())
}

/// Records that an option was set.
pub(super) fn set(result: io::Result<()>, option: SocketOption, value: u32) -> io::Result<()> {
    xray::answered(result, || Call::SetOption { option, value })
}

/// How bytes are sent: a connection that is gone is an error of `send(2)` and no SIGPIPE. Where there is no such flag, that
/// signal is ignored, as it is in every Rust program.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// A TCP connection of the operating system.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Linux and the BSDs hand `TCP_NODELAY` down from the listener; elsewhere it is asked for, and a connection that
    /// is gone already will say so when it is read.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        if !cfg!(any(target_os = "linux", target_os = "freebsd")) {
            let _ = set(stream.set_nodelay(true), SocketOption::NoDelay, 1);
        }
        Self(stream)
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.0
    }

    pub(super) fn into_source(self) -> TcpStream {
        self.0
    }
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Past the C library, whose wrapper makes every call a point where threads can be cancelled.
        self.0.try_io(|| Ok(net::recv(&self.0, buffer, RecvFlags::empty())?.1))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_io(|| Ok(net::send(&self.0, bytes, SEND)?))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&mut self) {
        if let Err(error) = set(SockRef::from(&self.0).set_linger(Some(Duration::ZERO)), SocketOption::Linger, 0) {
            log::debug!("cannot make closing reset the connection: {error}");
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn unacknowledged(&self) -> Option<usize> {
        let held = super::send_queue::unacknowledged(&self.0);
        let bytes = held.as_ref().map_or(0, |bytes| *bytes);
        xray::answered(held.map(drop), || Call::SendQueue { bytes: bytes as u32 }).ok().map(|()| bytes)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        xray::answered(self.0.local_addr(), || Call::GetName).ok()
    }

    fn short_read_drains(&self) -> bool {
        // Rule 2: a short read proves nothing where the edges are not the kernel's.
        EDGES_ARE_THE_KERNELS
    }
}

/// The descriptor of a new socket.
impl Gives for Socket {
    fn number(&self) -> i32 {
        self.as_raw_fd()
    }
}

/// That of a connection that was accepted.
impl Gives for (TcpStream, SocketAddr) {
    fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// That is what `getsockname(2)` returns beside the address.
impl Gives for SocketAddr {
    fn number(&self) -> i32 {
        0
    }
}

/// The soft limit (`getrlimit(2)`) less what is open. Where the open ones cannot be listed, a guess that errs on the
/// safe side.
pub(super) fn descriptors_free() -> Option<usize> {
    const OPEN_IF_UNKNOWN: usize = 64;
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let open = std::fs::read_dir("/dev/fd").map_or(OPEN_IF_UNKNOWN, Iterator::count);
    Some(usize::try_from(soft).unwrap_or(usize::MAX).saturating_sub(open))
}
