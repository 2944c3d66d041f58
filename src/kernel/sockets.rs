//! Sockets of the internet: their creation, and what mio does not offer: options, and reset on close.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use ::mio::net::{TcpListener, TcpStream};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
#[cfg(not(target_vendor = "apple"))]
use rustix::net::SocketFlags;
use rustix::net::sockopt;
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, ipproto};
use rustix::process::{Resource, getrlimit};

use super::{ListenOptions, Transport};
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::{Pipe, send_queue};
use crate::errno;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::limits::UNSENT_BYTES_MAX;
use crate::xray::{self, Call, ReturnValue, SocketOption};

/// Whether edges come from the kernel (epoll, kqueue); if not, mio emulates them on `poll(2)`.
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

/// The range of `TCP_KEEPIDLE`, which counts in seconds; Linux has the narrowest (`MAX_TCP_KEEPIDLE`).
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// Whether several sockets may have one address, and the kernel spreads connections and datagrams over them
/// (`SO_REUSEPORT`). macOS has the option, but one socket gets everything.
pub(crate) const REUSE_PORT_WORKS: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
));

/// Opens a listener. Options that connections inherit (`TCP_NODELAY`, keep-alive) are set here, once, and cost no
/// system call per connection.
pub(super) fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = open(address, SocketType::STREAM)?;
    set(sockopt::set_socket_reuseaddr(&socket, true), SocketOption::ReuseAddress, 1)?;
    if options.reuse_port {
        reuse_port(&socket)?;
    }
    if address.is_ipv6() {
        only_v6(&socket, !options.both_families)?;
    }
    set_what_connections_inherit(&socket, options.keepalive)?;
    bind(&socket, address)?;
    start_listening(&socket, options.backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Makes a listener of a passed socket, which listens already: its backlog stays as it is, its keep-alive does not.
pub(super) fn adopt(socket: OwnedFd, keepalive: Option<Duration>) -> io::Result<TcpListener> {
    set_nonblocking(&socket)?;
    send_at_once(&socket)?;
    change_keepalive(&socket, keepalive)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets the options that a connection inherits from its listener, or has of its own if it is outgoing.
fn set_what_connections_inherit(socket: &OwnedFd, keepalive: Option<Duration>) -> io::Result<()> {
    send_at_once(socket)?;
    keepalive.map_or(Ok(()), |quiet| keep_alive(socket, quiet))
}

/// Makes the kernel send output without delay, and bounds what it holds unsent.
fn send_at_once(socket: &OwnedFd) -> io::Result<()> {
    set(sockopt::set_tcp_nodelay(socket, true), SocketOption::NoDelay, 1)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    set(send_queue::bound_unsent(socket, UNSENT_BYTES_MAX), SocketOption::NotSentLowat, UNSENT_BYTES_MAX)?;
    Ok(())
}

/// Opens a socket and begins to connect it. The options are those of accepted connections.
pub(super) fn connect(address: SocketAddr, keepalive: Option<Duration>) -> io::Result<Stream> {
    let socket = open(address, SocketType::STREAM)?;
    set_what_connections_inherit(&socket, keepalive)?;
    let connecting = xray::answered(net::connect(&socket, &address).map_err(io::Error::from), || Call::Connect);
    match connecting {
        Err(error) if !errno::is_in_progress(&error) => Err(error),
        Ok(()) | Err(_) => Ok(Stream(TcpStream::from_std(socket.into()))),
    }
}

/// Changes the keep-alive that later connections inherit from a listener.
pub(super) fn change_keepalive(listener: impl AsFd, keepalive: Option<Duration>) -> io::Result<()> {
    match keepalive {
        Some(quiet) => keep_alive(listener, quiet),
        None => set(sockopt::set_socket_keepalive(listener, false), SocketOption::KeepAlive, 0),
    }
}

/// Makes the kernel probe a peer that has been silent for the time `quiet`.
fn keep_alive(socket: impl AsFd, quiet: Duration) -> io::Result<()> {
    let quiet = Duration::from_secs(quiet.clamp(KEEPALIVE_MIN, KEEPALIVE_MAX).as_secs());
    set(sockopt::set_socket_keepalive(&socket, true), SocketOption::KeepAlive, 1)?;
    set(sockopt::set_tcp_keepidle(&socket, quiet), SocketOption::KeepIdle, quiet.as_secs() as u32)
}

/// Calls `listen(2)`. A second call changes only the backlog.
pub(super) fn start_listening(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    let listening = net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX));
    xray::answered(listening.map_err(io::Error::from), || Call::Listen { backlog })
}

/// Opens a non-blocking socket.
pub(super) fn open(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let (ipv6, datagram) = (address.is_ipv6(), kind == SocketType::DGRAM);
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let protocol = if datagram { ipproto::UDP } else { ipproto::TCP };
    open_with(family, kind, Some(protocol), || Call::Socket { ipv6, datagram })
}

/// Opens a non-blocking socket of any family. `call` is its record.
pub(super) fn open_with(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
    call: impl FnOnce() -> Call,
) -> io::Result<OwnedFd> {
    let socket = socket_close_on_exec(family, kind, protocol);
    let socket = xray::answered(socket.map_err(io::Error::from), call)?;
    set_nonblocking(&socket)?;
    Ok(socket)
}

/// Makes the calls on a socket return at once.
pub(super) fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    let flags = xray::answered(fcntl_getfl(socket).map_err(io::Error::from), || Call::GetFlags)?;
    let set = fcntl_setfl(socket, flags | OFlags::NONBLOCK).map_err(io::Error::from);
    xray::answered(set, || Call::SetNonblocking)
}

/// Opens a socket that child programs do not inherit.
#[cfg(not(target_vendor = "apple"))]
fn socket_close_on_exec(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)
}

#[cfg(target_vendor = "apple")]
fn socket_close_on_exec(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    let socket = net::socket(family, kind, protocol)?;
    rustix::io::ioctl_fioclex(&socket)?;
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

/// Binds a socket to its address (`bind(2)`).
pub(super) fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    xray::answered(net::bind(socket, &address).map_err(io::Error::from), || Call::Bind)
}

/// Sets whether an IPv6 socket excludes IPv4.
pub(super) fn only_v6(socket: &OwnedFd, only: bool) -> io::Result<()> {
    set(sockopt::set_ipv6_v6only(socket, only), SocketOption::OnlyV6, only.into())
}

/// Lets other sockets of the same user have the same address. FreeBSD spreads connections over them only with an option
/// of its own (`setsockopt(2)`: `SO_REUSEPORT_LB`).
pub(super) fn reuse_port(socket: &OwnedFd) -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    let asked = sockopt::set_socket_reuseport_lb(socket, true);
    #[cfg(not(target_os = "freebsd"))]
    let asked = sockopt::set_socket_reuseport(socket, true);
    set(asked, SocketOption::ReusePort, 1)
}

/// Records the result of setting an option.
pub(super) fn set(result: Result<(), impl Into<io::Error>>, option: SocketOption, value: u32) -> io::Result<()> {
    xray::answered(result.map_err(Into::into), || Call::SetOption { option, value })
}

/// The flags of `send(2)`: on a closed connection it returns an error and raises no SIGPIPE. On systems without the
/// flag the signal is ignored, as in every Rust program.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// A connection of the operating system, TCP or Unix: all calls here are the same for both, so the type of the socket is only a
/// name.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Wraps an accepted connection. On Linux and FreeBSD it inherits `TCP_NODELAY` from the listener; elsewhere the
    /// option is set here, and if the connection has already ended, the first read reports it.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        if !cfg!(any(target_os = "linux", target_os = "freebsd")) {
            let _ = set(stream.set_nodelay(true), SocketOption::NoDelay, 1);
        }
        Self(stream)
    }

    /// Wraps a connection over a Unix socket.
    pub(super) fn of_unix(stream: OwnedFd) -> Self {
        Self(stream.into())
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not through the C library, whose wrapper makes every call a cancellation point.
        self.0.try_io(|| Ok(net::recv(&self.0, buffer, RecvFlags::empty())?.1))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn splices(&self) -> bool {
        EDGES_ARE_THE_KERNELS
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn splice(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        self.0.try_io(|| pipe.take_from(&self.0, most))
    }

    /// TCP discards without a copy (`tcp(7)`: `MSG_TRUNC`). A Unix socket copies all the same.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn discard(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let asked = room.len() as u32;
        let discarded = self.0.try_io(|| Ok(net::recv(&self.0, room, RecvFlags::TRUNC)?.1));
        xray::answered(discarded, || Call::Discard { asked })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_io(|| Ok(net::send(&self.0, bytes, SEND)?))
    }

    fn is_connected(&self) -> io::Result<bool> {
        let error = xray::answered(self.0.take_error(), || Call::GetError)?;
        // Without an error the socket is connected or still connecting, and only the name of the peer tells which (mio's
        // documentation of `TcpStream::connect`).
        match error.map_or_else(|| Ok(net::getpeername(&self.0)?), Err) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&mut self) {
        let asked = sockopt::set_socket_linger(&self.0, Some(Duration::ZERO));
        if let Err(error) = set(asked, SocketOption::Linger, 0) {
            log::debug!("cannot make closing reset the connection: {error}");
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn unacknowledged(&self) -> Option<usize> {
        let held = send_queue::unacknowledged(&self.0);
        let bytes = held.as_ref().map_or(0, |bytes| *bytes);
        xray::answered(held.map(drop), || Call::SendQueue { bytes: bytes as u32 }).ok().map(|()| bytes)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        xray::answered(self.0.local_addr(), || Call::GetName).ok()
    }

    fn short_read_drains(&self) -> bool {
        // Rule 2: a short read proves nothing where the edges are not the kernel's. The driver knows a Unix socket by its peer.
        EDGES_ARE_THE_KERNELS
    }
}

/// The descriptor of the new socket.
impl ReturnValue for OwnedFd {
    fn number(&self) -> i32 {
        self.as_raw_fd()
    }
}

/// The error that was pending, if there was one, as `getsockopt(2)` stores it.
impl ReturnValue for Option<io::Error> {
    fn number(&self) -> i32 {
        self.as_ref().and_then(io::Error::raw_os_error).unwrap_or(0)
    }
}

impl ReturnValue for OFlags {
    fn number(&self) -> i32 {
        self.bits() as i32
    }
}

/// The descriptor of an accepted connection.
impl ReturnValue for (TcpStream, SocketAddr) {
    fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// The return value of `getsockname(2)`.
impl ReturnValue for SocketAddr {
    fn number(&self) -> i32 {
        0
    }
}

/// Returns the soft limit (`getrlimit(2)`) less the open descriptors. Where those cannot be listed, 64 are assumed,
/// which is cautious.
pub(super) fn descriptors_free() -> Option<usize> {
    const OPEN_IF_UNKNOWN: usize = 64;
    // No limit counts as the largest number.
    let soft = getrlimit(Resource::Nofile).current.and_then(|soft| usize::try_from(soft).ok());
    let open = std::fs::read_dir("/dev/fd").map_or(OPEN_IF_UNKNOWN, Iterator::count);
    Some(soft.unwrap_or(usize::MAX).saturating_sub(open))
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::io::Write;
    use std::net;

    use super::*;

    #[test]
    fn tcp_discards_without_a_copy_and_the_next_read_goes_on_behind_it() {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut client = net::TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        // Its calls wait for what the client sends.
        let mut stream = Stream(TcpStream::from_std(listener.accept().expect("a connection").0));
        client.write_all(b"this is dropped, and this is not").expect("a connection");
        let mut room = [b'.'; 16];
        assert_eq!(stream.discard(&mut room).expect("a connection"), 16);
        assert_eq!(room, [b'.'; 16]);
        assert_eq!(stream.read(&mut room).expect("a connection"), 16);
        assert_eq!(&room, b" and this is not");
        drop(client);
        assert_eq!(stream.discard(&mut room).expect("a connection"), 0, "the FIN");
    }
}
