//! Short answers are right, and so are long ones to a client that reads fast. For a client that reads slowly, parts in
//! the middle are missing, without any error on either side.
//!
//! ```sh
//! cargo run --example broken -- short-write 8000
//! yes letters | head -c 40M | nc -N 127.0.0.1 8000 | (sleep 1; wc -c)     # fewer than 41943040
//! ```
//!
//! Prevented by rule 3 of `docs/design.md`, *output is written first*, together with an outbox that keeps the bytes
//! that were not taken. Done right in `src/connection.rs`, `flush`, and `src/outbox.rs`, `advance`: only the bytes that
//! `write(2)` reports as taken are removed.

use std::io::{Read, Result, Write};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::right::{Connection, Next, READ_BYTES};

pub(crate) struct ShortWrite(TcpStream);

impl ShortWrite {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Connection for ShortWrite {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        while let Some(count) = if_ready(|| self.0.read(&mut buffer))? {
            if count == 0 {
                return Ok(Next::Close);
            }
            buffer[..count].make_ascii_uppercase();
            if_ready(|| self.0.write(&buffer[..count]))?;
        }
        Ok(Next::Wait)
    }
}
