//! `recvmmsg(2)` and `sendmmsg(2)`: many datagrams for one system call.
//!
//! The packages that wrap these calls allocate for each batch, or send the whole batch from one address. Every pointer
//! passed to the kernel here points into a local array or an argument, and is not used after the call.

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::ptr;
use std::slice::ChunksExactMut;

use nix::libc;
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

use super::{Received, Replies, Sender};
use crate::kernel::Source;
use crate::limits::DATAGRAM_BATCH_MAX;
use crate::xray::{self, Call};

/// Room for the control messages of a datagram, each with its header: 40 bytes for a `struct in6_pktinfo`, followed by
/// 32 for a `struct in_pktinfo` (received) or 24 for the length of segments (sent).
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([MaybeUninit<u8>; 72]);

const NO_CONTROL: Control = Control([MaybeUninit::uninit(); 72]);

/// Receives one datagram into each of `rooms`, as long as there are any, and appends their descriptions to `received`:
/// with the destination if the socket reports it (`ip(7)`: `IP_PKTINFO`, `ipv6(7)`: `IPV6_RECVPKTINFO`).
pub(super) fn receive(
    descriptor: RawFd,
    rooms: ChunksExactMut<'_, u8>,
    received: &mut Vec<Received>,
) -> io::Result<()> {
    let mut headers = [no_header(); DATAGRAM_BATCH_MAX];
    let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::uninit() }; DATAGRAM_BATCH_MAX];
    let mut controls = [NO_CONTROL; DATAGRAM_BATCH_MAX];
    let mut parts = [const { MaybeUninit::<IoSliceMut<'_>>::uninit() }; DATAGRAM_BATCH_MAX];
    let mut count = 0;
    for (room, (((header, name), control), part)) in
        rooms.zip(headers.iter_mut().zip(&mut names).zip(&mut controls).zip(&mut parts))
    {
        let header = &mut header.msg_hdr;
        header.msg_iov = ptr::from_mut(part.write(IoSliceMut::new(room))).cast();
        header.msg_iovlen = 1;
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_control = ptr::from_mut(control).cast();
        header.msg_controllen = size_of::<Control>() as _;
        count += 1;
    }
    // SAFETY: the first `count` headers were filled in above. Their pointers point to distinct elements of `names`,
    // `controls` and `parts`, which outlive the call, each with its true size; `IoSliceMut` has the layout of `iovec`,
    // and each holds a room that is borrowed exclusively until this function returns.
    let result =
        unsafe { libc::recvmmsg(descriptor, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
    let filled = usize::try_from(result).map_err(|_| io::Error::last_os_error());
    let filled = xray::answered(filled, || Call::Receive { rooms: count, bytes: bytes(&headers, result) })?;
    for header in &headers[..filled] {
        // SAFETY: the kernel has filled in this header, and the name and the control messages that it points to, with
        // the lengths in the header.
        let (from, to) = unsafe { (sender(&header.msg_hdr), destination(&header.msg_hdr)) };
        received.push(Received { length: header.msg_len as usize, from, to });
    }
    Ok(())
}

/// Sends the unsent `replies`, each from its source if it has one. Returns how many the kernel took, never 0.
///
/// Each run of replies of up to `longest` bytes is sent as one message, which the kernel splits into datagrams at the
/// end of its network stack (`udp(7)`: `UDP_SEGMENT`): a burst to one peer passes the stack once.
pub(super) fn send(descriptor: RawFd, replies: &Replies, longest: usize) -> io::Result<usize> {
    let mut headers = [no_header(); DATAGRAM_BATCH_MAX];
    let mut names = [const { MaybeUninit::<Name>::uninit() }; DATAGRAM_BATCH_MAX];
    let mut controls = [NO_CONTROL; DATAGRAM_BATCH_MAX];
    let mut parts = [IoSlice::new(&[]); DATAGRAM_BATCH_MAX];
    let mut counts = [0; DATAGRAM_BATCH_MAX];
    let mut count = 0;
    for (run, (((header, name), control), part)) in
        replies.runs(longest).zip(headers.iter_mut().zip(&mut names).zip(&mut controls).zip(&mut parts))
    {
        let header = &mut header.msg_hdr;
        *part = IoSlice::new(run.payloads);
        header.msg_iov = ptr::from_mut(part).cast();
        header.msg_iovlen = 1;
        // Only Unix sockets have other recipients.
        let Sender::Inet(to) = run.to else { break };
        let (address, length) = Name::of(to);
        header.msg_name = ptr::from_mut(name.write(address)).cast();
        header.msg_namelen = length as libc::socklen_t;
        header.msg_control = ptr::from_mut(control).cast();
        if let Some(source) = run.source {
            // SAFETY: the header points to room for both control messages; none is written yet.
            unsafe { put_source(header, source) };
        }
        counts[count] = run.count;
        if run.count > 1 {
            // SAFETY: the header points to room for both control messages; at most the other one is written.
            unsafe { put(header, libc::SOL_UDP, libc::UDP_SEGMENT, run.length as u16) };
        }
        count += 1;
    }
    // SAFETY: the first `count` headers were filled in above. Their pointers point to initialized elements of `names`
    // and `parts` and to control messages of `msg_controllen` bytes together, if that is not zero; all of them outlive
    // the call. `IoSlice` has the layout of `iovec`, and the kernel only reads.
    let result =
        unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT as _) };
    let sent = usize::try_from(result).map_err(|_| io::Error::last_os_error());
    let sent = xray::answered(sent, || Call::Send { offered: count as u32, bytes: bytes(&headers, result) })?;
    Ok(counts[..sent].iter().sum())
}

/// Calls `recvmmsg(2)` for no datagram. An error then concerns the call itself and no datagram: the kernel does not
/// have it, or a filter refuses it (`seccomp(2)`).
pub(super) fn receive_none(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: there are no headers, so none is read or written.
    let result = unsafe { libc::recvmmsg(descriptor, ptr::null_mut(), 0, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
    let result = usize::try_from(result).map_err(|_| io::Error::last_os_error());
    xray::answered(result, || Call::Receive { rooms: 0, bytes: 0 }).map(drop)
}

/// Calls `sendmmsg(2)` for no datagram, as [`receive_none`] does.
pub(super) fn send_none(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: there are no headers, so none is read or written.
    let result = unsafe { libc::sendmmsg(descriptor, ptr::null_mut(), 0, libc::MSG_DONTWAIT as _) };
    let result = usize::try_from(result).map_err(|_| io::Error::last_os_error());
    xray::answered(result, || Call::Send { offered: 0, bytes: 0 }).map(drop)
}

/// Returns the bytes of the first `count` messages, as the kernel reports them.
fn bytes(headers: &[libc::mmsghdr], count: libc::c_int) -> u32 {
    let count = usize::try_from(count).unwrap_or(0);
    headers[..count].iter().map(|header| header.msg_len).sum()
}

/// A socket address as the kernel takes it.
#[repr(C)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Converts `address`. Returns the name and its length in bytes.
    fn of(address: SocketAddr) -> (Self, usize) {
        match address {
            SocketAddr::V4(address) => {
                let v4 = *SockaddrIn::from(address).as_ref();
                (Self { v4 }, size_of_val(&v4))
            }
            SocketAddr::V6(address) => {
                let v6 = *SockaddrIn6::from(address).as_ref();
                (Self { v6 }, size_of_val(&v6))
            }
        }
    }
}

/// A header that points to nothing.
const fn no_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` consists of integers and pointers, for which zero is a value.
    unsafe { mem::zeroed() }
}

/// Returns the sender of a datagram; [`Sender::UNKNOWN`] if its address is neither IPv4 nor IPv6.
///
/// # Safety
/// `msg_name` must point to a socket address of `msg_namelen` bytes, aligned for each kind of address.
unsafe fn sender(header: &libc::msghdr) -> Sender {
    let length = header.msg_namelen as usize;
    if length < size_of::<libc::sa_family_t>() {
        return Sender::UNKNOWN;
    }
    // SAFETY: the caller guarantees the pointer and the length; every address begins with its family, and has the
    // structure of that family if it is long enough.
    unsafe {
        match libc::c_int::from(*header.msg_name.cast::<libc::sa_family_t>()) {
            libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
                let address = header.msg_name.cast::<libc::sockaddr_in>().read();
                let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                Sender::Inet(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
            }
            libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
                let address = header.msg_name.cast::<libc::sockaddr_in6>().read();
                let (ip, port) = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
                Sender::Inet(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
            }
            _ => Sender::UNKNOWN,
        }
    }
}

/// Returns the address of this machine that a datagram was sent to, if the kernel reports it and it can be a source.
///
/// For an IPv4 datagram on a socket for both families the kernel reports two addresses. Only `ipi_spec_dst` is an
/// address of this machine even for a broadcast. It comes last (Linux, `udpv6_recvmsg`), so the last message counts.
///
/// # Safety
/// `msg_control` must point to `msg_controllen` bytes of control messages, aligned for their header.
unsafe fn destination(header: &libc::msghdr) -> Option<Source> {
    let mut source = None;
    // SAFETY: the caller guarantees the control messages.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: `CMSG_FIRSTHDR` and `CMSG_NXTHDR` return null or a header within the control messages.
    while let Some(control) = unsafe { message.as_ref() } {
        // SAFETY: `control` is the header of a message, and its data follow; for these two types the kernel writes the
        // structures of `ip(7)` and `ipv6(7)`, possibly unaligned.
        match (control.cmsg_level, control.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info: libc::in_pktinfo = unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast()) };
                source = Source::v4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info: libc::in6_pktinfo = unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast()) };
                source = Source::v6(Ipv6Addr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex as u32);
            }
            _ => {}
        }
        // SAFETY: `message` lies within the control messages of `header`.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    source
}

/// Appends the control message that makes the kernel send a datagram from `source`.
///
/// # Safety
/// As for [`put`], with 40 free bytes.
unsafe fn put_source(header: &mut libc::msghdr, source: Source) {
    match source.address {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            // SAFETY: the caller guarantees room: 16 bytes of header and 12 of data.
            unsafe { put(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info) };
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: source.interface as _,
            };
            // SAFETY: the caller guarantees room: 16 bytes of header and 20 of data.
            unsafe { put(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info) };
        }
    }
}

/// Appends one control message to those of the header, and adds its length to `msg_controllen`.
///
/// # Safety
/// `msg_control` must point to writable bytes, aligned for the header of a control message: `msg_controllen` bytes of
/// whole control messages, followed by `CMSG_SPACE(size_of::<T>())` free bytes.
unsafe fn put<T>(header: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, data: T) {
    let size = size_of::<T>() as libc::c_uint;
    // Some C libraries count in `size_t`, others in `socklen_t`.
    let taken: usize = header.msg_controllen as _;
    // SAFETY: `taken` is a multiple of the alignment (`cmsg(3)`: `CMSG_SPACE`), so a header may follow it; there is
    // room for the header and for the data after it, to which `CMSG_DATA` points.
    unsafe {
        let message = header.msg_control.byte_add(taken).cast::<libc::cmsghdr>();
        (*message).cmsg_len = libc::CMSG_LEN(size) as _;
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
        header.msg_controllen = (taken + libc::CMSG_SPACE(size) as usize) as _;
    }
}
