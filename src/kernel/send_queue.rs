//! What the kernel holds of a connection's output: `SIOCOUTQ` of `tcp(7)`, which no crate in use wraps.
#![allow(unsafe_code, reason = "a request of ioctl(2) that is not wrapped elsewhere")]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use nix::libc;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ`, which has the number of `TIOCOUTQ` on every architecture (`linux/sockios.h`).
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;

/// Bytes in the send queue of a TCP socket: those that the peer has not acknowledged, sent or not.
pub(super) fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: the request writes one `int` and reads nothing (`tcp(7)`, "Ioctls"), and that is what this `Getter` has room for.
    // On another kind of descriptor it fails, or writes an `int` as well.
    let count = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(usize::try_from(count).unwrap_or(0))
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
        while sender.write(&[0; 64 * 1024]).is_ok() {}
        assert!(unacknowledged(&sender).expect("a TCP socket") > 0);
        drop(sender.shutdown(std::net::Shutdown::Write));
        receiver.read_to_end(&mut Vec::new()).expect("all of it");
        // The FIN counts as a byte, and its acknowledgement may still be on its way.
        assert!(unacknowledged(&sender).expect("a TCP socket") <= 1);
    }
}
