//! As long as nobody is connected the server sleeps. With the first connection, though nothing is said on it, it needs a
//! whole processor, until the last one is gone.
//!
//! ```sh
//! cargo run --example broken -- writable-for-ever 8000
//! nc 127.0.0.1 8000                                                     # and meanwhile: ps -o %cpu= -C broken
//! ```
//!
//! Prevented by rule 3 of `docs/design.md`: writability is waited for only after `WouldBlock`. `poll(2)` tells a state, and a
//! socket is writable nearly always; the edges of epoll and kqueue tell a change. Done right in `src/kernel/mio.rs`, where
//! a connection is registered, once, for edges.

use std::io::{Error, Result};
use std::os::fd::AsFd;

use mio::net::TcpListener;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::attempt::attempt;
use crate::right::{Uppercase, newcomers};

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let mut connections: Vec<Uppercase> = Vec::new();
    loop {
        let both = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut watched = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        watched.extend(connections.iter().map(|connection| PollFd::new(connection.as_fd(), both)));
        attempt(|| poll(&mut watched, PollTimeout::NONE).map_err(Error::from))?;
        // Everybody gets a turn, whoever the event was for: in vain it costs one read.
        connections.retain_mut(Uppercase::stays);
        connections.extend(newcomers(listener).map(Uppercase::new));
    }
}
