//! The kernel's send queue of a connection, its length and a bound for it: `SIOCOUTQ` and `TCP_NOTSENT_LOWAT` of
//! `tcp(7)`, which `rustix` does not wrap.
#![allow(unsafe_code, reason = "two calls that are not wrapped elsewhere")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use nix::libc;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ`, which has the number of `TIOCOUTQ` on every architecture (`linux/sockios.h`).
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;

/// Returns the bytes in the send queue of a TCP socket: those that the peer has not acknowledged, sent or not.
pub(super) fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: the request writes one `int` and reads nothing (`tcp(7)`, "Ioctls"), and this `Getter` has room for one `int`.
    // On another kind of descriptor it fails, or writes an `int` as well.
    let count = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Bounds the bytes that the kernel holds unsent for a TCP socket; below the bound `poll(2)` reports the socket
/// writable. Connections inherit the bound from their listener.
pub(super) fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    let (value, length) = (ptr::from_ref(&bytes).cast(), size_of_val(&bytes) as libc::socklen_t);
    // SAFETY: the call reads as many bytes as `length` says of `bytes`, which outlives it.
    let result = unsafe {
        let descriptor = socket.as_fd().as_raw_fd();
        libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value, length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn it_counts_what_the_peer_has_not_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let (mut receiver, _) = listener.accept().expect("a connection");
        assert_eq!(unacknowledged(&sender).expect("a TCP socket"), 0);
        sender.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        while let Ok(count) = sender.write(&[0; 64 * 1024]) {
            sent += count;
        }
        assert!(unacknowledged(&sender).expect("a TCP socket") > 0);
        // What the receiver sends after it has read everything acknowledges everything (RFC 9293, 3.4).
        receiver.read_exact(&mut vec![0; sent]).expect("all of it");
        receiver.write_all(b"!").expect("a connection");
        sender.set_nonblocking(false).expect("a socket");
        sender.read_exact(&mut [0]).expect("a byte");
        assert_eq!(unacknowledged(&sender).expect("a TCP socket"), 0);
    }

    #[test]
    fn the_kernel_has_the_bound_for_unsent_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        bound_unsent(&listener, 123_456).expect("a TCP socket");
        assert_eq!(socket2::SockRef::from(&listener).tcp_notsent_lowat().expect("a TCP socket"), 123_456);
        assert!(bound_unsent(&io::stderr(), 1).is_err(), "not a socket");
    }
}
