//! UDP sockets: options, and the address that a datagram was sent to.

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod batches;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod mmsg;
mod one_by_one;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::slice::ChunksExactMut;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::SocketType;
use rustix::net::sockopt::set_socket_recv_buffer_size;

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
use self::batches::Calls;
#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
use self::one_by_one::Calls;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::socket_info;
use super::{BindOptions, DatagramSocket, Received, Replies, Sender, sockets};
use crate::xray::{self, Call, SocketOption};

/// A UDP socket of the operating system.
#[derive(Debug)]
pub struct UdpSocket {
    /// The non-blocking socket.
    socket: ::mio::net::UdpSocket,
    /// The system calls that work on it.
    calls: Calls,
}

impl UdpSocket {
    pub(super) fn bind(address: SocketAddr, options: &BindOptions) -> io::Result<(Self, SocketAddr)> {
        let socket = sockets::open(address, SocketType::DGRAM)?;
        if options.reuse_port {
            sockets::reuse_port(&socket)?;
        }
        if address.is_ipv6() {
            sockets::only_v6(&socket, !options.both_families)?;
        }
        set_receive_buffer(&socket, options)?;
        if address.ip().is_unspecified() {
            ask_for_destinations(&socket, address.is_ipv6(), options.both_families)?;
        }
        sockets::bind(&socket, address)?;
        let socket = ::mio::net::UdpSocket::from_std(socket.into());
        let local = xray::answered(socket.local_addr(), || Call::GetName)?;
        let calls = Calls::new(&socket);
        Ok((Self { socket, calls }, local))
    }

    /// Changes the options that can be changed while it receives. Returns its address.
    pub(super) fn change(&self, options: &BindOptions) -> io::Result<SocketAddr> {
        set_receive_buffer(&self.socket, options)?;
        self.socket.local_addr()
    }

    /// Makes a UDP socket of a passed one, which is bound to `address`.
    pub(super) fn adopt(socket: OwnedFd, address: SocketAddr, both_families: bool) -> io::Result<Self> {
        sockets::set_nonblocking(&socket)?;
        if address.ip().is_unspecified() {
            ask_for_destinations(&socket, address.is_ipv6(), both_families)?;
        }
        let socket = ::mio::net::UdpSocket::from_std(socket.into());
        let calls = Calls::new(&socket);
        Ok(Self { socket, calls })
    }

    pub(super) fn source(&mut self) -> &mut ::mio::net::UdpSocket {
        &mut self.socket
    }
}

/// Sets the size of the receive buffer, if one is configured.
fn set_receive_buffer(socket: impl AsFd, options: &BindOptions) -> io::Result<()> {
    let Some(bytes) = options.receive_buffer_bytes else { return Ok(()) };
    sockets::set(set_socket_recv_buffer_size(socket, bytes), SocketOption::ReceiveBuffer, bytes as u32)
}

/// Makes the kernel report the address that each datagram was sent to, so that its reply leaves from there: `ip(7)`
/// `IP_PKTINFO`, `ipv6(7)` `IPV6_RECVPKTINFO`, and `IP_RECVDSTADDR` on the BSDs. A socket with one address does not
/// need it.
///
/// On Linux a socket for both families sets both options, because for a broadcast `IPV6_RECVPKTINFO` reports only the
/// broadcast address. Other systems do not support the second option on such a socket.
fn ask_for_destinations(socket: &OwnedFd, ipv6: bool, both_families: bool) -> io::Result<()> {
    if ipv6 {
        let asked = setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true);
        sockets::set(asked, SocketOption::PacketInfoV6, 1)?;
    }
    if ipv6 && !(both_families && cfg!(any(target_os = "linux", target_os = "android"))) {
        return Ok(());
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let asked = setsockopt(socket, sockopt::Ipv4PacketInfo, &true);
    #[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
    let asked = setsockopt(socket, sockopt::Ipv4RecvDstAddr, &true);
    sockets::set(asked, SocketOption::PacketInfo, 1)
}

impl DatagramSocket for UdpSocket {
    fn receive(&mut self, rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()> {
        self.socket.try_io(|| self.calls.receive(self.socket.as_raw_fd(), rooms, received))
    }

    fn send(&mut self, replies: &Replies) -> io::Result<usize> {
        self.socket.try_io(|| self.calls.send(self.socket.as_raw_fd(), replies))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn drops(&self) -> Option<u32> {
        socket_info::drops(&self.socket).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Client;

    use super::*;
    use crate::kernel::Reply;
    use crate::limits::DATAGRAM_BATCH_MAX;

    /// Receives until nothing is left, at most `each` bytes of each datagram.
    fn receive_all(socket: &mut UdpSocket, each: usize) -> Vec<(Received, Vec<u8>)> {
        let mut buffer = vec![0; each * DATAGRAM_BATCH_MAX];
        let mut all = Vec::new();
        let mut batch = Vec::new();
        while socket.receive(buffer.chunks_exact_mut(each), &mut batch).is_ok() {
            let payloads = buffer.chunks_exact(each).zip(batch.drain(..));
            all.extend(payloads.map(|(room, received)| (received, room[..received.length].to_vec())));
        }
        all
    }

    fn round_trip(bound: &str, asked: &str) {
        let address: SocketAddr = bound.parse().expect("an address");
        let options = BindOptions::new(None, true);
        let (mut socket, local) = UdpSocket::bind(address, &options).expect("a socket");
        let asked = SocketAddr::new(asked.parse().expect("an address"), local.port());
        let client = Client::bind((asked.ip(), 0)).expect("a client");
        client.connect(asked).expect("an address of ours");
        let count = 2 * DATAGRAM_BATCH_MAX + 3;
        for number in 0..count {
            client.send(format!("datagram {number}").as_bytes()).expect("room");
        }

        let received = receive_all(&mut socket, 9);
        assert_eq!(received.len(), count, "{bound}");
        let mut replies = Replies::default();
        for (datagram, payload) in &received {
            assert_eq!(payload, b"datagram ", "only bytes beyond the room are lost");
            let Sender::Inet(from) = datagram.from else { panic!("UDP has addresses") };
            assert_eq!(from.port(), client.local_addr().expect("bound").port());
            assert_eq!(datagram.to.is_some(), address.ip().is_unspecified());
            replies.push(Reply { payload, to: datagram.from, source: datagram.to });
        }
        let mut sent = 0;
        while !replies.is_empty() {
            let count = socket.send(&replies).expect("room");
            assert!(count > 0);
            sent += count;
            replies.advance(count);
        }
        assert_eq!(sent, count);
        // The client is connected: it receives only datagrams from the address that it asked.
        for _ in 0..count {
            let mut answer = [0; 20];
            let length = client.recv(&mut answer).expect("an answer");
            assert_eq!(&answer[..length], b"datagram ");
        }
    }

    #[test]
    fn batches_arrive_and_leave_from_the_address_that_was_asked() {
        round_trip("127.0.0.1:0", "127.0.0.1");
        round_trip("[::1]:0", "::1");
        round_trip("0.0.0.0:0", "127.0.0.2");
        round_trip("[::]:0", "::1");
        round_trip("[::]:0", "127.0.0.3");
    }
}
