//! Making sockets, and what mio's do not offer: options, reset on close, the address a datagram was sent to.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::mio::net::{TcpListener, TcpStream};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{BindOptions, DatagramSocket, ListenOptions, Received, Source, Transport};

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
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!options.both_families)?;
    }
    socket.set_tcp_nodelay(true)?;
    if let Some(quiet) = options.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(quiet.clamp(KEEPALIVE_MIN, KEEPALIVE_MAX)))?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A TCP connection of the operating system.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Linux and the BSDs hand `TCP_NODELAY` down from the listener; elsewhere it is asked for, and a connection that
    /// is gone already will say so when it is read.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        if !cfg!(any(target_os = "linux", target_os = "freebsd")) {
            let _ = stream.set_nodelay(true);
        }
        Self(stream)
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&mut self) {
        if let Err(error) = SockRef::from(&self.0).set_linger(Some(Duration::ZERO)) {
            log::debug!("cannot make closing reset the connection: {error}");
        }
    }

    fn short_read_drains(&self) -> bool {
        EDGES_ARE_THE_KERNELS
    }
}

/// A UDP socket of the operating system.
#[derive(Debug)]
pub struct UdpSocket {
    socket: ::mio::net::UdpSocket,
    /// Whether the socket is bound to every address, so that the one which was asked has to be learnt for each datagram.
    wildcard: bool,
}

impl UdpSocket {
    pub(super) fn bind(address: SocketAddr, options: &BindOptions) -> io::Result<(Self, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!options.both_families)?;
        }
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let wildcard = address.ip().is_unspecified();
        if wildcard {
            ask_for_destinations(&socket, address.is_ipv6())?;
        }
        socket.bind(&address.into())?;
        let socket = ::mio::net::UdpSocket::from_std(socket.into());
        let local = socket.local_addr()?;
        Ok((Self { socket, wildcard }, local))
    }

    pub(super) fn source(&mut self) -> &mut ::mio::net::UdpSocket {
        &mut self.socket
    }
}

/// Asks for the address that each datagram was sent to: `ip(7)` `IP_PKTINFO`, `ipv6(7)` `IPV6_RECVPKTINFO`, and
/// `IP_RECVDSTADDR` on the BSDs that lack the first.
fn ask_for_destinations(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        #[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
        setsockopt(socket, sockopt::Ipv4RecvDstAddr, &true)?;
    }
    Ok(())
}

impl DatagramSocket for UdpSocket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if !self.wildcard {
            let (length, from) = self.socket.recv_from(buffer)?;
            return Ok(Received { length, from, to: None });
        }
        let descriptor = self.socket.as_raw_fd();
        self.socket.try_io(|| {
            let mut parts = [IoSliceMut::new(buffer)];
            let mut control = nix::cmsg_space!([u8; 64]);
            let message: RecvMsg<'_, '_, SockaddrStorage> =
                recvmsg(descriptor, &mut parts, Some(&mut control), MsgFlags::empty())?;
            let from = message.address.as_ref().and_then(socket_address).ok_or(io::ErrorKind::InvalidData)?;
            let to = message.cmsgs()?.find_map(destination);
            Ok(Received { length: message.bytes, from, to })
        })
    }

    fn send(&mut self, payload: &[u8], to: SocketAddr, source: Option<Source>) -> io::Result<usize> {
        let Some(source) = source else { return self.socket.send_to(payload, to) };
        let descriptor = self.socket.as_raw_fd();
        self.socket.try_io(|| send_from(descriptor, payload, to, source))
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

fn destination(message: ControlMessageOwned) -> Option<Source> {
    match message {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Source { address: IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))), interface: 0 })
        }
        #[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
        ControlMessageOwned::Ipv4RecvDstAddr(address) => {
            Some(Source { address: IpAddr::V4(Ipv4Addr::from(u32::from_be(address.s_addr))), interface: 0 })
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
            Some(Source { address: IpAddr::V6(address), interface })
        }
        _ => None,
    }
}

fn send_from(descriptor: i32, payload: &[u8], to: SocketAddr, source: Source) -> io::Result<usize> {
    let parts = [IoSlice::new(payload)];
    let to = SockaddrStorage::from(to);
    let sent = match source.address {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
        IpAddr::V4(address) => {
            let info = nix::libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: nix::libc::in_addr { s_addr: 0 },
            };
            sendmsg(descriptor, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::empty(), Some(&to))?
        }
        #[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
        IpAddr::V4(address) => {
            let source = nix::libc::in_addr { s_addr: u32::from(address).to_be() };
            sendmsg(descriptor, &parts, &[ControlMessage::Ipv4SendSrcAddr(&source)], MsgFlags::empty(), Some(&to))?
        }
        IpAddr::V6(address) => {
            let info = nix::libc::in6_pktinfo {
                ipi6_addr: nix::libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: source.interface as _,
            };
            sendmsg(descriptor, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], MsgFlags::empty(), Some(&to))?
        }
    };
    Ok(sent)
}

/// The soft limit (`getrlimit(2)`) less what is open. Where the open ones cannot be listed, a guess that errs on the
/// safe side.
pub(super) fn descriptors_free() -> Option<usize> {
    const OPEN_IF_UNKNOWN: usize = 64;
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let open = std::fs::read_dir("/dev/fd").map_or(OPEN_IF_UNKNOWN, Iterator::count);
    Some(usize::try_from(soft).unwrap_or(usize::MAX).saturating_sub(open))
}
