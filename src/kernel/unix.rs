//! Unix sockets: how they get their address, and who the peer is.
//!
//! A peer may pass descriptors (`unix(7)`, `SCM_RIGHTS`). No call here has room for control messages, so the kernel closes what was
//! passed. Such a message still ends a read early, which is why a short read proves nothing on these sockets.

mod claim;
mod datagrams;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ::mio::net::UnixStream;
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::sys::socket::getsockopt;
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};

use self::claim::Claim;
pub use self::datagrams::UnixDatagrams;
use super::{FileOptions, sockets};
use crate::address::UnixAddress;
use crate::peer::Credentials;
use crate::xray::{self, Call, ReturnValue};

/// A listener for Unix streams. Its file is removed before it is closed, so that no client finds a file without a listener.
#[derive(Debug)]
pub struct UnixListener {
    /// The file, if the address is a path.
    _claim: Option<Claim>,
    address: UnixAddress,
    /// The non-blocking socket.
    socket: ::mio::net::UnixListener,
}

impl UnixListener {
    pub(super) fn bind(address: &UnixAddress, options: &FileOptions, backlog: u32) -> io::Result<Self> {
        let listen = |socket: &OwnedFd| sockets::start_listening(socket, backlog);
        let (socket, claim) = bind(address, SocketType::STREAM, options, listen)?;
        Ok(Self { _claim: claim, address: address.clone(), socket: socket.into() })
    }

    /// Changes the length of the accept queue while it listens.
    pub(super) fn change_backlog(&self, backlog: u32) -> io::Result<()> {
        sockets::start_listening(&self.socket, backlog)
    }

    pub(super) fn address(&self) -> &UnixAddress {
        &self.address
    }

    /// Accepts a connection. Returns it with the process that connected, as far as the kernel knows it.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Credentials)> {
        let (stream, _) = xray::answered(self.socket.accept(), || Call::Accept)?;
        let peer = credentials(&stream);
        Ok((stream.into(), peer))
    }

    pub(super) fn source(&mut self) -> &mut ::mio::net::UnixListener {
        &mut self.socket
    }
}

/// Opens a socket and binds it to its address. `listen` makes it reachable, where that takes a call.
fn bind(
    address: &UnixAddress,
    kind: SocketType,
    options: &FileOptions,
    listen: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<(OwnedFd, Option<Claim>)> {
    match address {
        UnixAddress::Path(path) => claim::at(path, kind, options, listen).map(|(socket, claim)| (socket, Some(claim))),
        UnixAddress::Abstract(name) => {
            let socket = open(kind)?;
            bind_to(&socket, &of_abstract(name)?)?;
            listen(&socket)?;
            Ok((socket, None))
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn of_abstract(name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn of_abstract(_: &str) -> io::Result<SocketAddrUnix> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"))
}

/// Opens a non-blocking socket.
fn open(kind: SocketType) -> io::Result<OwnedFd> {
    sockets::open_with(AddressFamily::UNIX, kind, None, || Call::SocketUnix { datagram: kind == SocketType::DGRAM })
}

fn bind_to(socket: &OwnedFd, address: &SocketAddrUnix) -> io::Result<()> {
    xray::answered(net::bind(socket, address).map_err(io::Error::from), || Call::Bind)
}

/// Returns the process that connected a stream, or that listens at its other end (`unix(7)`, `SO_PEERCRED`).
///
/// Not through `rustix`, whose process ID cannot be zero: the kernel reports zero for a process of another namespace
/// (`pid_namespaces(7)`).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn credentials(stream: &impl AsFd) -> Credentials {
    let found = xray::answered(getsockopt(stream, PeerCredentials).map_err(io::Error::from), || Call::PeerCredentials);
    found.map_or_else(
        |_| Credentials::default(),
        |found| {
            let known = |id: u32| Some(id).filter(|id| *id != u32::MAX);
            let pid = u32::try_from(found.pid()).ok().filter(|pid| *pid != 0);
            Credentials::new(pid, known(found.uid()), known(found.gid()))
        },
    )
}

/// Returns the effective user and group of the process that connected a stream (`getpeereid(3)`), which has no process ID.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn credentials(stream: &impl AsFd) -> Credentials {
    let found = xray::answered(nix::unistd::getpeereid(stream).map_err(io::Error::from), || Call::PeerCredentials);
    found.map_or_else(
        |_| Credentials::default(),
        |(uid, gid)| Credentials::new(None, Some(uid.as_raw()), Some(gid.as_raw())),
    )
}

/// The descriptor of an accepted connection.
impl ReturnValue for (UnixStream, std::os::unix::net::SocketAddr) {
    fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// The return value of `getsockopt(2)`.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl ReturnValue for nix::sys::socket::UnixCredentials {
    fn number(&self) -> i32 {
        0
    }
}

/// The return value of `getpeereid(3)`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl ReturnValue for (nix::unistd::Uid, nix::unistd::Gid) {
    fn number(&self) -> i32 {
        0
    }
}
