//! A wrong request gets an error line, and then the server closes: that works by hand. A client that has sent more
//! after the wrong request, and still waits for answers to earlier ones, gets a part of them and `Connection reset by
//! peer`; the error line is lost.
//!
//! ```sh
//! cargo run --example broken -- closes-over-input 8000
//! cargo run --example check -- sum tcp://127.0.0.1:8000 --only refusal
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: send FIN, then discard input until the peer's FIN. A close with unread
//! input makes the kernel send a reset and drop its unsent output (RFC 1122, 4.2.2.13). Done right in
//! `src/connection/phase.rs`, `finish_writing` and `Phase::Lingering`.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next, READ_BYTES};
use crate::sum;

pub(crate) struct ClosesOverInput {
    stream: TcpStream,
    input: Vec<u8>,
    outbox: Outbox,
    is_refused: bool,
}

impl ClosesOverInput {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, input: Vec::new(), outbox: Outbox::default(), is_refused: false }
    }
}

impl Connection for ClosesOverInput {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            if self.is_refused {
                return Ok(Next::Close);
            }
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => self.input.extend_from_slice(&buffer[..count]),
            }
            let (answers, error) = sum::take(&mut self.input);
            self.is_refused = error.is_some();
            self.outbox.push((answers + &error.unwrap_or_default()).as_bytes());
            self.outbox.flush(&mut self.stream)?;
        }
        Ok(Next::Wait)
    }
}
