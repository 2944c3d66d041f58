//! Sockets on loopback, and where they are.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};

/// The backlog that the reactor uses, too.
const BACKLOG: i32 = 1024;

/// A blocking listener whose connections inherit `TCP_NODELAY`, which costs them no system call.
pub(crate) fn tcp() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    announce("tcp", listener.local_addr()?)?;
    Ok(listener)
}

pub(crate) fn udp() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce("udp", socket.local_addr()?)?;
    Ok(socket)
}

fn announce(scheme: &str, address: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout(), "{scheme}://{address}")
}
