//! The network: TCP links, UDP sockets, the agenda of future events, and the edges that the kernel owes.
//!
//! The clients' side is here; the server's side is in `streams.rs`, `datagrams.rs` and `kernel.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::agenda::{Agenda, Datagram, Happening};
use super::chaos::{Chaos, Rate};
use super::guard::{self, Guard, Span};
use super::link::{Link, Pipe, ServerEnd};
use super::openings::{self, Opening};
use super::random::Random;
use super::trace::Trace;
use crate::kernel::{Readiness, Source, Token};

/// Everything between the clients and the server, and its clock.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) now: Duration,
    /// The begin of the current turn, which is the server's current time.
    pub(super) turn_began: Duration,
    pub(super) chaos: Chaos,
    /// How connections open.
    pub(super) opening: Opening,
    pub(super) random: Random,
    pub(super) trace: Trace,
    pub(super) agenda: Agenda,
    pub(super) listeners: Vec<Listener>,
    pub(super) links: Vec<Link>,
    /// The link that the server has accepted, read from or written to last.
    pub(super) used: Option<usize>,
    pub(super) sockets: Vec<Socket>,
    /// Tokens of connections that have ended, for stale events.
    pub(super) retired: Vec<Token>,
    /// Stale notices that were given to the loop, which must ignore them.
    pub(super) stale_notices: u64,
    /// The time since which all connections together have had too much output pending.
    pub(super) pressed_since: Option<Duration>,
    /// The first listener that waits for descriptors, and the connections that it and all listeners had accepted.
    pub(super) first_in_short: Option<(usize, u64, u64)>,
    /// Whether the power is lost: nothing leaves the machine any more.
    pub(super) powered_off: bool,
    /// Calls that the server has made.
    pub(super) calls: u64,
    /// The kinds of events that have occurred: faults, and limits that were reached.
    pub(super) seen: BTreeSet<&'static str>,
    /// Whether each client is on the agenda.
    pub(super) awaited: Vec<bool>,
    /// Of the listener that does not serve everybody, if there is one.
    pub(super) guard: Option<Guard>,
}

/// A listening socket of the server.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) token: Token,
    pub(super) backlog: usize,
    /// How many connections the server has taken out of the queue.
    pub(super) accepted: u64,
    pub(super) queue: VecDeque<usize>,
    pub(super) open: bool,
    pub(super) edge: bool,
    /// The number of delayed edges on the agenda.
    pub(super) edges_planned: u32,
}

/// A UDP socket of the server.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) token: Token,
    pub(super) open: bool,
    pub(super) queue: VecDeque<Datagram>,
    pub(super) edge: Readiness,
    /// The number of delayed edges on the agenda.
    pub(super) edges_planned: u32,
}

/// The result of a client's read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Bytes(usize),
    Nothing,
    End,
    Reset,
}

impl Network {
    pub(super) fn new(chaos: Chaos, opening: Opening, random: Random, trace: Trace, clients: usize) -> Self {
        Self {
            now: Duration::ZERO,
            turn_began: Duration::ZERO,
            chaos,
            opening,
            random,
            trace,
            agenda: Agenda::default(),
            listeners: Vec::new(),
            links: Vec::new(),
            used: None,
            sockets: Vec::new(),
            retired: Vec::new(),
            stale_notices: 0,
            pressed_since: None,
            first_in_short: None,
            powered_off: false,
            calls: 0,
            seen: BTreeSet::new(),
            awaited: vec![false; clients],
            guard: None,
        }
    }

    /// Whether a fault of this rate strikes now.
    pub(super) fn strikes(&mut self, rate: Rate) -> bool {
        let strikes = self.now < self.chaos.until && self.random.strikes(rate.per_mille);
        if strikes {
            self.seen.insert(rate.what);
        }
        strikes
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    /// Makes a client act after `pause`, unless it is on the agenda already.
    pub(super) fn wake(&mut self, client: usize, pause: Duration) {
        if !std::mem::replace(&mut self.awaited[client], true) {
            self.agenda.add(self.now + pause, Happening::Client(client));
        }
    }

    fn wake_later(&mut self, client: usize) {
        let latency = self.random.millis(self.chaos.latency_millis);
        self.wake(client, latency);
    }

    /// Wakes the client of `link`, which can read or write.
    pub(super) fn wake_client_of(&mut self, link: usize) {
        if !self.links[link].client_closed {
            self.wake_later(self.links[link].client);
        }
    }

    pub(super) fn listener_at(&self, address: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.open && listener.address == address)
    }

    /// Opens a link; `None` if no socket listens or the accept queue is full.
    pub(super) fn connect(
        &mut self,
        client: usize,
        from: SocketAddr,
        to: SocketAddr,
        (whole, honest): (bool, bool),
    ) -> Option<usize> {
        let index = self.listener_at(to)?;
        let capacities = [300, 1000, 16 * 1024, 1024 * 1024];
        let mut capacity = || self.random.pick(&capacities);
        let (mut inbound, outbound) = (Pipe::new(capacity()), Pipe::new(capacity()));
        if self.opening != Opening::Nothing {
            // Some hostile clients send too little, or something else.
            let wrong = !honest && self.random.strikes(300);
            inbound.bytes.extend(openings::header(self.opening, (from, to), wrong, &mut self.random));
        }
        let listener = &mut self.listeners[index];
        if listener.queue.len() >= listener.backlog {
            return None;
        }
        let link = self.links.len();
        let drained = listener.queue.is_empty();
        listener.queue.push_back(link);
        listener.edge |= drained || !self.chaos.strict;
        let guarded = to.port() == guard::PORT;
        self.links.push(Link { whole, guarded, ..Link::new(client, from, [inbound, outbound], self.opening) });
        self.note(|| format!("client {client}: connects to {to} by link {link}"));
        Some(link)
    }

    /// Sends as many bytes of the client as fit; `None` if the connection has ended.
    pub(super) fn send(&mut self, link: usize, bytes: &[u8]) -> Option<usize> {
        let chaos_strict = self.chaos.strict;
        let state = &mut self.links[link];
        if state.reset_for_client {
            return None;
        }
        if state.server == ServerEnd::Closed {
            // Data for a socket that is closed is answered with a reset (RFC 9293, 3.10.7.1).
            state.reset_for_client = true;
            state.outbound.bytes.clear();
            return None;
        }
        let room = state.inbound.capacity.saturating_sub(state.inbound.bytes.len());
        let (count, sealed) = openings::seal(state.opening, bytes, room);
        state.inbound.bytes.extend(sealed);
        if count > 0 {
            if !chaos_strict || state.read_blocked {
                state.edge.readable = true;
                state.read_blocked = false;
            }
            self.note(|| format!("link {link}: client sends {count} bytes"));
        }
        Some(count)
    }

    /// Sends an urgent byte of the client, which is not part of the stream, but stops a read before it.
    pub(super) fn send_urgent(&mut self, link: usize) {
        let state = &mut self.links[link];
        if state.server != ServerEnd::Closed && !state.inbound.finished {
            self.seen.insert("urgent data");
            state.urgent = Some(state.inbound.bytes.len());
            state.edge = Readiness { readable: true, in_doubt: true, ..state.edge };
            self.note(|| format!("link {link}: client sends urgent data"));
        }
    }

    pub(super) fn finish(&mut self, link: usize) {
        let chaos_strict = self.chaos.strict;
        let state = &mut self.links[link];
        state.inbound.finished = true;
        if !chaos_strict || state.read_blocked {
            state.edge = Readiness { readable: true, in_doubt: true, ..state.edge };
            state.read_blocked = false;
        }
        self.note(|| format!("link {link}: client sends FIN"));
    }

    /// Closes the client's end: with a FIN, or with a reset if it leaves bytes unread (RFC 1122, 4.2.2.13).
    pub(super) fn close(&mut self, link: usize) {
        let unread = !self.links[link].outbound.bytes.is_empty();
        self.links[link].client_closed = true;
        if unread {
            self.reset(link);
        } else if !self.links[link].inbound.finished {
            self.finish(link);
        }
    }

    pub(super) fn reset(&mut self, link: usize) {
        let state = &mut self.links[link];
        state.client_closed = true;
        state.break_off();
        self.note(|| format!("link {link}: client resets"));
    }

    /// Reads at most `most` bytes for the client.
    pub(super) fn receive(&mut self, link: usize, into: &mut Vec<u8>, most: usize) -> Arrival {
        let third = self.chaos.writable_from_a_third;
        let state = &mut self.links[link];
        if state.reset_for_client {
            return Arrival::Reset;
        }
        let mut arrived = vec![0; most.min(state.outbound.bytes.len())];
        let count = state.outbound.take(&mut arrived);
        state.ears[1].hear(&arrived, into);
        if count == 0 {
            return if state.outbound.finished { Arrival::End } else { Arrival::Nothing };
        }
        let free = state.outbound.capacity - state.outbound.bytes.len();
        if state.write_blocked && (!third || free * 3 >= state.outbound.capacity) {
            state.write_blocked = false;
            state.edge.writable = true;
        }
        self.note(|| format!("link {link}: client reads {count} bytes"));
        Arrival::Bytes(count)
    }

    /// Judges the peers that the guarded listener has admitted. Returns the time of the server, which is in this span.
    pub(super) fn look_at_the_guard(&mut self) -> Span {
        let now = Span(self.turn_began, self.now);
        if let Some(guard) = &mut self.guard {
            guard.look(now);
        }
        now
    }

    /// Returns why the server may have refused the client of a link after a certain time, as far as the rules of the guarded listener
    /// say so.
    pub(super) fn reason_against(&mut self, link: usize, since: Duration) -> Option<&'static str> {
        self.look_at_the_guard();
        let guard = self.guard.as_ref().filter(|_| self.links[link].guarded)?;
        guard.reason_against(self.links[link].address, since)
    }

    /// Notes which clients the server has refused: another server, which knows nothing of it, takes its place.
    pub(super) fn replace_the_guard(&mut self) {
        for link in 0..self.links.len() {
            let since = self.links[link].accepted_at;
            if self.links[link].hit.is_none()
                && let Some(reason) = self.reason_against(link, since)
            {
                self.hit(link, reason);
            }
        }
        self.guard.iter_mut().for_each(Guard::restart);
    }

    /// Notes that a fault hit a link: its client is excused.
    pub(super) fn hit(&mut self, link: usize, what: &'static str) {
        self.seen.insert(what);
        self.links[link].hit.get_or_insert(what);
        // What hits an outgoing connection hits the client for which it was made.
        if let Some(client) = self.links[link].relayed_for
            && let Some(its) = self.links.iter_mut().find(|link| link.client == client)
        {
            its.hit.get_or_insert(what);
        }
        self.note(|| format!("link {link}: is hit by {what}"));
    }

    /// Sends a datagram to the server, over a network that may lose and double it.
    pub(super) fn send_datagram(&mut self, socket: usize, datagram: &Datagram) {
        let copies = if self.strikes(self.chaos.datagrams_lost) {
            0
        } else {
            1 + usize::from(self.strikes(self.chaos.datagrams_doubled))
        };
        for _ in 0..copies {
            let at = self.now + self.random.millis(self.chaos.latency_millis);
            self.agenda.add(at, Happening::Datagram(socket, datagram.clone()));
        }
    }
}

/// Returns the wall clock at a time of the simulation.
pub(super) fn wall_clock_at(now: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000) + now
}

/// Returns the address from which a client sends datagrams; the port identifies the client.
pub(super) fn address_of(client: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 10_000 + client as u16))
}

/// Returns the client with this address.
pub(super) fn client_at(address: SocketAddr) -> usize {
    usize::from(address.port()) - 10_000
}

/// Returns the address of the server that a client asks.
pub(super) fn source_for(client: usize) -> Source {
    Source { address: [198, 51, 100, (client % 250) as u8].into(), interface: client as u32 }
}
