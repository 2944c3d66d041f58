//! Step 7: partial writes. What the kernel does not take waits in an outbox until there is room again.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::framing::Framing;

const READ_BYTES: usize = 16 * 1024;

struct Connection {
    client: TcpStream,
    framing: Framing,
    outbox: Vec<u8>,
    has_ended: bool,
    is_shut: bool,
}

impl Connection {
    fn new(client: TcpStream) -> Result<Self> {
        client.set_nonblocking(true)?;
        let (framing, outbox) = (Framing::default(), Vec::new());
        Ok(Self { client, framing, outbox, has_ended: false, is_shut: false })
    }

    /// What to wait for: room only while there is something to send, because there nearly always is room.
    fn events(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, !self.has_ended);
        events.set(PollFlags::OUT, !self.outbox.is_empty());
        events
    }

    /// Goes on until nothing is possible without waiting. Returns whether the connection stays open.
    fn on_ready(&mut self) -> Result<bool> {
        self.flush()?;
        let mut received = [0; READ_BYTES];
        while !self.has_ended {
            match self.client.read(&mut received) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => self.has_ended = true,
                Ok(_) if self.framing.is_refused => {}
                Ok(count) => {
                    self.framing.answer(&received[..count], &mut self.outbox);
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
                Ok(count) => drop(self.outbox.drain(..count)),
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
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let mut waits = vec![PollFd::new(listener, PollFlags::IN)];
        waits.extend(connections.iter().map(|connection| PollFd::new(&connection.client, connection.events())));
        match poll(&mut waits, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<_> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let mut is_ready = ready[1..].iter();
        // An error says that this client has left.
        connections.retain_mut(|connection| is_ready.next() != Some(&true) || connection.on_ready().unwrap_or(false));
        if ready[0] {
            let (client, _) = listener.accept()?;
            connections.push(Connection::new(client)?);
        }
    }
}
