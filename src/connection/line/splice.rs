//! Uploads: the kernel moves bytes from the socket into a pipe.

use super::{Doubt, Line};
use crate::attempt::Attempt;
use crate::kernel::{Pipe, Transport, pipes};

impl<T: Transport> Line<T> {
    /// Whether [`splice`](Self::splice) may be used. It stops for ever at urgent data, which a read skips: so not while an event is in
    /// doubt.
    pub(in crate::connection) fn may_splice(&self) -> bool {
        self.transport.splices() && self.doubt.0 & Doubt::EVENT == 0
    }

    /// Moves at most `most` bytes into `pipe` instead of reading them; 0 is the peer's FIN or urgent data
    /// before it, and the next read tells which. `WouldBlock` proves the stream drained only if the pipe is empty.
    pub(in crate::connection) fn splice(&mut self, pipe: &mut Pipe, most: usize) -> Attempt<usize> {
        let moved = pipes::fill(pipe, &mut self.transport, most);
        match moved {
            // At urgent data a splice stops as at a FIN, if a FIN is behind it: bytes may follow.
            Attempt::Done(0) => self.doubt.0 |= Doubt::EVENT,
            // It may be the pipe that is full. Then the worker gets it, and when it is back the connection asks again.
            Attempt::WouldBlock => self.readable = false,
            _ => {}
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};
    use std::net::SocketAddr;

    use super::*;

    /// A stream with urgent data, more bytes and a FIN behind it: a splice returns 0 (seen on Linux 6.18), and a read skips the mark.
    struct Marked(&'static [u8]);

    impl Transport for Marked {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }

        fn splices(&self) -> bool {
            true
        }

        fn splice(&mut self, _: &mut Pipe, _: usize) -> io::Result<usize> {
            Ok(0)
        }

        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reset_on_close(&mut self) {}

        fn short_read_drains(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_splice_of_nothing_is_not_yet_the_fin() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1)).into();
        let mut line = Line::new(Marked(b"after"), &peer);
        assert!(line.may_splice());
        assert!(matches!(line.splice(&mut Pipe::in_memory(9, 9), 9), Attempt::Done(0)));
        assert!(!line.has_peer_finished() && line.is_readable() && !line.may_splice());
        let mut room = [0; 9];
        assert!(matches!(line.read(&mut room), Attempt::Done(5)));
        assert!(matches!(line.read(&mut room), Attempt::Done(0)));
        assert!(line.has_peer_finished());
    }
}
