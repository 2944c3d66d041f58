//! One TCP connection of the simulated network: what each end has sent, and the edges that the kernel owes the server.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use super::openings::{Connecting, Ear, Opening};
use crate::kernel::{Readiness, Token};

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) bytes: VecDeque<u8>,
    pub(super) capacity: usize,
    /// Whether a FIN follows the bytes.
    pub(super) finished: bool,
}

/// The state of the server's end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerEnd {
    Queued,
    Open,
    Closed,
}

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: usize,
    pub(super) address: SocketAddr,
    pub(super) inbound: Pipe,
    pub(super) outbound: Pipe,
    pub(super) server: ServerEnd,
    pub(super) token: Option<Token>,
    pub(super) accepted_at: Duration,
    /// The number of delayed edges on the agenda.
    pub(super) edges_planned: u32,
    /// The edge that the kernel owes.
    pub(super) edge: Readiness,
    /// Whether the server has asked for no events of bytes that arrive.
    pub(super) paused: bool,
    pub(super) read_blocked: bool,
    pub(super) write_blocked: bool,
    /// The number of bytes before an urgent mark, at which a read stops.
    pub(super) urgent: Option<usize>,
    /// Whether the client has reset the connection, or the network broke.
    pub(super) broken: bool,
    /// Whether the client gets a reset.
    pub(super) reset_for_client: bool,
    pub(super) client_closed: bool,
    pub(super) reset_on_close: bool,
    /// The output of the protocol for its client.
    pub(super) said: Vec<u8>,
    /// The decoders of that output: one for what the server writes, one for what the client reads.
    pub(super) ears: [Ear; 2],
    /// The number of bytes that the server has read in this turn.
    pub(super) read_in_turn: usize,
    /// Whether the server has read from it or written to it.
    pub(super) visited: bool,
    /// The fault that hit the link, if any: its client is excused.
    pub(super) hit: Option<&'static str>,
    /// Whether its segments are never split.
    pub(super) whole: bool,
    /// Whether silence ends a file name, until the server has answered.
    pub(super) names: bool,
    /// Consecutive spurious refusals.
    pub(super) refusals: u32,
    /// How it opens.
    pub(super) opening: Opening,
    /// A connect that is in progress, or its error.
    pub(super) connecting: Option<Connecting>,
    /// The client for which the server has connected to another end.
    pub(super) relayed_for: Option<usize>,
    /// Whether its listener does not serve everybody.
    pub(super) guarded: bool,
}

impl Link {
    /// A link that waits in an accept queue; `pipes` are its bytes to the server and to the client.
    pub(super) fn new(client: usize, address: SocketAddr, pipes: [Pipe; 2], opening: Opening) -> Self {
        let [inbound, outbound] = pipes;
        Self {
            client,
            address,
            inbound,
            outbound,
            server: ServerEnd::Queued,
            token: None,
            accepted_at: Duration::ZERO,
            edges_planned: 0,
            edge: Readiness::default(),
            paused: false,
            read_blocked: false,
            write_blocked: false,
            urgent: None,
            broken: false,
            reset_for_client: false,
            client_closed: false,
            reset_on_close: false,
            said: Vec::new(),
            ears: [Ear::new(opening), Ear::new(opening)],
            read_in_turn: 0,
            visited: false,
            hit: None,
            whole: false,
            names: false,
            refusals: 0,
            opening,
            connecting: None,
            relayed_for: None,
            guarded: false,
        }
    }

    /// Breaks both directions.
    pub(super) fn break_off(&mut self) {
        self.broken = true;
        self.reset_for_client = true;
        self.inbound.bytes.clear();
        self.outbound.bytes.clear();
        self.edge = Readiness { readable: true, writable: true, in_doubt: true };
    }

    /// Whether there are bytes to read, or what an event reports with them.
    pub(super) fn is_readable(&self) -> bool {
        !self.inbound.bytes.is_empty() || self.in_doubt()
    }

    /// Whether an event includes a FIN, an error or urgent data: the kernel checks the socket when it reports the edge.
    pub(super) fn in_doubt(&self) -> bool {
        self.inbound.finished || self.broken || self.urgent.is_some()
    }
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, finished: false }
    }

    /// Fills `buffer` as far as possible. (A `VecDeque` has two parts in memory, and a read stops between them.)
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len() && !self.bytes.is_empty() {
            count += self.bytes.read(&mut buffer[count..]).unwrap_or(0);
        }
        count
    }
}
