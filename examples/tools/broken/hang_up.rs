//! `nc` without `-N`, which stays connected, gets all answers. A program that sends its request and its FIN at once
//! gets nothing, or everything, or a part: it depends on which segments arrive together.
//!
//! ```sh
//! cargo run --example broken -- hang-up 8000
//! for i in 1 2 3 4 5 6 7 8 9; do echo $i | nc -N 127.0.0.1 8000; done     # most numbers are missing
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: the peer's FIN ends its input, after everything before it, but not the
//! connection. Done right in `src/connection/conversation.rs`: an event is only a reason to read, and `announce_eof` comes when
//! `read(2)` has returned 0.

use std::io::Result;

use mio::event::Event;
use mio::net::TcpStream;

use crate::right::{Connection, Next, Uppercase};

pub(crate) struct HangUp(Uppercase);

impl HangUp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Uppercase::new(stream))
    }
}

impl Connection for HangUp {
    fn on_event(&mut self, event: &Event) -> Result<Next> {
        if event.is_read_closed() {
            return Ok(Next::Close);
        }
        self.0.converse()
    }
}
