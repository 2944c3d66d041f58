//! Short input is answered. Of long input that arrives at once, only the beginning is answered; more of it only when
//! the client sends again, and again not all. Meanwhile the server is idle.
//!
//! ```sh
//! cargo run --example broken -- waits-after-budget 8000
//! head -c 1M /dev/zero | tr '\0' a | nc -N 127.0.0.1 8000 | wc -c     # does not return
//! ```
//!
//! Prevented by rule 1 of `docs/design.md`, *waiting is a claim*: the connection that has used up its budget goes back into
//! the ready queue. Done right in `src/connection.rs`, `Status::Again`, and in `src/reactor/errands.rs`, `settle`.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next};

/// Reads for one event, so that a client that sends much does not keep the others waiting.
const READS_MAX: usize = 4;

pub(crate) struct WaitsAfterBudget {
    stream: TcpStream,
    outbox: Outbox,
}

impl WaitsAfterBudget {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default() }
    }
}

impl Connection for WaitsAfterBudget {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; 4 * 1024];
        self.outbox.flush(&mut self.stream)?;
        for _ in 0..READS_MAX {
            if !self.outbox.is_empty() {
                break;
            }
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    buffer[..count].make_ascii_uppercase();
                    self.outbox.push(&buffer[..count]);
                    self.outbox.flush(&mut self.stream)?;
                }
            }
        }
        Ok(Next::Wait)
    }
}
