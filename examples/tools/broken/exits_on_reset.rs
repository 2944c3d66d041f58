//! Every client is served, as long as each closes with a FIN. When one resets its connection, as a program does that
//! crashes or closes with unread input, the server exits, and all the others lose their connections.
//!
//! ```sh
//! cargo run --example broken -- exits-on-reset 8000
//! nc 127.0.0.1 8000 < /dev/zero                                         # and Ctrl-C: the server exits
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: a hard error ends one connection, and nothing else. Done right in
//! `src/connection/phase.rs`, `fail`: the error becomes the reason of this close, and no function of the loop returns it.

use std::io::Result;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::if_ready::if_ready;
use crate::right::{BOTH, Connection, LISTENER, Next, new_connections};

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
            if connection.on_event(event)? == Next::Close {
                connections.remove(key);
            }
        }
        for mut stream in new_connections(&listener) {
            poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH)?;
            connections.insert(open(stream));
        }
    }
}
