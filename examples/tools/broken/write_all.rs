//! All answers are right and complete. But while one client does not read its answer no other client is served, and the
//! server uses a whole processor.
//!
//! ```sh
//! cargo run --example broken -- write-all 8000
//! yes letters | socat -u - TCP:127.0.0.1:8000 &
//! echo hello | nc -N 127.0.0.1 8000                                     # no answer while the first one is connected
//! ```
//!
//! Prevented by rule 10 of `docs/design.md`, *nothing waits on the loop's thread*. Done right in `src/connection/line.rs`,
//! `flush`: after `WouldBlock` the rest stays in the outbox, and the loop turns to other connections.

use std::io::{Read, Result, Write};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::right::{Connection, Next, READ_BYTES};

pub(crate) struct WriteAll(TcpStream);

impl WriteAll {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Connection for WriteAll {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        while let Some(count) = if_ready(|| self.0.read(&mut buffer))? {
            if count == 0 {
                return Ok(Next::Close);
            }
            buffer[..count].make_ascii_uppercase();
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                if let Some(count) = if_ready(|| self.0.write(rest))? {
                    rest = &rest[count..];
                }
            }
        }
        Ok(Next::Wait)
    }
}
