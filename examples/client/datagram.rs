use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Blocking};
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr as UnixAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use mio::net::UdpSocket;

use crate::client::failure::Result;
use crate::client::url::{Address, Url};
use crate::client::wait::{after, is_past};

/// The time after which an unanswered datagram counts as lost and is sent again.
const LOST: Duration = Duration::from_millis(500);

/// Returns the address to ask: the first one that answers `question` with anything.
///
/// UDP has no connection that could be refused, so only an answer shows that a server is there. If the name has only
/// one address, that address is returned without asking.
pub(crate) fn find(url: &Url, question: &[u8], timeout: Duration) -> Result<Address> {
    let addresses = url.addresses()?;
    if let [only] = &addresses[..] {
        return Ok(only.clone());
    }
    url.first_of(addresses, "no answer from", |address| ask(address, question, timeout).map(|()| address.clone()))
}

fn ask(address: &Address, question: &[u8], timeout: Duration) -> io::Result<()> {
    let socket = bound_for(address)?;
    let deadline = after(timeout);
    socket.set_read_timeout(Some(LOST.min(timeout).max(Duration::from_millis(1))))?;
    loop {
        socket.send(question)?;
        match socket.recv(&mut [0]) {
            Ok(_) => return Ok(()),
            Err(error) if !is_silence(&error) => return Err(error),
            Err(_) if is_past(deadline) => return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time")),
            Err(_) => {}
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A connected socket receives datagrams of this one server only, and reports an error when no socket listens there.
pub(crate) fn connect_to(address: &Address) -> io::Result<UdpSocket> {
    let socket = bound_for(address)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket))
}

/// Returns a connected socket. All that a client does with it is the same for UDP and Unix sockets, so they have one type.
fn bound_for(address: &Address) -> io::Result<Blocking> {
    match address {
        Address::Inet(address) => bound_for_inet(*address),
        Address::Unix(address) => {
            let socket = named()?;
            socket.connect_addr(address)?;
            Ok(OwnedFd::from(socket).into())
        }
    }
}

/// Returns a socket with a name of its own, because a server answers no other: an abstract name leaves no file.
#[cfg(target_os = "linux")]
fn named() -> io::Result<UnixDatagram> {
    use std::os::linux::net::SocketAddrExt;
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("reactor-client-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn named() -> io::Result<UnixDatagram> {
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "a client of Unix datagrams needs an abstract name, which only Linux has",
    ))
}

fn bound_for_inet(address: SocketAddr) -> io::Result<Blocking> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Blocking::bind(SocketAddr::new(any, 0))?;
    socket.connect(address)?;
    Ok(socket)
}
