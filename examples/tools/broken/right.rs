//! The server without a fault: each piece of the museum differs from this one in a single thing.
//!
//! It answers every byte in upper case. The loop is [`serve`], a connection is [`Uppercase`], and pieces use the one that is
//! not their subject. It keeps the rules that the pieces break; what it lacks is what needs more than a page: deadlines,
//! budgets, a limit of connections, orderly stopping. `src/reactor.rs` and `src/connection.rs` have them.

use std::io::{self, ErrorKind, Read};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::client::attempt::attempt;
use crate::client::outbox::Outbox;

pub(crate) const LISTENER: Token = Token(usize::MAX);
pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// What is to be done with a connection after an event.
#[derive(PartialEq)]
pub(crate) enum Next {
    Wait,
    Close,
}

pub(crate) trait Connection {
    fn on_event(&mut self, event: &Event) -> io::Result<Next>;
}

/// The loop: wait, serve those with news, welcome the newcomers.
pub(crate) fn serve<C: Connection>(mut listener: TcpListener, welcome: fn(TcpStream) -> C) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections: Slab<C> = Slab::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        attempt(|| poll.poll(&mut events, None))?;
        for event in &events {
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            // An error is about this connection, and ends nothing else.
            if !connection.on_event(event).is_ok_and(|next| next == Next::Wait) {
                connections.remove(key);
            }
        }
        // After the events, so that none of them can meet a newcomer; and in each turn, because somebody who left may have
        // made room for one who has been waiting.
        for mut stream in newcomers(&listener) {
            if poll.registry().register(&mut stream, Token(connections.vacant_key()), BOTH).is_ok() {
                connections.insert(welcome(stream));
            }
        }
    }
}

/// Everybody who waits to be accepted, as far as descriptors suffice.
pub(crate) fn newcomers(listener: &TcpListener) -> impl Iterator<Item = TcpStream> {
    iter::from_fn(|| {
        loop {
            match attempt(|| listener.accept()) {
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

    /// Returns when both directions may wait: either there is nothing to read, or what is written is not taken. While it
    /// isn't, nothing is read, so that at most one buffer waits here.
    pub(crate) fn converse(&mut self) -> io::Result<Next> {
        self.converse_and_tell(|_| {})
    }

    /// The same, and `tell` learns the length of every read: an event may stand for many of them.
    pub(crate) fn converse_and_tell(&mut self, mut tell: impl FnMut(usize)) -> io::Result<Next> {
        let mut buffer = [0; READ_BYTES];
        self.outbox.flush(&mut self.stream)?;
        while self.outbox.is_empty() {
            match attempt(|| self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => return Ok(Next::Close),
                Some(count) => {
                    tell(count);
                    buffer[..count].make_ascii_uppercase();
                    self.outbox.push(&buffer[..count]);
                    self.outbox.flush(&mut self.stream)?;
                }
            }
        }
        Ok(Next::Wait)
    }

    /// The same, for loops that only ask whether it goes on. An error is about this connection, and ends nothing else.
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
    fn on_event(&mut self, _: &Event) -> io::Result<Next> {
        self.converse()
    }
}
