//! The server's end of a TCP link.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use nix::errno::Errno;

use super::agenda::Happening;
use super::link::ServerEnd;
use super::network::Network;
use super::openings::Connecting;
use super::settings::Service;
use super::world::World;
use crate::kernel::{Pipe, Readiness, Transport};
use crate::limits::{RELIEF_EVERY, SPLICED_PER_BYTE};
use crate::xray::{self, Answer, Call, SocketOption, What};

/// A connection as the loop holds it. Dropping it closes the connection, as for a descriptor.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) link: usize,
}

/// Consecutive spurious refusals; a kernel that always refuses would serve no client.
const REFUSALS_MAX: u32 = 2;

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        world.note_admitted(self.link);
        world.preempt();
        let result = world.network.server_reads(self.link, buffer);
        world.network.note(|| format!("link {}: read {} -> {result:?}", self.link, buffer.len()));
        result
    }

    fn splices(&self) -> bool {
        true
    }

    fn splice(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let result = world.network.server_splices(self.link, pipe, most);
        world.network.note(|| format!("link {}: splice {most} -> {result:?}", self.link));
        result
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        world.note_admitted(self.link);
        world.preempt();
        let result = world.network.server_writes(self.link, bytes);
        world.network.note(|| format!("link {}: write {} -> {result:?}", self.link, bytes.len()));
        result
    }

    fn is_connected(&self) -> io::Result<bool> {
        match self.world.borrow().network.links[self.link].connecting {
            None => Ok(true),
            Some(Connecting::InProgress) => Ok(false),
            Some(Connecting::Failed(errno)) => Err(errno.into()),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let network = &mut world.network;
        network.note(|| format!("link {}: shutdown", self.link));
        let state = &mut network.links[self.link];
        if state.broken {
            return Err(Errno::ENOTCONN.into());
        }
        if !network.powered_off {
            state.outbound.finished = true;
            network.wake_client_of(self.link);
        }
        Ok(())
    }

    fn reset_on_close(&mut self) {
        let mut world = self.world.borrow_mut();
        let World { network, clients, .. } = &mut *world;
        let link = &mut network.links[self.link];
        link.reset_on_close = true;
        let is_member = clients.get(link.client).is_some_and(|client| client.plan.service == Service::Gossip);
        if is_member && (link.write_blocked || link.edge.writable || link.edges_planned > 0) {
            network.hit(self.link, "a member that did not read");
        }
        if network.pressed_since.is_some_and(|since| since + RELIEF_EVERY <= network.now) {
            network.hit(self.link, "max_pending_output_total");
        }
        let call = Call::SetOption { option: SocketOption::Linger, value: 0 };
        xray::record(|| What::Call { call, answer: Answer::ZERO });
    }

    fn unacknowledged(&self) -> Option<usize> {
        let world = self.world.borrow();
        world.settings.tells_acknowledged.then(|| world.network.links[self.link].outbound.bytes.len())
    }

    fn short_read_drains(&self) -> bool {
        self.world.borrow().network.chaos.short_read_drains
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.world.borrow_mut().network.server_closes(self.link);
    }
}

impl Network {
    fn server_reads(&mut self, link: usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        self.used = Some(link);
        assert!(!buffer.is_empty(), "a read of nothing looks like a FIN");
        if self.strikes(self.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.fail_perhaps(link, &[Errno::ECONNRESET, Errno::ETIMEDOUT, Errno::EHOSTUNREACH, Errno::ENOMEM])?;
        if self.refuses_spuriously(link) {
            return Err(self.refuse(link, Readiness { readable: true, ..Readiness::default() }));
        }
        let shorten = !self.chaos.short_read_drains && !self.links[link].whole && self.strikes(self.chaos.short_reads);
        let most = if shorten { self.random.within(1..buffer.len().min(100) + 1) } else { buffer.len() };
        let state = &mut self.links[link];
        let most = match state.urgent {
            Some(0) => {
                state.urgent = None;
                most
            }
            Some(mark) => most.min(mark),
            None => most,
        };
        let count = state.inbound.take(&mut buffer[..most]);
        if let Some(mark) = &mut state.urgent {
            *mark -= count;
        }
        state.read_in_turn += count;
        if count > 0 {
            self.wake_client_of(link);
            return Ok(count);
        }
        if state.inbound.finished {
            return Ok(0);
        }
        state.read_blocked = true;
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn server_splices(&mut self, link: usize, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        self.calls += 1;
        assert!(most > 0, "splicing nothing looks like a FIN");
        if self.strikes(self.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let faults = self.chaos.pipes.as_ref().map_or(0, |pipes| pipes.refusals);
        if self.random.strikes(faults) {
            self.seen.insert("a splice that is not possible");
            return Err(self.random.pick(&[Errno::EINVAL, Errno::ENOSYS, Errno::EPERM]).into());
        }
        // A full pipe hides what the socket would answer.
        if pipe.is_full() {
            self.seen.insert("a full pipe");
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.fail_perhaps(link, &[Errno::ECONNRESET, Errno::ETIMEDOUT, Errno::EHOSTUNREACH, Errno::ENOMEM])?;
        if self.refuses_spuriously(link) {
            return Err(self.refuse(link, Readiness { readable: true, ..Readiness::default() }));
        }
        // A short splice never proves anything.
        let most = if self.random.flip() { self.random.within(1..most + 1) } else { most };
        let state = &mut self.links[link];
        let most = most.min(state.urgent.unwrap_or(usize::MAX));
        if most > 0 && !state.inbound.bytes.is_empty() {
            let count = pipe.take_arrived(&mut state.inbound.bytes, most).ok_or(io::ErrorKind::WouldBlock)?;
            if let Some(mark) = &mut state.urgent {
                *mark -= count;
            }
            state.read_in_turn += count.div_ceil(SPLICED_PER_BYTE);
            self.seen.insert("a splice");
            self.wake_client_of(link);
            return Ok(count);
        }
        // Before an urgent mark it stops for ever, and with a FIN behind the mark as at a FIN (`tcp_read_sock` of Linux).
        if state.inbound.finished {
            return Ok(0);
        }
        state.read_blocked = true;
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn server_writes(&mut self, link: usize, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        self.used = Some(link);
        assert!(!bytes.is_empty(), "a write of nothing");
        assert!(self.links[link].connecting.is_none(), "a write before the socket is connected");
        assert!(!self.links[link].outbound.finished || self.powered_off, "a write after our FIN");
        if self.strikes(self.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.powered_off {
            return Ok(bytes.len());
        }
        self.fail_perhaps(link, &[Errno::EPIPE, Errno::ECONNRESET, Errno::ETIMEDOUT, Errno::ENOBUFS])?;
        if self.refuses_spuriously(link) {
            return Err(self.refuse(link, Readiness { writable: true, ..Readiness::default() }));
        }
        let shorten = self.strikes(self.chaos.short_writes);
        let most = if shorten { self.random.within(1..bytes.len().min(50) + 1) } else { bytes.len() };
        let state = &mut self.links[link];
        if state.client_closed {
            // The peer's kernel answers with a reset; this write itself still succeeds.
            state.break_off();
            return Ok(most);
        }
        let room = state.outbound.capacity - state.outbound.bytes.len();
        if room == 0 {
            state.write_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = state.outbound.bytes.write(&bytes[..most.min(room)])?;
        state.ears[0].hear(&bytes[..count], &mut state.said);
        self.wake_client_of(link);
        Ok(count)
    }

    /// Returns an error of the network, whether it is pending or strikes now.
    fn fail_perhaps(&mut self, link: usize, errnos: &[Errno]) -> io::Result<()> {
        if self.links[link].broken {
            return Err(Errno::ECONNRESET.into());
        }
        if self.strikes(self.chaos.stream_errors) {
            self.hit(link, self.chaos.stream_errors.what);
            self.links[link].break_off();
            self.wake_client_of(link);
            return Err(self.random.pick(errnos).into());
        }
        Ok(())
    }

    fn refuses_spuriously(&mut self, link: usize) -> bool {
        let state = &self.links[link];
        let silence_counts = state.whole || (state.names && state.said.is_empty());
        let may = !silence_counts && state.refusals < REFUSALS_MAX;
        let refuses = may && self.strikes(self.chaos.would_block);
        let state = &mut self.links[link];
        state.refusals = if refuses { state.refusals + 1 } else { 0 };
        refuses
    }

    /// Refuses a call that could succeed, with `EAGAIN`, and plans the edge that must follow.
    fn refuse(&mut self, link: usize, edge: Readiness) -> io::Error {
        let at = self.now + self.random.millis(8);
        self.agenda.add(at, Happening::Edge(link, edge));
        self.links[link].read_blocked |= edge.readable;
        self.links[link].edges_planned += 1;
        io::ErrorKind::WouldBlock.into()
    }

    fn server_closes(&mut self, link: usize) {
        let powered_off = self.powered_off;
        if powered_off {
            self.hit(link, "the loss of power");
        }
        let state = &mut self.links[link];
        state.server = ServerEnd::Closed;
        state.edge = Readiness::default();
        self.retired.extend(state.token);
        // Closing over unread input resets the connection (RFC 1122, 4.2.2.13).
        let resets = powered_off || state.reset_on_close || !state.inbound.bytes.is_empty();
        if resets {
            state.reset_for_client = true;
            state.outbound.bytes.clear();
        }
        state.outbound.finished = true;
        self.note(|| format!("link {link}: close{}", if resets { " with a reset" } else { "" }));
        self.wake_client_of(link);
    }
}
