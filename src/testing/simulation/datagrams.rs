//! The server's UDP socket.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use nix::errno::Errno;

use super::network::{Datagram, Happening, Network};
use super::world::World;
use crate::kernel::{DatagramSocket, Readiness, Received, Source};

/// Datagrams that a socket holds; more are lost.
const QUEUE_MAX: usize = 32;

/// A UDP socket as the loop holds it.
#[derive(Debug)]
pub(super) struct UdpSocket {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) socket: usize,
}

impl DatagramSocket for UdpSocket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let result = world.network.server_receives(self.socket, buffer);
        world.network.note(|| format!("socket {}: receive -> {result:?}", self.socket));
        result
    }

    fn send(&mut self, payload: &[u8], to: SocketAddr, source: Option<Source>) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        let result = world.network.server_sends(self.socket, payload, to, source);
        world.network.note(|| format!("socket {}: send to {to} -> {result:?}", self.socket));
        result
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let network = &mut self.world.borrow_mut().network;
        network.sockets[self.socket].open = false;
        network.retired.push(network.sockets[self.socket].token);
    }
}

impl Network {
    fn server_receives(&mut self, socket: usize, buffer: &mut [u8]) -> io::Result<Received> {
        self.calls += 1;
        if self.strikes(self.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.strikes(self.chaos.datagram_errors) {
            return Err(self.random.pick(&[Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENOMEM]).into());
        }
        if self.strikes(self.chaos.would_block) {
            let at = self.now + self.random.millis(20);
            let readable = Readiness { readable: true, ..Readiness::default() };
            self.agenda.add(at, Happening::SocketEdge(socket, readable));
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(datagram) = self.sockets[socket].queue.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let length = datagram.payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram.payload[..length]);
        Ok(Received { length, from: datagram.from, to: datagram.to })
    }

    fn server_sends(
        &mut self,
        socket: usize,
        payload: &[u8],
        to: SocketAddr,
        source: Option<Source>,
    ) -> io::Result<usize> {
        self.calls += 1;
        if self.strikes(self.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.strikes(self.chaos.datagram_errors) {
            return Err(self.random.pick(&[Errno::ECONNREFUSED, Errno::EPERM, Errno::ENOBUFS, Errno::ENETDOWN]).into());
        }
        if self.strikes(self.chaos.would_block) {
            let at = self.now + self.random.millis(20);
            let writable = Readiness { writable: true, ..Readiness::default() };
            self.agenda.add(at, Happening::SocketEdge(socket, writable));
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let client = client_at(to);
        assert_eq!(source, Some(source_for(client)), "the reply to {to} leaves from another address than was asked");
        if !self.dark && !self.strikes(self.chaos.datagrams_lost) {
            let at = self.now + self.random.millis(20);
            self.agenda.add(at, Happening::Reply(client, payload.to_vec()));
        }
        Ok(payload.len())
    }

    /// A datagram arrives; with it comes an edge, unless the kernel is strict and others wait before it.
    pub(super) fn datagram_arrives(&mut self, socket: usize, datagram: Datagram) {
        let strict = self.chaos.strict;
        let state = &mut self.sockets[socket];
        if state.open && state.queue.len() < QUEUE_MAX {
            state.edge.readable |= state.queue.is_empty() || !strict;
            state.queue.push_back(datagram);
        }
    }
}

/// Where a client sends its datagrams from; its port tells which one it is.
pub(super) fn address_of(client: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 10_000 + client as u16))
}

fn client_at(address: SocketAddr) -> usize {
    usize::from(address.port()) - 10_000
}

/// The address of ours that a client asks.
pub(super) fn source_for(client: usize) -> Source {
    Source { address: [198, 51, 100, (client % 250) as u8].into(), interface: client as u32 }
}
