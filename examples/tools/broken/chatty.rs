//! The server logs to standard output. When that is a pipe whose reader has stopped reading, such as `less` at an
//! earlier page, no client is served any more. When the reader closes the pipe, the server exits.
//!
//! ```sh
//! cargo run --example broken -- chatty 8000 | sleep 60
//! cargo run --example check -- uppercase tcp://127.0.0.1:8000 --only steady
//! ```
//!
//! Prevented by rule 10 of `docs/design.md`, *nothing waits on the loop's thread: no full stderr*. Done right in
//! `src/log_writer.rs`: lines go to a bounded queue, another thread writes them, and lines that do not fit are counted.

use std::io::Result;

use mio::event::Event;
use mio::net::TcpStream;

use crate::right::{Connection, Next, Uppercase};

pub(crate) struct Chatty(Uppercase);

impl Chatty {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Uppercase::new(stream))
    }
}

impl Connection for Chatty {
    fn on_event(&mut self, event: &Event) -> Result<Next> {
        println!("connection {}: {event:#?}", event.token().0);
        self.0.converse()
    }
}
