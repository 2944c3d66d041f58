//! Drives one UDP socket, a batch of datagrams at a time.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::attempt::{Attempt, attempt};
use crate::connection::{Status, Visit};
use crate::kernel::{DatagramSocket, Readiness, Received, Source};
use crate::limits::VISIT_DATAGRAMS_MAX;
use crate::protocol::{Context, DatagramProtocol, Dropped};

/// A UDP socket and its protocol.
pub(crate) struct Mailbox<S> {
    pub(crate) socket: S,
    protocol: Box<dyn DatagramProtocol>,
    ready: Readiness,
    /// The reply that the kernel had no room for. Until it is sent nothing more is received: the kernel's receive queue
    /// is the queue, and it is bounded.
    unsent: Option<Reply>,
    /// The last visit met nothing but errors.
    failing: bool,
}

struct Reply {
    payload: Box<[u8]>,
    to: SocketAddr,
    source: Option<Source>,
}

impl<S: DatagramSocket> Mailbox<S> {
    pub(crate) fn new(socket: S, protocol: Box<dyn DatagramProtocol>) -> Self {
        let ready = Readiness { readable: true, writable: true, in_doubt: false };
        Self { socket, protocol, ready, unsent: None, failing: false }
    }

    /// An event came for this socket.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
    }

    /// Whether everything that had arrived has been handled.
    pub(crate) fn is_drained(&self) -> bool {
        !self.ready.readable && self.unsent.is_none()
    }

    /// Whether nothing but errors came of the last visit: no passing ones, so the next visit had better wait for a while.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Answers what has arrived, within the budget of a visit. Only `WouldBlock` tells that nothing is left: an empty
    /// datagram is not the end, and an error is about one datagram (`udp(7)`), not about the socket.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Status {
        debug_assert!(visit.outbox.is_empty(), "output of somebody else");
        self.failing = false;
        if let Some(reply) = self.unsent.take_if(|_| self.ready.writable) {
            visit.outbox.extend_from_slice(&reply.payload);
            self.send(reply.to, reply.source, visit);
        }
        let mut failures = 0;
        for _ in 0..VISIT_DATAGRAMS_MAX {
            if !self.ready.readable || self.unsent.is_some() {
                return Status::Waiting;
            }
            // One byte more than a request may have, so that a longer one shows.
            let most = (self.protocol.payload_bytes_max() + 1).min(visit.read_buffer.len());
            match attempt(|| self.socket.receive(&mut visit.read_buffer[..most])) {
                Attempt::Done(received) => self.answer(received, visit),
                Attempt::WouldBlock => self.ready.readable = false,
                Attempt::Failed(error) => {
                    log::debug!("receiving a datagram failed: {error}");
                    visit.stats.refused.add("receive error");
                    failures += 1;
                }
            }
        }
        self.failing = failures == VISIT_DATAGRAMS_MAX;
        Status::Again
    }

    fn answer(&mut self, received: Received, visit: &mut Visit<'_>) {
        visit.stats.received_datagrams += 1;
        visit.stats.received_bytes += received.length as u64;
        let payload = &visit.read_buffer[..received.length];
        let result = if received.from.port() == 0 {
            Err(Dropped("source port 0"))
        } else if payload.len() > self.protocol.payload_bytes_max() {
            Err(Dropped("too long"))
        } else {
            let mut cx =
                Context::new(visit.outbox, &mut visit.stats.refused, visit.instant, visit.wall_clock, received.from);
            let protocol = &mut self.protocol;
            catch_unwind(AssertUnwindSafe(|| protocol.on_datagram(payload, &mut cx))).unwrap_or(Err(Dropped("bug")))
        };
        match result {
            Ok(()) if !visit.outbox.is_empty() => self.send(received.from, received.to, visit),
            Ok(()) => {}
            Err(Dropped(reason)) => {
                visit.outbox.clear();
                visit.stats.refused.add(reason);
            }
        }
    }

    /// Sends what is in the outbox as one datagram, and leaves the outbox empty.
    fn send(&mut self, to: SocketAddr, source: Option<Source>, visit: &mut Visit<'_>) {
        match attempt(|| self.socket.send(visit.outbox.pending(), to, source)) {
            Attempt::Done(count) => {
                visit.stats.sent_datagrams += 1;
                visit.stats.sent_bytes += count as u64;
            }
            Attempt::WouldBlock => {
                self.ready.writable = false;
                self.unsent = Some(Reply { payload: visit.outbox.pending().into(), to, source });
            }
            Attempt::Failed(error) => {
                log::debug!("sending a datagram to {to} failed: {error}");
                visit.stats.refused.add("send error");
            }
        }
        visit.outbox.clear();
    }
}
