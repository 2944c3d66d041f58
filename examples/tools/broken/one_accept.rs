//! Clients that connect one after the other are served. Of many that connect at the same time some are not: they are
//! connected, they have sent, and nothing comes back. When another client connects, one of them is served.
//!
//! ```sh
//! cargo run --example broken -- one-accept 8000
//! for i in $(seq 100); do echo $i | nc -N 127.0.0.1 8000 & done; wait   # does not return
//! ```
//!
//! Prevented by rule 1 of `docs/design.md`, *waiting is a claim*, which holds for listeners, too: one edge may announce
//! many clients. Done right in `src/listener.rs`: it accepts until `WouldBlock`, or is visited again.

use std::io::Result;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::if_ready::if_ready;
use crate::right::{BOTH, Connection, LISTENER, Next};

pub(crate) fn serve<C: Connection>(mut listener: TcpListener, open: fn(TcpStream) -> C) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<C> = Slab::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        if_ready(|| poll.poll(&mut events, None))?;
        for event in &events {
            if event.token() == LISTENER
                && let Ok(Some((mut stream, _))) = if_ready(|| listener.accept())
                && poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH).is_ok()
            {
                connections.insert(open(stream));
            }
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
    }
}
