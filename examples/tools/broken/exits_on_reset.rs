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

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::attempt::attempt;
use crate::right::{BOTH, LISTENER, Next, Uppercase, new_connections};

pub(crate) fn serve(mut listener: TcpListener) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<Uppercase> = Slab::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        attempt(|| poll.poll(&mut events, None))?;
        for event in &events {
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            if connection.converse()? == Next::Close {
                connections.remove(key);
            }
        }
        for mut stream in new_connections(&listener) {
            poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH)?;
            connections.insert(Uppercase::new(stream));
        }
    }
}
