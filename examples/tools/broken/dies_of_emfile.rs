//! Every client is served, until there are too many. With the first client for which no descriptor is left the server
//! exits, and all the others lose their connections.
//!
//! ```sh
//! (ulimit -n 20; target/debug/examples/broken dies-of-emfile 8000)
//! for i in $(seq 20); do sleep 60 | nc 127.0.0.1 8000 & done            # error: Too many open files
//! ```
//!
//! Prevented by rule 5 of `docs/design.md`: running out of descriptors pauses accepting, and a connection that closes
//! resumes it. Done right in `src/listener.rs`, which sorts the errors of accept(2), and in `src/reactor/accept.rs`,
//! which pauses.

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
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
        while let Some((mut stream, _)) = if_ready(|| listener.accept())? {
            poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH)?;
            connections.insert(open(stream));
        }
    }
}
