use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::failure::Result;
use super::url::{Address, Url};
use super::wait::{after, is_past, wait};

/// Connects to the first address of the server that accepts, and leaves the stream registered for both directions. Returns
/// the address as well.
///
/// The wait discards events of other sources that are registered already. So try each source once, before waiting for
/// its events.
pub(crate) fn connect(poll: &mut Poll, token: Token, url: &Url, timeout: Duration) -> Result<(TcpStream, Address)> {
    url.first_of(url.addresses()?, "cannot connect to", |address| {
        Ok((connect_to(poll, token, address, timeout)?, address.clone()))
    })
}

/// Connects to one address.
pub(crate) fn connect_to(poll: &mut Poll, token: Token, address: &Address, timeout: Duration) -> io::Result<TcpStream> {
    // No event tells when the accept queue of a Unix socket has room again.
    const RETRY: Duration = Duration::from_millis(10);
    let deadline = after(timeout);
    let mut events = Events::with_capacity(16);
    let mut stream = loop {
        match begin(address) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_past(deadline) => {
                wait(poll, &mut events, Some(Instant::now() + RETRY))?;
            }
            result => break result?,
        }
    };
    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    while !is_connected(&stream)? {
        if is_past(deadline) {
            return Err(io::Error::new(ErrorKind::TimedOut, "no connection in time"));
        }
        wait(poll, &mut events, deadline)?;
    }
    Ok(stream)
}

/// Begins to connect. A Unix socket is connected at once, or returns `WouldBlock` while its server has no room.
///
/// All that a client does with a stream is the same for both kinds, so they have one type.
pub(crate) fn begin(address: &Address) -> io::Result<TcpStream> {
    match address {
        Address::Inet(address) => {
            let stream = TcpStream::connect(*address)?;
            // Otherwise a small request may wait until the server has acknowledged the one before (Nagle's algorithm).
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        Address::Unix(address) => Ok(OwnedFd::from(UnixStream::connect_addr(address)?).into()),
    }
}

/// A socket that connects becomes writable in the end, whether it succeeds or fails (see connect(2), EINPROGRESS).
/// `SO_ERROR` reports a failure, and only a connected socket has a peer.
pub(crate) fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match SockRef::from(stream).peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
