//! The server's UDP socket.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::slice::ChunksExactMut;

use nix::errno::Errno;

use super::agenda::{Datagram, Happening};
use super::network::{Network, client_at, source_for};
use super::world::World;
use crate::kernel::{DatagramSocket, Readiness, Received, Replies, Reply, Sender};
use crate::xray::{self, Call};

/// Datagrams that a socket holds; further ones are lost.
const QUEUE_MAX: usize = 32;

/// A UDP socket as the loop holds it.
#[derive(Debug)]
pub(super) struct UdpSocket {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) socket: usize,
}

impl DatagramSocket for UdpSocket {
    fn receive(&mut self, rooms: ChunksExactMut<'_, u8>, received: &mut Vec<Received>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let before = received.len();
        for room in rooms {
            let result = world.network.server_receives(self.socket, room);
            world.network.note(|| format!("socket {}: receive -> {result:?}", self.socket));
            let bytes = result.as_ref().map_or(0, |datagram| datagram.length as u32);
            match xray::answered(result, || Call::Receive { rooms: 1, bytes }) {
                Ok(datagram) => received.push(datagram),
                // As in the kernel, an error in the middle of a batch is reported by the next call, if it lasts.
                Err(_) if received.len() > before => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&mut self, replies: &Replies) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        let mut sent = 0;
        for reply in replies.unsent() {
            let result = world.network.server_sends(self.socket, reply);
            world.network.note(|| format!("socket {}: send to {} -> {result:?}", self.socket, reply.to));
            let bytes = reply.payload.len() as u32;
            match xray::answered(result.map(|()| 1_usize), || Call::Send { offered: 1, bytes }) {
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
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
            self.sockets[socket].edges_planned += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(datagram) = self.sockets[socket].queue.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let length = datagram.payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram.payload[..length]);
        Ok(Received { length, from: Sender::Inet(datagram.from), to: datagram.to })
    }

    fn server_sends(&mut self, socket: usize, reply: Reply<'_>) -> io::Result<()> {
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
            self.sockets[socket].edges_planned += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Sender::Inet(to) = reply.to else { return Err(io::ErrorKind::InvalidInput.into()) };
        let client = client_at(to);
        let source = Some(source_for(client));
        assert_eq!(reply.source, source, "the reply to {} is sent from another address than was asked", reply.to);
        if !self.powered_off && !self.strikes(self.chaos.datagrams_lost) {
            let at = self.now + self.random.millis(20);
            self.agenda.add(at, Happening::Reply(client, reply.payload.to_vec()));
        }
        Ok(())
    }

    /// Delivers a datagram to a socket, with an edge, unless the kernel is strict and the queue is not empty.
    pub(super) fn datagram_arrives(&mut self, socket: usize, datagram: Datagram) {
        let strict = self.chaos.strict;
        let state = &mut self.sockets[socket];
        if state.open && state.queue.len() < QUEUE_MAX {
            state.edge.readable |= state.queue.is_empty() || !strict;
            state.queue.push_back(datagram);
        }
    }
}
