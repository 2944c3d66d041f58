//! A client that sends many requests and its FIN, and then reads slowly, does not get the end of the answers.
//!
//! ```sh
//! cargo run --example broken -- last-words 8000
//! yes letters | head -c 8M | nc -N 127.0.0.1 8000 | (sleep 1; wc -c)      # fewer than 8388608
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: after the peer's FIN pending output is sent, then our FIN. Done right in
//! `src/connection/phase.rs`, `finish_writing`, after `announce_eof` of `conversation.rs`; `Phase::Flushing` is the time between the two FINs.

use std::io::{Read, Result, Write};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::right::{Connection, Next, READ_BYTES};

/// At this number of pending bytes, reading stops.
const PENDING_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(crate) struct LastWords {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl LastWords {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    fn flush(&mut self) -> Result<()> {
        while !self.pending.is_empty()
            && let Some(count) = if_ready(|| self.stream.write(&self.pending))?
        {
            self.pending.drain(..count);
        }
        Ok(())
    }
}

impl Connection for LastWords {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.flush()?;
        while self.pending.len() < PENDING_BYTES_MAX {
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    buffer[..count].make_ascii_uppercase();
                    self.pending.extend_from_slice(&buffer[..count]);
                    self.flush()?;
                }
            }
        }
        Ok(Next::Wait)
    }
}
