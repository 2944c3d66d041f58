//! The calls that a socket makes: for many datagrams, or for one at a time where those are refused.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::slice::ChunksExactMut;

use nix::sys::socket::{setsockopt, sockopt};

use super::{Received, Replies, mmsg, one_by_one, sockets};
use crate::errno;
use crate::xray::SocketOption;

/// The longest replies that are sent in runs: the smallest packet that every link must carry (RFC 8200, section 5: 1280
/// bytes) less 48 bytes of headers.
const SEGMENT_BYTES_MAX: usize = 1232;

/// The calls that are known to work on one socket.
#[derive(Debug)]
pub(super) struct Calls {
    /// The longest replies of a run that the kernel splits itself; 0 if it cannot.
    segment_bytes_max: usize,
    /// `recvmmsg(2)` is refused.
    receives_singly: bool,
    /// `sendmmsg(2)` is refused.
    sends_singly: bool,
}

impl Calls {
    pub(super) fn new(socket: &impl AsFd) -> Self {
        let segment_bytes_max = if segments(socket) { SEGMENT_BYTES_MAX } else { 0 };
        Self { segment_bytes_max, receives_singly: false, sends_singly: false }
    }

    /// Receives datagrams as [`DatagramSocket::receive`](crate::kernel::DatagramSocket::receive) describes.
    pub(super) fn receive(
        &mut self,
        descriptor: RawFd,
        rooms: ChunksExactMut<'_, u8>,
        received: &mut Vec<Received>,
    ) -> io::Result<()> {
        if self.receives_singly {
            return one_by_one::receive(descriptor, rooms, received);
        }
        match mmsg::receive(descriptor, rooms, received) {
            Err(error) if errno::may_refuse_call(&error) && is_of_the_call(mmsg::receive_none(descriptor)) => {
                log::warn!("recvmmsg(2) is refused ({error}): receiving one datagram per call");
                self.receives_singly = true;
                // Nothing was received. The caller retries as after a signal, and then receives one by one.
                Err(io::ErrorKind::Interrupted.into())
            }
            result => result,
        }
    }

    /// Sends replies as [`DatagramSocket::send`](crate::kernel::DatagramSocket::send) describes.
    ///
    /// If the kernel refuses a run, that run and the rest of the batch are sent as single datagrams. The next batch is
    /// sent in runs again: a peer behind a narrow link, or an unreachable address, does not affect other peers.
    pub(super) fn send(&mut self, descriptor: RawFd, replies: &Replies) -> io::Result<usize> {
        if self.sends_singly {
            return one_by_one::send(descriptor, replies);
        }
        match mmsg::send(descriptor, replies, self.segment_bytes_max) {
            Err(error) if self.refuses_run(&error, replies) => mmsg::send(descriptor, replies, 0),
            Err(error) if errno::may_refuse_call(&error) && is_of_the_call(mmsg::send_none(descriptor)) => {
                log::warn!("sendmmsg(2) is refused ({error}): sending one datagram per call");
                self.sends_singly = true;
                one_by_one::send(descriptor, replies)
            }
            result => result,
        }
    }

    /// Whether an error may mean that the first run of replies cannot be sent as one message.
    fn refuses_run(&self, error: &io::Error, replies: &Replies) -> bool {
        errno::may_refuse_segments(error)
            && replies.runs(self.segment_bytes_max).next().is_some_and(|run| run.count > 1)
    }
}

/// Whether the kernel supports `UDP_SEGMENT` (`udp(7)`, Linux 4.18); without it a run would be sent as one datagram.
fn segments(socket: &impl AsFd) -> bool {
    let asked = setsockopt(socket, sockopt::UdpGsoSegment, &0);
    sockets::set(asked, SocketOption::Segment, 0).is_ok()
}

/// Whether the same call without any datagram fails in the same way, so that no datagram is the cause.
fn is_of_the_call(none: io::Result<()>) -> bool {
    none.is_err_and(|error| errno::may_refuse_call(&error))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use nix::errno::Errno;

    use super::*;
    use crate::kernel::{BindOptions, Reply, Sender, Source};

    /// A socket that receives the datagrams of a run in one piece, as they were sent (`udp(7)`: `UDP_GRO`).
    fn receiver() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
        setsockopt(&socket, sockopt::UdpGroSegment, &true).expect("Linux 5.0");
        socket
    }

    #[test]
    fn single_and_batched_calls_report_and_obey_the_same_addresses() {
        for (bound, asked) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::1]:0", "::1"),
            ("[::]:0", "::1"),
            ("[::]:0", "127.0.0.3"),
        ] {
            let options = BindOptions::new(None, true);
            let (socket, local) =
                super::super::UdpSocket::bind(bound.parse().expect("valid"), &options).expect("a port");
            let descriptor = socket.socket.as_raw_fd();
            let asked = SocketAddr::new(asked.parse().expect("valid"), local.port());
            let client = UdpSocket::bind((asked.ip(), 0)).expect("a port");
            client.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
            // From now on it receives only datagrams from that address.
            client.connect(asked).expect("an address of ours");
            let (mut buffer, mut received) = ([0; 16], Vec::new());
            for receive in [mmsg::receive, one_by_one::receive] {
                client.send(b"hello").expect("room");
                receive(descriptor, buffer.chunks_exact_mut(16), &mut received).expect("a datagram");
                assert_eq!(&buffer[..5], b"hello");
            }
            assert_eq!(received[0], received[1], "{bound} {asked}");
            assert_eq!(received[0].to.is_some(), local.ip().is_unspecified(), "{bound} {asked}");
            let mut replies = Replies::default();
            replies.push(Reply { payload: b"world", to: received[1].from, source: received[1].to });
            assert_eq!(one_by_one::send(descriptor, &replies).expect("room"), 1);
            let mut buffer = [0; 16];
            assert_eq!(client.recv(&mut buffer).expect("an answer"), 5, "{bound} {asked}");
        }
    }

    #[test]
    fn a_run_that_cannot_leave_does_not_end_the_runs_of_others() {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let client = receiver();
        let to = client.local_addr().expect("bound");
        let mut calls = Calls::new(&socket);
        let group = Some(Source { address: [224, 0, 0, 1].into(), interface: 0 });
        let send = |calls: &mut Calls, to: SocketAddr, source: Option<Source>| {
            let mut replies = Replies::default();
            for _ in 0..3 {
                replies.push(Reply { payload: b"reply", to: Sender::Inet(to), source });
            }
            calls.send(socket.as_raw_fd(), &replies)
        };
        for _ in 0..2 {
            let error = send(&mut calls, to, group).expect_err("nothing leaves from a group");
            assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
            assert_eq!(send(&mut calls, to, None).expect("room"), 3);
            let mut buffer = [0; 64];
            let count = client.recv(&mut buffer).expect("a run");
            assert_eq!(buffer[..count].escape_ascii().to_string(), "replyreplyreply");
        }
    }
}
