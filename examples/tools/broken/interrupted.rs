//! Every client is served. But when the server was stopped with Ctrl-Z and is continued with `fg`, it exits. It also
//! exits under a debugger, and sometimes when the machine wakes up from sleep.
//!
//! ```sh
//! cargo run --example broken -- interrupted 8000                        # Ctrl-Z, then: fg
//! ```
//!
//! Prevented by the one place that handles such errors (`docs/design.md`, *rooms*: `attempt.rs`). A wait that a signal
//! interrupts returns `EINTR` (signal(7): also after SIGCONT, without any handler), which is not a failure. Done right
//! in `src/kernel/mio.rs`, `wait`, and in `src/attempt.rs` for all other calls.

use std::io::Result;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::right::{BOTH, Connection, LISTENER, Next, new_connections};

pub(crate) fn serve<C: Connection>(mut listener: TcpListener, open: fn(TcpStream) -> C) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<C> = Slab::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
        for mut stream in new_connections(&listener) {
            if poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH).is_ok() {
                connections.insert(open(stream));
            }
        }
    }
}
