//! `recvmsg(2)` and `sendmsg(2)`: one datagram for one system call, where there are no calls for many.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::slice::ChunksExactMut;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg};

use super::{Received, Replies};
use crate::kernel::{Reply, Source};
use crate::xray::{self, Call};

/// Receives one datagram into each of `rooms`, as long as there are any; appends what they are to `received`.
pub(super) fn receive(
    descriptor: RawFd,
    rooms: ChunksExactMut<'_, u8>,
    received: &mut Vec<Received>,
) -> io::Result<()> {
    let before = received.len();
    for room in rooms {
        let result = receive_one(descriptor, room);
        let bytes = result.as_ref().map_or(0, |datagram| datagram.length as u32);
        match xray::answered(result, || Call::Receive { rooms: 1, bytes }) {
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
    let message: RecvMsg<'_, '_, SockaddrStorage> =
        recvmsg(descriptor, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let from = message.address.as_ref().and_then(socket_address).unwrap_or(Received::NOBODY);
    let to = message.cmsgs()?.find_map(destination);
    Ok(Received { length: message.bytes, from, to })
}

/// An address of IPv4 or IPv6; `None` for any other.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

fn destination(message: ControlMessageOwned) -> Option<Source> {
    match message {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Source::v4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))))
        }
        #[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
        ControlMessageOwned::Ipv4RecvDstAddr(address) => Some(Source::v4(Ipv4Addr::from(u32::from_be(address.s_addr)))),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Source::v6(Ipv6Addr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex as u32))
        }
        _ => None,
    }
}

/// Sends what is unsent of `replies`, each from its source if it has one. Gives how many the kernel took: not none. There are
/// no runs.
pub(super) fn send(descriptor: RawFd, replies: &Replies, _longest: usize) -> io::Result<usize> {
    let mut sent = 0;
    for reply in replies.unsent() {
        let bytes = reply.payload.len() as u32;
        match xray::answered(send_one(descriptor, reply), || Call::Send { offered: 1, bytes }) {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Sends a datagram: one, if it can be sent.
fn send_one(descriptor: RawFd, reply: Reply<'_>) -> io::Result<usize> {
    let parts = [IoSlice::new(reply.payload)];
    let to = SockaddrStorage::from(reply.to);
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(descriptor, &parts, control, MsgFlags::MSG_DONTWAIT, Some(&to)).map(|_| 1).map_err(io::Error::from)
    };
    let Some(source) = reply.source else { return send(&[]) };
    match source.address {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
        IpAddr::V4(address) => send(&[ControlMessage::Ipv4PacketInfo(&nix::libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(address).to_be() },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        })]),
        #[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
        IpAddr::V4(address) => {
            send(&[ControlMessage::Ipv4SendSrcAddr(&nix::libc::in_addr { s_addr: u32::from(address).to_be() })])
        }
        IpAddr::V6(address) => send(&[ControlMessage::Ipv6PacketInfo(&nix::libc::in6_pktinfo {
            ipi6_addr: nix::libc::in6_addr { s6_addr: address.octets() },
            ipi6_ifindex: source.interface as _,
        })]),
    }
}
