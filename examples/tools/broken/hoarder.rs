//! All answers are right and complete, and no client waits for another. But one client that sends and does not read is
//! enough for the server to grow until the kernel kills it.
//!
//! ```sh
//! cargo run --example broken -- hoarder 8000
//! (yes letters | head -c 400M; cat) | socat -u - TCP:127.0.0.1:8000          # ps -o rss= -C broken prints some 400,000 KiB
//! ```
//!
//! Prevented by rule 6 of `docs/design.md`, *everything has a bound*: a full outbox stops delivery and reading, and
//! TCP's flow control then stops the peer. Done right in `src/connection/held.rs`, `is_full`, which `converse` asks; the bound is
//! `max_pending_output`.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next, READ_BYTES};

pub(crate) struct Hoarder {
    stream: TcpStream,
    outbox: Outbox,
    peer_finished: bool,
}

impl Hoarder {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default(), peer_finished: false }
    }
}

impl Connection for Hoarder {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        while !self.peer_finished
            && let Some(count) = if_ready(|| self.stream.read(&mut buffer))?
        {
            self.peer_finished = count == 0;
            buffer[..count].make_ascii_uppercase();
            self.outbox.push(&buffer[..count]);
        }
        self.outbox.flush(&mut self.stream)?;
        Ok(if self.peer_finished && self.outbox.is_empty() { Next::Close } else { Next::Wait })
    }
}
