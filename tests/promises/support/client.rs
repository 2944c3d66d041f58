//! A TCP client that never waits for ever.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;

/// A connection to the server under test. A failure fails the test at the caller's line.
pub(crate) struct Client(TcpStream);

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// Connects with room for a few unread segments only. As these are short, the server's kernel has little room for
    /// unsent bytes, too (`tcp(7)`: `TCP_MAXSEG`).
    #[track_caller]
    pub(crate) fn connect_with_little_room(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_tcp_mss(500).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::over(socket.into())
    }

    #[track_caller]
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.0
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends FIN.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// One read into a buffer of this size, as in the old clients.
    #[track_caller]
    pub(crate) fn read_once(&mut self, buffer_bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; buffer_bytes];
        let count = self.0.read(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    /// Expects these bytes next.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut received = vec![0; expected.len()];
        self.0.read_exact(&mut received).unwrap();
        assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(answer);
    }

    /// Reads up to the server's FIN, or returns the error instead of it.
    pub(crate) fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).map(|_| rest)
    }

    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.try_rest().unwrap()
    }

    /// Sends FIN and reads up to the server's FIN, or returns the error instead of it.
    pub(crate) fn try_rest_after_fin(&mut self) -> io::Result<Vec<u8>> {
        // The server may have closed first.
        let _ = self.0.shutdown(Shutdown::Write);
        self.try_rest()
    }

    /// Reads the next `count` bytes, or returns the error instead of them.
    pub(crate) fn try_rest_of(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).map(|()| bytes)
    }

    /// Whether input has arrived already.
    pub(crate) fn has_answer(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes for as long as the server takes bytes, and returns their number.
    pub(crate) fn send_until_stuck(&mut self, chunk: &[u8]) -> usize {
        self.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while let Ok(count) = self.0.write(chunk) {
            sent += count;
        }
        sent
    }

    /// Closes with a reset instead of a FIN.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Sends the pieces, each in a separate write, then FIN; returns all that comes back. It reads meanwhile, because a
/// server whose output is not read may stop reading, too.
#[track_caller]
pub(crate) fn ask<P: AsRef<[u8]> + Sync>(address: SocketAddr, pieces: &[P]) -> Vec<u8> {
    let mut client = Client::connect(address);
    let mut writer = Client(client.0.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                writer.send(piece);
            }
            writer.finish();
        });
        client.rest()
    })
}
