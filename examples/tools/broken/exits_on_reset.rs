//! Every client is served, as long as each of them ends with a FIN. When one goes away by a reset, as a program does that
//! crashes or closes over unread input, the server ends, and all the others lose their connections.
//!
//! ```sh
//! cargo run --example broken -- exits-on-reset 8000
//! nc 127.0.0.1 8000 < /dev/zero                                         # and Ctrl-C: the server is gone
//! ```
//!
//! Prevented by rule 7 of `docs/design.md`: a hard error ends a connection, and only that. Done right in
//! `src/connection.rs`, `fail`: the error becomes the reason of this close, and no function of the loop returns it.

use std::io::Result;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::attempt::attempt;
use crate::right::{BOTH, LISTENER, Next, Uppercase, newcomers};

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
        for mut stream in newcomers(&listener) {
            poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH)?;
            connections.insert(Uppercase::new(stream));
        }
    }
}
