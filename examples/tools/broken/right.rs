//! The server without a bug: each piece of the museum differs from this one in a single thing.
//!
//! It answers every byte in upper case. The loop is [`serve`], a connection is [`Uppercase`]; a piece replaces one of
//! them and uses the other. It keeps the rules that the pieces break; it leaves out what needs more than a page:
//! deadlines, budgets, a limit of connections, graceful shutdown. `src/reactor.rs` and `src/connection.rs` have them.

use std::io::{ErrorKind, Read, Result};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;

pub(crate) const LISTENER: Token = Token(usize::MAX);
pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// What to do with a connection after an event.
#[derive(PartialEq)]
pub(crate) enum Next {
    Wait,
    Close,
}

pub(crate) trait Connection {
    fn on_event(&mut self, event: &Event) -> Result<Next>;
}

/// The loop: wait, serve the connections with events, accept new connections.
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
            // An error is about this connection, and ends nothing else.
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
        // After the events, so that no event can meet a new connection in a reused slot; and in each turn, because a
        // connection that closed may have freed the descriptor for a client that waits.
        for mut stream in new_connections(&listener) {
            if poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH).is_ok() {
                connections.insert(open(stream));
            }
        }
    }
}

/// Accepts the waiting clients, as far as descriptors suffice.
pub(crate) fn new_connections(listener: &TcpListener) -> impl Iterator<Item = TcpStream> {
    iter::from_fn(|| {
        loop {
            match if_ready(|| listener.accept()) {
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                accepted => return accepted.ok().flatten(),
            }
        }
    })
    .map(|(stream, _)| stream)
}

pub(crate) struct Uppercase {
    stream: TcpStream,
    outbox: Outbox,
}

impl Uppercase {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, outbox: Outbox::default() }
    }

    /// Returns when both directions may wait: either there is nothing to read, or the socket takes no more output.
    /// Until it does, nothing is read, so that at most one buffer is pending.
    pub(crate) fn converse(&mut self) -> Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            match if_ready(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    buffer[..count].make_ascii_uppercase();
                    self.outbox.push(&buffer[..count]);
                    self.outbox.flush(&mut self.stream)?;
                }
            }
        }
        Ok(Next::Wait)
    }

    /// Like `converse`; returns whether the connection stays open. An error is about this connection, and ends nothing
    /// else.
    pub(crate) fn stays(&mut self) -> bool {
        self.converse().is_ok_and(|next| next == Next::Wait)
    }
}

impl AsFd for Uppercase {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection for Uppercase {
    fn on_event(&mut self, _: &Event) -> Result<Next> {
        self.converse()
    }
}
