//! Drives one socket for datagrams, a batch of datagrams at a time. The reactor notes what happened, then calls `drive`:
//!
//! ```text
//! drive                    decides whether the socket waits, pauses after errors, or closes
//!  └ serve                 until `EAGAIN`, or until the budget is used up
//!     ├ send               first the replies: sendmmsg(2) or sendmsg(2), in kernel/udp/
//!     ├ socket.receive     a batch of datagrams: recvmmsg(2) or recvmsg(2), in kernel/udp/
//!     ├ answer             for each datagram
//!     │  └ on_datagram     the protocol appends its reply to the loop's outbox, from where it goes to `replies`
//!     └ note_failure       counts errors, and logs a socket that has only errors
//! ```
//!
//! Nothing is received while replies wait for room in the send queue, so the kernel's bounded receive queue is the only queue of
//! requests.

#![warn(clippy::missing_docs_in_private_items)]

use std::io;
use std::mem;
use std::net::SocketAddr;

use crate::address::Address;
use crate::attempt::{Attempt, attempt};
use crate::bug_log::BugLog;
use crate::kernel::{DatagramSocket, Panicked, Readiness, Received, Replies, Reply, Sender, Token};
use crate::limits::{CALL_UNITS, DATAGRAM_BATCH_MAX, ERROR_PAUSE, LAST_VISITS_MAX, VISIT_DATAGRAMS_MAX};
use crate::log_limit::LogLimit;
use crate::panics::catch;
use crate::peer::Peer;
use crate::protocol::{Context, DatagramProtocol, Dropped, Ends};
use crate::stats::Stats;
use crate::time::Time;
use crate::visit::{Left, Status, Visit};
use crate::xray::{self, Ask, Decision, What};

/// A socket for datagrams and its protocol.
pub(crate) struct Mailbox<S> {
    /// The owner of the slot, for the log.
    token: Token,
    /// The name of the listener in the configuration.
    name: String,
    /// The socket.
    pub(crate) socket: S,
    /// The plug-in's part.
    protocol: Box<dyn DatagramProtocol>,
    /// The longest payload that can be a request, in bytes.
    payload_bytes_max: usize,
    /// What the socket may be ready for. Events set it; only `WouldBlock` clears it.
    ready: Readiness,
    /// The addresses and lengths of the current batch; empty between visits.
    received: Vec<Received>,
    /// Replies to at most one batch.
    replies: Replies,
    /// The last visit saw only errors.
    failing: bool,
    /// Visits since the server or this listener began to stop.
    last_visits: usize,
    /// The socket closes at its next visit.
    cut: bool,
    /// Limits the warnings about a failing socket.
    failure_log: LogLimit,
    /// Logs bugs of the protocol. Rule 13: at a limited rate, because a peer can cause them.
    bug_log: BugLog,
}

impl<S: DatagramSocket> Mailbox<S> {
    /// Makes a mailbox that is ready both ways: its first visit needs no event.
    pub(crate) fn new(token: Token, name: &str, socket: S, protocol: Box<dyn DatagramProtocol>) -> Self {
        let ready = Readiness { readable: true, writable: true, in_doubt: false };
        let payload_bytes_max = protocol.payload_bytes_max();
        Self {
            token,
            name: name.to_owned(),
            socket,
            protocol,
            payload_bytes_max,
            ready,
            received: Vec::new(),
            replies: Replies::default(),
            failing: false,
            last_visits: 0,
            cut: false,
            failure_log: LogLimit::default(),
            bug_log: BugLog::default(),
        }
    }

    /// Changes the name of the listener, and with `Some` its protocol; returns the old one. Replies that wait are still sent.
    pub(crate) fn renew(
        &mut self,
        name: &str,
        protocol: Option<Box<dyn DatagramProtocol>>,
    ) -> Option<Box<dyn DatagramProtocol>> {
        name.clone_into(&mut self.name);
        let protocol = protocol?;
        self.payload_bytes_max = protocol.payload_bytes_max();
        Some(mem::replace(&mut self.protocol, protocol))
    }

    /// Returns the socket and the protocol, which are to be closed.
    pub(crate) fn end(self) -> (S, Box<dyn DatagramProtocol>) {
        (self.socket, self.protocol)
    }

    /// Notes an event.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
    }

    /// Whether every datagram that had arrived has been handled.
    pub(crate) fn is_drained(&self) -> bool {
        !self.ready.readable && self.replies.is_empty()
    }

    /// Whether a stopping server may close the socket: what had arrived is answered. Datagrams that arrive later look the same, so
    /// the number of visits is bounded. A failing socket receives nothing, so there is nothing to answer.
    fn may_close(&self) -> bool {
        let received = !self.ready.readable || self.failing || self.last_visits >= LAST_VISITS_MAX;
        received && self.replies.is_empty()
    }

    /// Makes the socket close at its next visit, whatever has arrived.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// Drops and counts the replies that the kernel had no room for. Rule 13: what is dropped is counted by reason.
    fn give_up(&mut self, stats: &mut Stats) {
        let unsent = self.unsent();
        (0..unsent).for_each(|_| stats.refused.add("shutdown"));
        self.replies.advance(unsent);
    }

    /// Returns the number of replies that wait for room in the send queue.
    pub(crate) fn unsent(&self) -> usize {
        self.replies.unsent().count()
    }

    /// Whether the last visit saw only errors. They are then not transient, and the next visit is delayed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Makes one visit. Rule 5: it ends when its budget is used up. There is a deadline only after a visit that saw only errors.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Left {
        let status = self.serve(visit);
        if self.cut || (visit.stopping && self.may_close()) {
            self.give_up(visit.stats);
            return Left { status: Status::Closed, deadline: Time::NEVER };
        }
        if self.failing {
            return Left { status: Status::Waiting, deadline: visit.now.after(ERROR_PAUSE) };
        }
        Left { status, deadline: Time::NEVER }
    }

    /// Answers what has arrived. Rule 1: only `WouldBlock` proves that nothing is left. An empty datagram is not an end, and an
    /// error concerns one datagram (`udp(7)`), not the socket.
    fn serve(&mut self, visit: &mut Visit<'_>) -> Status {
        debug_assert!(visit.outbox.is_empty(), "output of another owner");
        let mut budget = VISIT_DATAGRAMS_MAX;
        let mut failures = 0;
        self.failing = false;
        self.last_visits += usize::from(visit.stopping);
        loop {
            self.send(visit);
            if !self.ready.readable || !self.replies.is_empty() {
                return Status::Waiting;
            }
            if budget == 0 || visit.budget.is_spent() {
                return Status::Again;
            }
            let buffer = mem::take(&mut visit.read_buffer);
            // One byte more than a request may have, so that a longer one is noticed.
            let room = self.payload_bytes_max.saturating_add(1).min(buffer.len());
            let rooms = (buffer.len() / room).min(DATAGRAM_BATCH_MAX).min(budget);
            let batch = &mut buffer[..rooms * room];
            match attempt(|| self.socket.receive(batch.chunks_exact_mut(room), &mut self.received)) {
                Attempt::Done(()) => {
                    budget -= self.received.len();
                    let mut received = mem::take(&mut self.received);
                    for (datagram, room) in received.drain(..).zip(batch.chunks_exact(room)) {
                        let units = CALL_UNITS + datagram.length as u32;
                        self.answer(datagram, &room[..datagram.length], visit);
                        visit.charge(units);
                    }
                    self.received = received;
                }
                Attempt::WouldBlock => self.ready.readable = false,
                Attempt::Failed(error) => {
                    failures += 1;
                    budget -= 1;
                    self.note_failure(&error, failures, visit);
                }
            }
            visit.read_buffer = buffer;
        }
    }

    /// Counts a failed receive, the one of number `failures` in this visit. Errors about single datagrams are transient. If a
    /// visit sees only errors, the administrator must know that this port receives nothing.
    fn note_failure(&mut self, error: &io::Error, failures: usize, visit: &mut Visit<'_>) {
        visit.stats.receive_errors += 1;
        log::debug!("{}: receiving a datagram failed: {error}", self.name);
        self.failing = failures == VISIT_DATAGRAMS_MAX;
        if self.failing
            && let Some(suppressed) = self.failure_log.allow(visit.now)
        {
            log::warn!(
                "{}: no datagram can be received: {error}; trying again every {ERROR_PAUSE:?}{suppressed}",
                self.name
            );
        }
    }

    /// Calls the protocol, and queues its reply.
    fn answer(&mut self, received: Received, payload: &[u8], visit: &mut Visit<'_>) {
        visit.stats.received_datagrams += 1;
        visit.stats.received_bytes += payload.len() as u64;
        let result = if let Err(dropped) = answerable(received.from) {
            Err(dropped)
        } else if payload.len() > self.payload_bytes_max {
            Err(Dropped("too long"))
        } else {
            let ends = OfDatagram { received, bound: &visit.place.site.address };
            let mut cx = Context {
                out: visit.outbox,
                now: visit.moment.instant,
                refused: &mut visit.stats.error_answers,
                place: &visit.place,
                ends: &ends,
            };
            let protocol = &mut self.protocol;
            let result = catch(|| protocol.on_datagram(payload, &mut cx));
            xray::record(|| asked(payload.len(), visit.outbox.len(), &result));
            result.unwrap_or_else(|panicked| {
                let what = format!("panicked{}", panicked.detail());
                self.bug_log.write(visit.now, &self.name, self.token, Some(&received.from.into()), &what);
                Err(Dropped("bug"))
            })
        };
        let answered = result.and_then(|()| if visit.outbox.is_empty() { Err(Dropped("no answer")) } else { Ok(()) });
        match answered {
            Ok(()) => {
                let reply = Reply { payload: visit.outbox.pending(), to: received.from, source: received.to };
                self.replies.push(reply);
            }
            Err(Dropped(reason)) => {
                xray::record(|| What::Dropped(reason));
                visit.stats.refused.add(reason);
            }
        }
        visit.outbox.clear();
    }

    /// Sends until nothing is left or the kernel takes no more. An error concerns one reply, which is dropped.
    fn send(&mut self, visit: &mut Visit<'_>) {
        while !self.replies.is_empty() && self.ready.writable {
            match attempt(|| self.socket.send(&self.replies)) {
                Attempt::Done(count) => {
                    visit.stats.sent_datagrams += count as u64;
                    let sent = self.replies.unsent().take(count).map(|reply| reply.payload.len() as u64);
                    visit.stats.sent_bytes += sent.sum::<u64>();
                    self.replies.advance(count);
                }
                Attempt::WouldBlock => self.ready.writable = false,
                Attempt::Failed(error) => {
                    log::debug!("sending a datagram failed: {error}");
                    visit.stats.refused.add("send error");
                    self.replies.advance(1);
                }
            }
        }
    }
}

/// Whether a sender may be answered.
fn answerable(sender: Sender) -> Result<(), Dropped> {
    match sender {
        Sender::Inet(address) if address.port() == 0 => Err(Dropped("source port 0")),
        Sender::Inet(_) | Sender::Unix => Ok(()),
        Sender::Unanswerable(reason) => Err(Dropped(reason)),
    }
}

/// The [`Ends`] of a datagram.
struct OfDatagram<'a> {
    /// Its source and destination address.
    received: Received,
    /// The address of the socket, which has the local port.
    bound: &'a Address,
}

impl Ends for OfDatagram<'_> {
    fn peer(&self) -> Peer {
        self.received.from.into()
    }

    fn local(&self) -> Option<SocketAddr> {
        let Address::Inet(bound) = self.bound else { return None };
        self.received.to.map(|source| source.at(bound.port()))
    }
}

/// Returns the record of a call of the protocol for the X-ray.
fn asked(input: usize, output: usize, result: &Result<Result<(), Dropped>, Panicked>) -> What {
    let (input, output) = (input as u32, output as u32);
    let decision = match result {
        Ok(Ok(())) => Decision::Dealt,
        Ok(Err(_)) => Decision::Dropped,
        Err(_) => Decision::Bug,
    };
    What::Asked { ask: Ask::Datagram, input, consumed: input, output, decision }
}
