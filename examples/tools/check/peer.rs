//! A TCP client that waits up to the deadline of its demand, and reports what it got.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::miss::{EXCERPT_BYTES, Miss, Verdict, excerpt};
use crate::trial::STUCK;

/// More answers than the kernels of both sides hold when the client has little room. The server's holds up to 4 MiB (tcp(7),
/// `tcp_wmem`): a fifth of that in segments as short as the client's, and nearly all of it if much is written at once.
pub(crate) const PENDING_BYTES: usize = 6 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// How many bytes the client's kernel holds while the client does not read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Room {
    /// The kernel's default.
    Ample,
    /// A few thousand bytes of answers, and the default for what the client sends.
    LittleToReceive,
    /// A few segments in both directions. As these are short, the server's kernel has little room for unsent bytes, too
    /// (tcp(7), `TCP_MAXSEG`).
    Little,
}

/// When the client reads the answers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    AtOnce,
    /// When the kernels have taken no more bytes for a while.
    Late,
}

pub(crate) struct Client {
    stream: TcpStream,
    deadline: Instant,
    /// What was sent last, in words.
    sent: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, room: Room, deadline: Instant) -> Result<Self, Miss> {
        Self::try_connect(address, room, deadline)
            .map(|stream| Self { stream, deadline, sent: "nothing".to_owned() })
            .map_err(|error| Miss::new("a SYN", in_words(&error), "a connection"))
    }

    fn try_connect(address: SocketAddr, room: Room, deadline: Instant) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if room != Room::Ample {
            socket.set_recv_buffer_size(4096)?;
        }
        if room == Room::Little {
            // Bytes in our own kernel would count as taken by the server.
            socket.set_send_buffer_size(4096)?;
            socket.set_tcp_mss(500)?;
        }
        socket.connect_timeout(&address.into(), left(deadline)?)?;
        let stream = TcpStream::from(socket);
        // Each write is a segment of its own (tcp(7), `TCP_NODELAY`).
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Verdict {
        self.sent = excerpt(bytes);
        let result = write_all(&self.stream, bytes, self.deadline, &AtomicUsize::new(0));
        result.map_err(|error| Miss::new(&*self.sent, in_words(&error), "no error"))
    }

    /// Sends FIN.
    pub(crate) fn finish(&self) -> Verdict {
        let result = self.stream.shutdown(Shutdown::Write);
        result.map_err(|error| Miss::new("FIN", in_words(&error), "no error"))
    }

    /// Sends bytes and FIN so that they arrive together, in one segment if they fit into one.
    pub(crate) fn send_with_fin(&mut self, bytes: &[u8]) -> Verdict {
        // Where there is no such option, the two are still close to each other (tcp(7), `TCP_CORK`).
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.stream).set_tcp_cork(true);
        self.send(bytes)?;
        self.sent.push_str(", and FIN");
        self.finish()
    }

    /// Closes by a reset (socket(7), `SO_LINGER` of zero).
    pub(crate) fn reset(self) {
        self.close_by_reset();
    }

    /// Makes the later close a reset, unless both sides have sent FIN before.
    pub(crate) fn close_by_reset(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Expects these bytes next.
    pub(crate) fn expect(&mut self, expected: &[u8]) -> Verdict {
        let mut seen = 0;
        let mut buffer = vec![0; READ_BYTES];
        while seen < expected.len() {
            let most = buffer.len().min(expected.len() - seen);
            let count = match self.read(&mut buffer[..most]) {
                Ok(0) => return Err(self.short(&expected[..seen], expected, "the end")),
                Ok(count) => count,
                Err(error) => return Err(self.short(&expected[..seen], expected, &in_words(&error))),
            };
            if buffer[..count] != expected[seen..seen + count] {
                return Err(self.wrong(seen, &buffer[..count], expected));
            }
            seen += count;
        }
        Ok(())
    }

    /// Describes wrong bytes `got` after `seen` right ones.
    fn wrong(&self, seen: usize, got: &[u8], expected: &[u8]) -> Miss {
        if seen + got.len() <= EXCERPT_BYTES {
            return Miss::new(&*self.sent, excerpt(&[&expected[..seen], got].concat()), excerpt(expected));
        }
        let right = got.iter().zip(&expected[seen..]).take_while(|(got, expected)| got == expected).count();
        let got = format!("from byte {} on: {}", seen + right + 1, excerpt(&got[right..]));
        Miss::new(&*self.sent, got, excerpt(&expected[seen + right..]))
    }

    fn short(&self, seen: &[u8], expected: &[u8], then: &str) -> Miss {
        Miss::new(&*self.sent, format!("{}, then {then}", excerpt(seen)), excerpt(expected))
    }

    /// Expects the end, and no byte before it.
    pub(crate) fn expect_end(&mut self) -> Verdict {
        let mut buffer = [0; 256];
        let got = match self.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => excerpt(&buffer[..count]),
            Err(error) => in_words(&error),
        };
        Err(Miss::new(&*self.sent, got, "the end"))
    }

    /// Expects a time as in RFC 3339, and a newline.
    pub(crate) fn expect_time(&mut self) -> Verdict {
        let mut line = Vec::new();
        let mut byte = [0];
        let then = loop {
            match self.read(&mut byte) {
                Ok(0) => break "the end".to_owned(),
                Ok(_) => line.push(byte[0]),
                Err(error) => break in_words(&error),
            }
            if byte == *b"\n" || line.len() > 64 {
                break "more".to_owned();
            }
        };
        let text = String::from_utf8_lossy(&line);
        match humantime::parse_rfc3339(text.trim_end_matches('\n')) {
            Ok(_) if text.ends_with('\n') => Ok(()),
            _ => Err(Miss::new(
                "nothing",
                format!("{}, then {then}", excerpt(&line)),
                "a time as in RFC 3339, a newline",
            )),
        }
    }

    /// Reads up to the end, but about `bytes_max` bytes at most. Returns the bytes, and the error instead of a FIN, if
    /// any.
    pub(crate) fn rest(&mut self, bytes_max: usize) -> (Vec<u8>, Option<io::Error>) {
        let mut rest = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        while rest.len() < bytes_max {
            match self.read(&mut buffer) {
                Ok(0) => return (rest, None),
                Ok(count) => rest.extend_from_slice(&buffer[..count]),
                Err(error) => return (rest, Some(error)),
            }
        }
        (rest, Some(io::Error::other("more bytes than that")))
    }

    /// Sends bytes, then FIN if `ends`, and expects the answers in time.
    pub(crate) fn exchange(&mut self, bytes: &[u8], ends: bool, expected: &[u8], reading: Reading) -> Verdict {
        self.sent = format!("{}{}", excerpt(bytes), if ends { ", and FIN" } else { "" });
        let taken = AtomicUsize::new(0);
        let (stream, deadline) = (self.clone_of_stream()?, self.deadline);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                write_all(&stream, bytes, deadline, &taken)?;
                if ends { stream.shutdown(Shutdown::Write) } else { Ok(()) }
            });
            if reading == Reading::Late {
                wait_until_stuck(&taken);
            }
            let verdict = self.expect(expected);
            if verdict.is_err() {
                // The writer may wait for a server that has given up.
                let _ = self.stream.shutdown(Shutdown::Both);
            }
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            verdict?;
            // All answers may arrive from a server that has closed without reading the rest.
            written.map_err(|error| {
                let got = format!("the answers, and then, while it sent the rest, {}", in_words(&error));
                Miss::new(&self.sent, got, "the answers, and a server that takes all that is sent")
            })
        })
    }

    /// Sends until the server takes no more, but about `bytes_max` bytes at most, and reads nothing. Returns the number
    /// of bytes sent.
    pub(crate) fn send_until_stuck(&mut self, chunk: &[u8], bytes_max: usize) -> usize {
        let mut taken = 0;
        let _ = self.stream.set_write_timeout(Some(STUCK));
        while taken < bytes_max
            && Instant::now() < self.deadline
            && let Ok(count @ 1..) = (&self.stream).write(chunk)
        {
            taken += count;
        }
        self.sent = format!("{taken} bytes, without reading");
        taken
    }

    /// Sends what the kernel takes of these bytes before the server is stuck. Returns how many these are.
    pub(crate) fn send_what_fits(&mut self, bytes: &[u8]) -> usize {
        let _ = self.stream.set_write_timeout(Some(STUCK));
        let mut taken = 0;
        while let Ok(count @ 1..) = (&self.stream).write(&bytes[taken..]) {
            taken += count;
        }
        self.sent = format!("{taken} bytes, without reading");
        taken
    }

    /// Returns whether the server closes the connection, by FIN or by a reset, while the client waits for `span`.
    pub(crate) fn is_closed_within(&self, span: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(span));
        match (&self.stream).read(&mut [0; 256]) {
            Ok(count) => count == 0,
            Err(error) => !is_silence(&error),
        }
    }

    /// Returns whether the server resets the connection while the client tries to send more for `span`, and reads nothing.
    pub(crate) fn is_reset_within(&self, span: Duration, more: &[u8]) -> bool {
        let _ = self.stream.set_write_timeout(Some(span));
        (&self.stream).write(more).is_err_and(|error| !is_silence(&error))
    }

    /// The socket, for options that few demands need.
    #[cfg(target_os = "linux")]
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn clone_of_stream(&self) -> Result<TcpStream, Miss> {
        self.stream.try_clone().map_err(|error| Miss::new("nothing", error.to_string(), "a descriptor for the checker"))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(left(self.deadline)?))?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

fn write_all(mut stream: &TcpStream, mut bytes: &[u8], deadline: Instant, taken: &AtomicUsize) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                taken.fetch_add(count, Ordering::Relaxed);
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns when no bytes were taken for a while, which no event reports. It is not enough that the kernel has taken all
/// bytes: the server may not have read most of them yet.
fn wait_until_stuck(taken: &AtomicUsize) {
    let (mut before, mut since) = (0, Instant::now());
    while since.elapsed() < STUCK {
        thread::park_timeout(Duration::from_millis(5));
        let now = taken.load(Ordering::Relaxed);
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// Returns the time left, which is never zero: as a socket timeout that would mean for ever.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| ErrorKind::TimedOut.into())
}

/// Whether the error means only that nothing happened in time.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// An error in the words of a report.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "a timeout".to_owned(),
        ErrorKind::ConnectionReset => "a reset".to_owned(),
        _ => error.to_string(),
    }
}
