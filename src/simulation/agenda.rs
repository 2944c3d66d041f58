//! The agenda: what will happen, and when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use crate::kernel::{Command, Readiness, Source};

/// The future events, in order; events of the same time happen in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Duration, u64), Happening>,
    planned: u64,
}

/// A future event.
#[derive(Debug)]
pub(super) enum Happening {
    /// A client acts.
    Client(usize),
    /// A delayed edge.
    Edge(usize, Readiness),
    ListenerEdge(usize),
    SocketEdge(usize, Readiness),
    /// A datagram arrives at a socket of the server.
    Datagram(usize, Datagram),
    /// A datagram arrives at a client.
    Reply(usize, Vec<u8>),
    /// A job is due.
    Job(u64),
    /// A connect has ended, perhaps with an error.
    Connected(usize, Option<Errno>),
    Command(Command),
    DiskFull(bool),
    /// The faults stop.
    Calm,
}

#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: Option<Source>,
    pub(super) payload: Vec<u8>,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Duration, happening: Happening) {
        self.planned += 1;
        self.entries.insert((at, self.planned), happening);
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop(&mut self, now: Duration) -> Option<Happening> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, happening)| happening)
    }

    /// Removes the events for a server that has ended.
    pub(super) fn forget_server(&mut self) {
        self.entries.retain(|_, happening| {
            matches!(happening, Happening::Client(_) | Happening::Reply(..) | Happening::DiskFull(_) | Happening::Calm)
        });
    }
}
