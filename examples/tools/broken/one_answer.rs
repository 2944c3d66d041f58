//! The first answer is right, and then the server closes. A client that has more to ask has to connect again for each
//! question; a client that has sent two questions at once may get a reset in place of the first answer.
//!
//! ```sh
//! cargo run --example broken -- one-answer 8000
//! nc 127.0.0.1 8000                                      # type two lines: only the first one gets an answer
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: the peer's FIN ends a connection, or a decision of the protocol, but not an
//! answer. Done right in `src/connection/conversation.rs`, `converse`, which reads again.

use std::io::{Read, Result};

use mio::event::Event;
use mio::net::TcpStream;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{Connection, Next, READ_BYTES};

pub(crate) struct OneAnswer {
    stream: TcpStream,
    outbox: Outbox,
    has_answered: bool,
}

impl OneAnswer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default(), has_answered: false }
    }
}

impl Connection for OneAnswer {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            if self.has_answered {
                return Ok(Next::Close);
            }
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    buffer[..count].make_ascii_uppercase();
                    self.outbox.push(&buffer[..count]);
                    self.outbox.flush(&mut self.stream)?;
                    self.has_answered = true;
                }
            }
        }
        Ok(Next::Wait)
    }
}
