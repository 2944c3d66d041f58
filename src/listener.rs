//! Accepts connections, and says what to do about an error of `accept(2)`.

#![warn(clippy::missing_docs_in_private_items)]

use std::io;

use crate::attempt::{Attempt, attempt};
use crate::errno::{self, AcceptError, Code};
use crate::kernel::Kernel;
use crate::limits::ACCEPT_ERRORS_MAX;
use crate::peer::Peer;

/// A listening socket.
pub(crate) struct Listener<L> {
    /// The socket.
    pub(crate) socket: L,
    /// Set until a connection closes or a pause expires: the kernel reports no edge meanwhile.
    pub(crate) paused: Option<Pause>,
    /// Whether the listener is in the list of listeners that are visited when a connection closes.
    pub(crate) waits_for_room: bool,
    /// Connections accepted since the server or this listener began to stop: its accept queue is still served, at most a backlog.
    pub(crate) accepted_while_stopping: u32,
    /// Consecutive errors of `accept(2)` that each seemed to concern one connection.
    pub(crate) errors_in_a_row: usize,
}

/// The reason why accepting is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A limit is reached.
    Full(&'static str),
    /// `accept(2)` failed with this errno.
    Failed(Code),
    /// As many connections were accepted as `connection_rate` allows for now.
    Rate,
}

/// The result of one call of `accept(2)`.
pub(crate) enum Accepted<S> {
    /// A connection.
    Connection(S, Peer),
    /// The accept queue is empty; the kernel will report the next connection.
    Empty,
    /// A connection ended in the queue, or has a transient network error: accept the next. The name is its counter.
    Gone(&'static str, io::Error),
    /// Descriptors or memory are exhausted, or an immediate retry cannot help. Also a network error, if more come in a
    /// row than can each concern another connection.
    Exhausted(io::Error),
}

impl<L> Listener<L> {
    /// Makes a listener that is not paused.
    pub(crate) fn new(socket: L) -> Self {
        Self { socket, paused: None, waits_for_room: false, accepted_while_stopping: 0, errors_in_a_row: 0 }
    }

    /// Calls `accept(2)` once.
    pub(crate) fn accept<K: Kernel<Listener = L>>(&mut self, kernel: &mut K) -> Accepted<K::Stream> {
        let errors_before = std::mem::take(&mut self.errors_in_a_row);
        match attempt(|| kernel.accept(&self.socket)) {
            Attempt::Done((stream, peer)) => Accepted::Connection(stream, peer),
            Attempt::WouldBlock => Accepted::Empty,
            Attempt::Failed(error) => match errno::of_accept(&error) {
                AcceptError::Connection(reason) if errors_before < ACCEPT_ERRORS_MAX => {
                    self.errors_in_a_row = errors_before + 1;
                    Accepted::Gone(reason, error)
                }
                AcceptError::Connection(_) => {
                    self.errors_in_a_row = errors_before;
                    Accepted::Exhausted(error)
                }
                AcceptError::Shortage | AcceptError::Other => Accepted::Exhausted(error),
            },
        }
    }
}
