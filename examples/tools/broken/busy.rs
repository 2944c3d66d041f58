//! All clients are served at once. But the server uses a whole processor, even when no client is connected.
//!
//! ```sh
//! cargo run --example broken -- busy 8000
//! ps -o %cpu= -C broken                                                 # nearly 100
//! ```
//!
//! Prevented by the first step of a turn (`docs/design.md`, *one turn of the loop*: wait). Done right in `src/reactor.rs`,
//! `wait`: with nothing to do it sleeps in the kernel until an event or the next deadline.

use std::io::Result;

use mio::net::TcpListener;

use crate::right::{Uppercase, new_connections};

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let mut connections = Vec::new();
    loop {
        connections.extend(new_connections(listener).map(Uppercase::new));
        // A silent client's read returns `WouldBlock`, and is tried again in the next round.
        connections.retain_mut(Uppercase::stays);
    }
}
