//! Connections that have sent one request and stay open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::failure::{Context as _, Failure, Result};

/// From one address to another there are no more than some 28,000 ports (`ip(7)`: `ip_local_port_range`).
const PER_ADDRESS: usize = 5000;

/// Opens `count` connections to `server`, which speaks uppercase, from several addresses.
pub(crate) fn open(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|index| ask_once(server, index)).collect()
}

fn ask_once(server: SocketAddr, index: usize) -> Result<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 0, 2 + (index / PER_ADDRESS) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("cannot make a socket")?;
    // A close is then a reset, and keeps no port for a minute (TIME-WAIT).
    socket.set_linger(Some(Duration::ZERO)).context("cannot set an option")?;
    socket.bind(&SocketAddr::from((from, 0)).into()).context(from)?;
    socket.connect(&server.into()).context(format_args!("cannot make connection {index}"))?;
    let mut stream = TcpStream::from(socket);
    let mut answer = [0; 5];
    stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut answer)).context("no answer")?;
    if &answer == b"HELLO" { Ok(stream) } else { Failure::because("a wrong answer") }
}
