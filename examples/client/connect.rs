use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::failure::Result;
use super::url::Url;
use super::wait::{after, is_past, wait};

/// Connects to the first address of the server that accepts, and leaves the stream registered for both directions.
///
/// The wait discards events of other sources that are registered already. So try each source once, before waiting for
/// its events.
pub(crate) fn connect(poll: &mut Poll, token: Token, url: &Url, timeout: Duration) -> Result<TcpStream> {
    url.first_of(url.addresses()?, "cannot connect to", |address| connect_to(poll, token, address, timeout))
}

/// Connects to one address.
pub(crate) fn connect_to(
    poll: &mut Poll,
    token: Token,
    address: SocketAddr,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    // Otherwise a small request may wait until the server has acknowledged the one before (Nagle's algorithm).
    stream.set_nodelay(true)?;
    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;

    let deadline = after(timeout);
    let mut events = Events::with_capacity(16);
    while !is_connected(&stream)? {
        if is_past(deadline) {
            return Err(io::Error::new(ErrorKind::TimedOut, "no connection in time"));
        }
        wait(poll, &mut events, deadline)?;
    }
    Ok(stream)
}

/// A socket that connects becomes writable in the end, whether it succeeds or fails (see connect(2), EINPROGRESS).
/// `SO_ERROR` reports a failure, and only a connected socket has a peer.
pub(crate) fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
