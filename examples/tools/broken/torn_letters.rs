//! Letters of all languages are answered in upper case, by hand and from files. Over a network a letter now and then
//! stays in lower case, for no visible reason.
//!
//! ```sh
//! cargo run --example broken -- torn-letters 8000
//! echo straße | nc -N 127.0.0.1 8000                                    # STRASSE
//! (printf 'stra\303'; sleep 1; printf '\237e\n') | nc -N 127.0.0.1 8000 # STRAßE
//! ```
//!
//! Prevented by the contract of a protocol (`docs/protocols.md`: *how TCP cuts the stream does not matter*), which a test can
//! hold against every cut once the protocol has no socket (`reactor::testing::same_for_every_split`). Done right in
//! `src/protocol/uppercase.rs`, `on_bytes`.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next, READ_BYTES};

pub(crate) struct TornLetters {
    stream: TcpStream,
    outbox: Outbox,
}

impl TornLetters {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default() }
    }
}

impl Connection for TornLetters {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    for part in buffer[..count].utf8_chunks() {
                        self.outbox.push(part.valid().to_uppercase().as_bytes());
                        self.outbox.push(part.invalid());
                    }
                    self.outbox.flush(&mut self.stream)?;
                }
            }
        }
        Ok(Next::Wait)
    }
}
