//! With more clients than descriptors, some must wait: that is correct. But when the others close, the waiting clients
//! are not served, although there are descriptors now; not before a new client connects.
//!
//! ```sh
//! (ulimit -n 20; target/debug/examples/broken sleeps-after-emfile 8000)
//! for i in $(seq 20); do (sleep 5; echo $i) | nc -N 127.0.0.1 8000 & done; wait     # does not return
//! ```
//!
//! Prevented by rule 5 of `docs/design.md`: accepting is always resumed, by a connection that closes, and after an
//! error by a deadline as well. The clients in the accept queue have had their edge, and no other one comes. Done right
//! in `src/reactor/accept.rs`.

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
            if event.token() == LISTENER {
                for mut stream in new_connections(&listener) {
                    if poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH).is_ok() {
                        connections.insert(open(stream));
                    }
                }
            }
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
    }
}
