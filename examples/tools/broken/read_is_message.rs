//! By hand, every sum is right. A program that sends two requests at a time, or a network that splits a request, causes
//! errors, and not always the same ones.
//!
//! ```sh
//! cargo run --example broken -- read-is-message 8000
//! echo '{"A":7,"B":4}' | nc -N 127.0.0.1 8000                     # {"Sum":11}
//! echo '{"A":7,"B":4}{"A":1,"B":2}' | nc -N 127.0.0.1 8000        # an error
//! ```
//!
//! Prevented by the contract of a protocol (`docs/protocols.md`: *how TCP cuts the stream does not matter*): it gets
//! all bytes that it has not consumed, and returns how many of them were a message. Done right in
//! `src/connection/conversation.rs`, `deliver` and `keep`, and in `src/protocol/sum.rs`.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next, READ_BYTES};
use crate::sum;

pub(crate) struct ReadIsMessage {
    stream: TcpStream,
    outbox: Outbox,
}

impl ReadIsMessage {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default() }
    }
}

impl Connection for ReadIsMessage {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    let answer = sum::answer(&buffer[..count]).unwrap_or_else(|| sum::error("not two integers"));
                    self.outbox.push(answer.as_bytes());
                    self.outbox.flush(&mut self.stream)?;
                }
            }
        }
        Ok(Next::Wait)
    }
}
