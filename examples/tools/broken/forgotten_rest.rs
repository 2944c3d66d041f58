//! A long answer to a client that reads slowly stops in the middle. When the client sends another byte, a bit more of
//! the answer comes.
//!
//! ```sh
//! cargo run --example broken -- forgotten-rest 8000
//! yes letters | head -c 8M | nc -N 127.0.0.1 8000 | (sleep 1; wc -c)      # does not return
//! ```
//!
//! Prevented by rules 1 and 3 of `docs/design.md`: a connection that waits with output pending waits for writability
//! too. Done right in `src/connection.rs`: `drive` flushes in each visit, whatever the event was, and `note_ready`
//! keeps both directions.

use std::io::{Read, Result, Write};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::right::{Connection, Next, READ_BYTES};

/// At this number of pending bytes, reading stops.
const PENDING_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) struct ForgottenRest {
    stream: TcpStream,
    pending: Vec<u8>,
    peer_finished: bool,
}

impl ForgottenRest {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, pending: Vec::new(), peer_finished: false }
    }
}

impl Connection for ForgottenRest {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        while !self.peer_finished
            && self.pending.len() < PENDING_BYTES_MAX
            && let Some(count) = if_ready(|| self.stream.read(&mut buffer))?
        {
            self.peer_finished = count == 0;
            buffer[..count].make_ascii_uppercase();
            self.pending.extend_from_slice(&buffer[..count]);
            while !self.pending.is_empty()
                && let Some(count) = if_ready(|| self.stream.write(&self.pending))?
            {
                self.pending.drain(..count);
            }
        }
        Ok(if self.peer_finished && self.pending.is_empty() { Next::Close } else { Next::Wait })
    }
}
