//! Sums over UDP on a blocking socket, with as little as possible around the system calls.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use super::answer;

/// Datagrams received by one call, as many as the reactor takes.
const BATCH: usize = 64;
/// More than any request of the measurements.
const DATAGRAM_BYTES: usize = 2048;

pub(crate) fn each(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        let length = answer::sums(&mut buffer[..count]);
        socket.send_to(&buffer[..length], from)?;
    }
}

/// The first call waits for one datagram and takes all others that are there (`recvmmsg(2)`: `MSG_WAITFORONE`).
pub(crate) fn batch(socket: &UdpSocket) -> io::Result<()> {
    let socket = socket.as_raw_fd();
    let mut received = MultiHeaders::preallocate(BATCH, None);
    let mut sent = MultiHeaders::preallocate(BATCH, None);
    let mut buffers = [[0; DATAGRAM_BYTES]; BATCH];
    let mut lengths = [0; BATCH];
    let mut peers: [Option<SockaddrIn>; BATCH] = [None; BATCH];
    loop {
        let mut room = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let mut count = 0;
        for message in recvmmsg(socket, &mut received, &mut room, MsgFlags::MSG_WAITFORONE, None)? {
            (lengths[count], peers[count]) = (message.bytes, message.address);
            count += 1;
        }
        for (buffer, length) in buffers.iter_mut().zip(&mut lengths).take(count) {
            *length = answer::sums(&mut buffer[..*length]);
        }
        let replies: [_; BATCH] = array::from_fn(|index| [IoSlice::new(&buffers[index][..lengths[index]])]);
        let no_control: [ControlMessage<'_>; 0] = [];
        sendmmsg(socket, &mut sent, &replies[..count], &peers[..count], no_control, MsgFlags::empty())?;
    }
}
