//! Without a connection the server sleeps. With the first connection, even a silent one, it uses a whole processor,
//! until the last one is closed.
//!
//! ```sh
//! cargo run --example broken -- writable-for-ever 8000
//! nc 127.0.0.1 8000                                                     # and meanwhile: ps -o %cpu= -C broken
//! ```
//!
//! Prevented by rule 3 of `docs/design.md`: writability is waited for only after `WouldBlock`. `poll(2)` reports a
//! state, and a socket is nearly always writable; the edges of epoll and kqueue report a change. Done right in
//! `src/kernel/mio.rs`, where a connection is registered, once, for edges.

use std::io::{Error, Result};
use std::os::fd::AsFd;

use mio::net::TcpListener;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::if_ready::if_ready;
use crate::right::{Uppercase, new_connections};

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let mut connections: Vec<Uppercase> = Vec::new();
    loop {
        let both = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut watched = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        watched.extend(connections.iter().map(|connection| PollFd::new(connection.as_fd(), both)));
        if_ready(|| poll(&mut watched, PollTimeout::NONE).map_err(Error::from))?;
        // Every connection gets a turn, whatever the event was for: a turn without work costs one read.
        connections.retain_mut(Uppercase::stays);
        connections.extend(new_connections(listener).map(Uppercase::new));
    }
}
