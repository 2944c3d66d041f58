//! Step 6: readiness. One thread waits for all clients in one call of `poll`.

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::framing::Framing;

struct Connection {
    client: TcpStream,
    framing: Framing,
}

impl Connection {
    /// Returns whether the connection stays open. It reads once: `poll` has said that this does not wait.
    fn on_readable(&mut self) -> Result<bool> {
        let mut received = [0; 4096];
        let count = self.client.read(&mut received)?;
        if count > 0 && !self.framing.is_refused {
            let mut answers = Vec::new();
            self.framing.answer(&received[..count], &mut answers);
            self.client.write_all(&answers)?;
            if self.framing.is_refused {
                // The rest is read, and forgotten, until the client closes.
                self.client.shutdown(Shutdown::Write)?;
            }
        }
        Ok(count > 0)
    }
}

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let mut waits = vec![PollFd::new(listener, PollFlags::IN)];
        waits.extend(connections.iter().map(|connection| PollFd::new(&connection.client, PollFlags::IN)));
        match poll(&mut waits, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<_> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let mut is_ready = ready[1..].iter();
        // An error says that this client has left.
        connections
            .retain_mut(|connection| is_ready.next() != Some(&true) || connection.on_readable().unwrap_or(false));
        if ready[0] {
            let (client, _) = listener.accept()?;
            connections.push(Connection { client, framing: Framing::default() });
        }
    }
}
