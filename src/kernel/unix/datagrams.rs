//! Unix datagrams: one for each call, and answers only to senders that can be meant.
//!
//! The kernel passes on the name that a sender chose, and resolves it again when it is answered: here, in the working directory
//! and the root of the server. So a relative name can name a stranger's socket, and is never answered. An absolute path and an
//! abstract name are still only the sender's word.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::slice::ChunksExactMut;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, RecvMsg, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketType, recvmsg,
    sendmsg_addr,
};

use super::claim::Claim;
use super::{FileOptions, bind};
use crate::address::UnixAddress;
use crate::attempt::{Attempt, attempt};
use crate::kernel::{DatagramSocket, Received, Replies, Sender};
use crate::xray::{self, Call, ReturnValue};

/// A socket for Unix datagrams.
#[derive(Debug)]
pub struct UnixDatagrams {
    /// The file, if the address is a path. It is removed before the socket is closed.
    _claim: Option<Claim>,
    /// The non-blocking socket.
    socket: ::mio::net::UnixDatagram,
    /// The sender of the last datagram, if it may be answered.
    sender: Option<SocketAddrUnix>,
}

impl UnixDatagrams {
    pub(in crate::kernel) fn bind(address: &UnixAddress, options: &FileOptions) -> io::Result<Self> {
        let (socket, claim) = bind(address, SocketType::DGRAM, options, |_: &OwnedFd| Ok(()))?;
        Ok(Self { _claim: claim, socket: socket.into(), sender: None })
    }

    pub(in crate::kernel) fn source(&mut self) -> &mut ::mio::net::UnixDatagram {
        &mut self.socket
    }

    /// Receives one datagram. Without room for control messages the kernel closes descriptors that were passed.
    fn receive_one(&self, room: &mut [u8]) -> io::Result<RecvMsg> {
        let mut parts = [IoSliceMut::new(room)];
        let received = recvmsg(&self.socket, &mut parts, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT);
        xray::answered(received.map_err(io::Error::from), || Call::ReceiveOne)
    }
}

/// Returns the sender if it may be answered.
///
/// # Errors
/// The counter of datagrams whose sender may not.
fn answerable(sender: Option<SocketAddrUnix>) -> Result<SocketAddrUnix, &'static str> {
    let sender = sender.ok_or("no address")?;
    match sender.path_bytes() {
        Some([b'/', ..]) => Ok(sender),
        Some([_, ..]) => Err("relative address"),
        _ if is_abstract(&sender) => Ok(sender),
        _ => Err("no address"),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_abstract(sender: &SocketAddrUnix) -> bool {
    sender.abstract_name().is_some_and(|name| !name.is_empty())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_abstract(_: &SocketAddrUnix) -> bool {
    false
}

impl DatagramSocket for UnixDatagrams {
    /// Receives only one datagram, because the socket keeps one sender until the next call.
    fn receive(&mut self, mut rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()> {
        let Some(room) = rooms.next() else { return Ok(()) };
        let message = self.socket.try_io(|| self.receive_one(room))?;
        let sender = answerable(message.address.and_then(|address| address.try_into().ok()));
        let from = sender.as_ref().map_or_else(|reason| Sender::Unanswerable(reason), |_| Sender::Unix);
        self.sender = sender.ok();
        received.push(Received { length: message.bytes, from, to: None });
        Ok(())
    }

    /// Sends the reply to the last datagram. A sender whose queue is full is not waited for, because no event would tell when it
    /// has room, and others would wait with it: its reply is lost, as over UDP.
    fn send(&mut self, replies: &Replies) -> io::Result<usize> {
        let (Some(reply), Some(sender)) = (replies.unsent().next(), &self.sender) else { return Ok(0) };
        let parts = [IoSlice::new(reply.payload)];
        let mut control = SendAncillaryBuffer::default();
        let mut send = || sendmsg_addr(&self.socket, sender, &parts, &mut control, SEND).map_err(io::Error::from);
        match attempt(|| xray::answered(send(), || Call::SendOne)) {
            Attempt::Done(_) => Ok(1),
            Attempt::WouldBlock => Err(io::Error::other("the queue of the receiver is full")),
            Attempt::Failed(error) => Err(error),
        }
    }
}

const SEND: SendFlags = SendFlags::DONTWAIT;

/// The number of bytes received.
impl ReturnValue for RecvMsg {
    fn number(&self) -> i32 {
        self.bytes.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_and_an_abstract_name_are_answered() {
        let path = |path: &str| Some(SocketAddrUnix::new(path).expect("short"));
        assert!(answerable(path("/run/client")).is_ok());
        assert_eq!(answerable(path("client")).err(), Some("relative address"));
        assert_eq!(answerable(path("./client")).err(), Some("relative address"));
        assert_eq!(answerable(None).err(), Some("no address"));
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            assert!(answerable(SocketAddrUnix::new_abstract_name(b"client").ok()).is_ok());
            assert_eq!(answerable(Some(SocketAddrUnix::new_unnamed())).err(), Some("no address"));
        }
    }
}
