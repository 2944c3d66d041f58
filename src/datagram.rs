//! Drives one UDP socket, a batch of datagrams at a time.

use std::io;
use std::mem;
use std::net::SocketAddr;

use crate::attempt::{Attempt, attempt};
use crate::bug_log::BugLog;
use crate::kernel::{DatagramSocket, Panicked, Readiness, Received, Replies, Reply, Token};
use crate::limits::{CALL_UNITS, DATAGRAM_BATCH_MAX, ERROR_PAUSE, LAST_VISITS_MAX, VISIT_DATAGRAMS_MAX};
use crate::log_limit::LogLimit;
use crate::panics::catch;
use crate::peer::Peer;
use crate::protocol::{Context, DatagramProtocol, Dropped, Ends};
use crate::stats::Stats;
use crate::time::Time;
use crate::visit::{Left, Status, Visit};
use crate::xray::{self, Ask, Decision, What};

/// A UDP socket and its protocol.
pub(crate) struct Mailbox<S> {
    token: Token,
    /// Its name in the configuration.
    name: String,
    pub(crate) socket: S,
    protocol: Box<dyn DatagramProtocol>,
    /// The longest payload that can be a request.
    payload_bytes_max: usize,
    ready: Readiness,
    /// What the datagrams of the current batch are; empty between visits.
    received: Vec<Received>,
    /// Replies to one batch. As long as the kernel has no room for them nothing more is received: the kernel's receive
    /// queue is the queue, and it is bounded.
    replies: Replies,
    /// The last visit met nothing but errors.
    failing: bool,
    /// Visits since the server began to stop.
    last_visits: usize,
    /// The server ends at once.
    cut: bool,
    failure_log: LogLimit,
    bug_log: BugLog,
}

impl<S: DatagramSocket> Mailbox<S> {
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

    /// An event came for this socket.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.ready.readable |= readiness.readable;
        self.ready.writable |= readiness.writable;
    }

    /// Whether everything that had arrived has been handled.
    pub(crate) fn is_drained(&self) -> bool {
        !self.ready.readable && self.replies.is_empty()
    }

    /// Whether a server that stops has nothing more to do here: what had arrived is answered. As it cannot be told from what
    /// goes on arriving, the number of visits bounds it; and where nothing can be received there is nothing to answer.
    fn may_close(&self) -> bool {
        let received = !self.ready.readable || self.failing || self.last_visits >= LAST_VISITS_MAX;
        received && self.replies.is_empty()
    }

    /// Ends it at its next visit, whatever has arrived.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// The socket closes, and the replies that the kernel had no room for will not leave.
    fn give_up(&mut self, stats: &mut Stats) {
        let unsent = self.unsent();
        (0..unsent).for_each(|_| stats.refused.add("shutdown"));
        self.replies.advance(unsent);
    }

    /// How many replies wait for room in the send buffer.
    pub(crate) fn unsent(&self) -> usize {
        self.replies.unsent().count()
    }

    /// Whether nothing but errors came of the last visit: no passing ones, so the next visit had better wait for a while.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Does what can be done within the budget of a visit. It has no deadline but after a visit that met nothing but errors.
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

    /// Answers what has arrived. Only `WouldBlock` tells that nothing is left: an empty
    /// datagram is not the end, and an error is about one datagram (`udp(7)`), not about the socket.
    fn serve(&mut self, visit: &mut Visit<'_>) -> Status {
        debug_assert!(visit.outbox.is_empty(), "output of somebody else");
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
            // One byte more than a request may have, so that a longer one shows.
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

    /// Receiving failed, as it did so often already in this visit. Errors about single datagrams pass; if nothing else comes
    /// of a visit, the administrator has to know that this port is deaf.
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

    /// Asks the protocol, and puts its reply to the others.
    fn answer(&mut self, received: Received, payload: &[u8], visit: &mut Visit<'_>) {
        visit.stats.received_datagrams += 1;
        visit.stats.received_bytes += payload.len() as u64;
        let result = if received.from.port() == 0 {
            Err(Dropped("source port 0"))
        } else if payload.len() > self.payload_bytes_max {
            Err(Dropped("too long"))
        } else {
            let ends = OfDatagram { received, port: visit.place.site.address.port() };
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
                let what = format!("it panicked{}", panicked.detail());
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

    /// Sends until nothing is left or the kernel takes no more. An error is about one reply, which is given up.
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

/// The ends of a datagram.
struct OfDatagram {
    received: Received,
    /// The port of this machine.
    port: u16,
}

impl Ends for OfDatagram {
    fn peer(&self) -> Peer {
        self.received.from.into()
    }

    fn local(&self) -> Option<SocketAddr> {
        self.received.to.map(|source| source.at(self.port))
    }
}

/// What a protocol did with a datagram.
fn asked(input: usize, output: usize, result: &Result<Result<(), Dropped>, Panicked>) -> What {
    let (input, output) = (input as u32, output as u32);
    let decision = match result {
        Ok(Ok(())) => Decision::Dealt,
        Ok(Err(_)) => Decision::Dropped,
        Err(_) => Decision::Bug,
    };
    What::Asked { ask: Ask::Datagram, input, consumed: input, output, decision }
}
