//! `recvmsg(2)` and `sendmsg(2)`: one datagram per system call, where batched calls do not exist or are refused.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::slice::ChunksExactMut;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg};

use super::{Received, Replies, Sender};
use crate::kernel::{Reply, Source};
use crate::xray::{self, Call, ReturnValue};

/// Receives one datagram into each of `rooms`, as long as there are any, and appends their descriptions to `received`.
pub(super) fn receive(
    descriptor: RawFd,
    rooms: ChunksExactMut<'_, u8>,
    received: &mut Vec<Received>,
) -> io::Result<()> {
    let before = received.len();
    for room in rooms {
        match receive_one(descriptor, room) {
            Ok(datagram) => received.push(datagram),
            Err(_) if received.len() > before => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive_one(descriptor: RawFd, room: &mut [u8]) -> io::Result<Received> {
    let mut parts = [IoSliceMut::new(room)];
    let mut control = nix::cmsg_space!([u8; 64]);
    let message = recvmsg(descriptor, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT).map_err(io::Error::from);
    let message: RecvMsg<'_, '_, SockaddrStorage> = xray::answered(message, || Call::ReceiveOne)?;
    let from = message.address.as_ref().and_then(socket_address).map_or(Sender::UNKNOWN, Sender::Inet);
    // On a socket for both families Linux reports two destinations of an IPv4 datagram; the last one counts, as in
    // `mmsg`.
    let to = message.cmsgs()?.filter_map(destination).last().flatten();
    Ok(Received { length: message.bytes, from, to })
}

/// The number of bytes received.
impl ReturnValue for RecvMsg<'_, '_, SockaddrStorage> {
    fn number(&self) -> i32 {
        self.bytes.number()
    }
}

/// Returns the IPv4 or IPv6 address; `None` for any other.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// Returns the destination of a datagram if `message` reports it: `Some(None)` if it cannot be a source.
fn destination(message: ControlMessageOwned) -> Option<Option<Source>> {
    match message {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Source::v4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))))
        }
        #[cfg(target_vendor = "apple")]
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Source::v4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))))
        }
        #[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
        ControlMessageOwned::Ipv4RecvDstAddr(address) => Some(Source::v4(Ipv4Addr::from(u32::from_be(address.s_addr)))),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Source::v6(Ipv6Addr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex as _))
        }
        _ => None,
    }
}

/// Sends the unsent `replies`, each from its source if it has one. Returns how many the kernel took, never 0.
pub(super) fn send(descriptor: RawFd, replies: &Replies) -> io::Result<usize> {
    let mut sent = 0;
    for reply in replies.unsent() {
        match send_one(descriptor, reply) {
            Ok(()) => sent += 1,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

fn send_one(descriptor: RawFd, reply: Reply<'_>) -> io::Result<()> {
    let parts = [IoSlice::new(reply.payload)];
    // Only Unix sockets have other recipients.
    let Sender::Inet(to) = reply.to else { return Err(io::ErrorKind::InvalidInput.into()) };
    let to = SockaddrStorage::from(to);
    let send = |control: &[ControlMessage<'_>]| {
        let sent = sendmsg(descriptor, &parts, control, MsgFlags::MSG_DONTWAIT, Some(&to)).map_err(io::Error::from);
        xray::answered(sent, || Call::SendOne).map(drop)
    };
    let Some(source) = reply.source else { return send(&[]) };
    match source.address {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        IpAddr::V4(address) => send(&[ControlMessage::Ipv4PacketInfo(&nix::libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(address).to_be() },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        })]),
        #[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
        IpAddr::V4(address) => {
            send(&[ControlMessage::Ipv4SendSrcAddr(&nix::libc::in_addr { s_addr: u32::from(address).to_be() })])
        }
        IpAddr::V6(address) => send(&[ControlMessage::Ipv6PacketInfo(&nix::libc::in6_pktinfo {
            ipi6_addr: nix::libc::in6_addr { s6_addr: address.octets() },
            ipi6_ifindex: source.interface as _,
        })]),
    }
}

/// The calls of a socket on systems without batched calls.
#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
#[derive(Debug)]
pub(super) struct Calls;

#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
impl Calls {
    pub(super) const fn new(_: &::mio::net::UdpSocket) -> Self {
        Self
    }

    #[allow(clippy::needless_pass_by_ref_mut, reason = "the signature of `batches::Calls`")]
    pub(super) fn receive(
        &mut self,
        descriptor: RawFd,
        rooms: ChunksExactMut<'_, u8>,
        received: &mut Vec<Received>,
    ) -> io::Result<()> {
        receive(descriptor, rooms, received)
    }

    #[allow(clippy::needless_pass_by_ref_mut, reason = "the signature of `batches::Calls`")]
    pub(super) fn send(&mut self, descriptor: RawFd, replies: &Replies) -> io::Result<usize> {
        send(descriptor, replies)
    }
}
