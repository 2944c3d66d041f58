//! What the kernel counts of a socket: `TCP_INFO` of `tcp(7)` and `SO_MEMINFO` of `socket(7)`, which `rustix` does not wrap.
#![allow(unsafe_code, reason = "a call that is not wrapped elsewhere")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

/// Returns the connections in the accept queue of a listener, and the limit of the queue.
///
/// In `struct tcp_info` (`linux/tcp.h`) eight bytes precede the numbers. The seventh and eighth `u32` are `tcpi_unacked` and
/// `tcpi_sacked`, in which a listener reports its queue (`tcp_get_info` in `net/ipv4/tcp.c`).
pub(super) fn accept_queue(listener: &impl AsFd) -> io::Result<(u32, u32)> {
    let [.., waiting, most] = numbers::<8>(listener, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok((waiting, most))
}

/// Returns the datagrams that were dropped because the receive buffer was full: `SK_MEMINFO_DROPS` (`linux/sock_diag.h`). The
/// number wraps around.
pub(super) fn drops(socket: &impl AsFd) -> io::Result<u32> {
    let [.., drops] = numbers::<9>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO)?;
    Ok(drops)
}

/// Returns the first `N` numbers of a socket option.
fn numbers<const N: usize>(socket: &impl AsFd, level: c_int, option: c_int) -> io::Result<[u32; N]> {
    let mut numbers = [0; N];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the call writes at most as many bytes as `length` says to `numbers`, and the number of bytes to `length`
    // (`getsockopt(2)`). Both outlive the call, and every pattern of bits is a `u32`.
    let result = unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw mut numbers).cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if length as usize == size_of_val(&numbers) { Ok(numbers) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_listener_reports_its_accept_queue_and_the_limit_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(7).expect("a backlog")).expect("it listens");
        let address = listener.local_addr().expect("an address");
        assert_eq!(accept_queue(&listener).expect("a TCP socket"), (0, 7));
        let _clients = [(); 3].map(|()| TcpStream::connect(address).expect("it listens"));
        assert_eq!(accept_queue(&listener).expect("a TCP socket"), (3, 7));
        listener.accept().expect("a connection");
        assert_eq!(accept_queue(&listener).expect("a TCP socket"), (2, 7));
    }

    #[test]
    fn a_udp_socket_reports_what_the_kernel_dropped() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        assert_eq!(drops(&socket).expect("a socket"), 0);
        socket2::SockRef::from(&socket).set_recv_buffer_size(1).expect("a socket");
        let address = socket.local_addr().expect("an address");
        (0..50).for_each(|_| assert_eq!(sender.send_to(&[0; 1024], address).expect("it is sent"), 1024));
        let kept = std::iter::from_fn(|| socket.set_nonblocking(true).and_then(|()| socket.recv(&mut [0; 1024])).ok());
        let kept = kept.count() as u32;
        assert_eq!(drops(&socket).expect("a socket"), 50 - kept);
        assert!(kept < 50, "the buffer is small");
        assert!(drops(&io::stderr()).is_err(), "not a socket");
    }
}
