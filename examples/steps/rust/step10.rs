//! Step 10: deadlines. A client without progress is closed.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::framing::Framing;

const READ_BYTES: usize = 16 * 1024;
/// From here on nothing more is read; the answers to one read may come on top.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Until the next attempt to accept after EMFILE.
const PAUSE: Duration = Duration::from_millis(100);
/// Progress is a whole question, or bytes that the kernel has taken.
const PROGRESS: Duration = Duration::from_secs(2);

struct Connection {
    client: TcpStream,
    framing: Framing,
    outbox: Vec<u8>,
    has_ended: bool,
    is_shut: bool,
    deadline: Instant,
}

impl Connection {
    fn new(client: TcpStream) -> Result<Self> {
        client.set_nonblocking(true)?;
        let (framing, outbox) = (Framing::default(), Vec::new());
        let deadline = Instant::now() + PROGRESS;
        Ok(Self { client, framing, outbox, has_ended: false, is_shut: false, deadline })
    }

    fn extend(&mut self) {
        self.deadline = Instant::now() + PROGRESS;
    }

    fn may_read(&self) -> bool {
        !self.has_ended && self.outbox.len() < OUTBOX_BYTES_MAX
    }

    /// What to wait for: room only while there is something to send, because there nearly always is room.
    fn events(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.may_read());
        events.set(PollFlags::OUT, !self.outbox.is_empty());
        events
    }

    /// Goes on until nothing is possible without waiting. Returns whether the connection stays open.
    fn on_ready(&mut self) -> Result<bool> {
        self.flush()?;
        let mut received = [0; READ_BYTES];
        while self.may_read() {
            match self.client.read(&mut received) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => self.has_ended = true,
                Ok(_) if self.framing.is_refused => {}
                Ok(count) => {
                    let before = self.outbox.len();
                    self.framing.answer(&received[..count], &mut self.outbox);
                    // Not for each byte: a slow client would keep its place for ever.
                    if self.outbox.len() > before {
                        self.extend();
                    }
                    self.flush()?;
                }
            }
        }
        Ok(!self.has_ended || !self.outbox.is_empty())
    }

    fn flush(&mut self) -> Result<()> {
        while !self.outbox.is_empty() {
            match self.client.write(&self.outbox) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.outbox.drain(..count);
                    self.extend();
                }
            }
        }
        if self.framing.is_refused && !self.is_shut {
            // The rest is read, and forgotten, until the client closes.
            self.is_shut = true;
            self.client.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut connections: Vec<Connection> = Vec::new();
    let mut is_full = false;
    loop {
        // While it is full, the listener stays ready: to wait for it would be a busy loop.
        let interest = if is_full { PollFlags::empty() } else { PollFlags::IN };
        let mut waits = vec![PollFd::new(listener, interest)];
        waits.extend(connections.iter().map(|connection| PollFd::new(&connection.client, connection.events())));
        let wait = wait(&connections, is_full);
        match poll(&mut waits, wait.as_ref()) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<_> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let mut is_ready = ready[1..].iter();
        // An error says that this client has left.
        connections.retain_mut(|connection| is_ready.next() != Some(&true) || connection.on_ready().unwrap_or(false));
        let now = Instant::now();
        connections.retain(|connection| connection.deadline > now);
        // In each turn, because a connection that closed may have freed a descriptor.
        is_full = accept_all(listener, &mut connections)?;
    }
}

/// Returns the time until the next thing to do without an event. `None` is for ever.
fn wait(connections: &[Connection], is_full: bool) -> Option<Timespec> {
    let now = Instant::now();
    let deadlines = connections.iter().map(|connection| connection.deadline.saturating_duration_since(now));
    deadlines.chain(is_full.then_some(PAUSE)).min().and_then(|wait| wait.try_into().ok())
}

/// Accepts the waiting clients. Returns whether the rest of them has to wait for a descriptor.
fn accept_all(listener: &TcpListener, connections: &mut Vec<Connection>) -> Result<bool> {
    loop {
        match listener.accept() {
            Ok((client, _)) => connections.push(Connection::new(client)?),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            // This client has left the accept queue.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            // EMFILE, ENFILE, ENOBUFS, ENOMEM: what is missing may be there later.
            Err(_) => return Ok(true),
        }
    }
}
