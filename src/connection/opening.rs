//! The opening of a connection: a header is read, or a handshake answered, before the protocol is made.
//!
//! An opening owns the socket until it is complete, with a deadline of its own. It becomes an [`Opened`] socket; only then is a
//! protocol made. A listener without an opener has none of this, and its connections cost nothing for it.

use std::mem;
use std::time::Duration;

use super::layer::Layer;
use super::line::Line;
use crate::attempt::Attempt;
use crate::kernel::Transport;
use crate::limits::UNCONSUMED_BYTES_MAX;
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::{CloseReason, Refusal};
use crate::time::Time;
use crate::visit::{Left, Status, Visit};

/// How the connections of a listener open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opens {
    /// Makes what opens one connection.
    pub(crate) opener: fn() -> Box<dyn Opener>,
    /// How long that may take.
    pub(crate) timeout: Duration,
}

/// What is done with one connection before its protocol. It knows no socket and no clock.
pub(crate) trait Opener: Send {
    /// Looks at all that has been received, at least one byte. What it has to say goes to `out`.
    ///
    /// # Errors
    /// The connection is closed, and the reason is counted.
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal>;
}

/// How far an opening has come.
#[cfg_attr(not(test), expect(dead_code, reason = "no listener has an opener yet but those of tests"))]
pub(crate) enum Progress {
    /// More bytes are needed.
    More,
    /// It is complete.
    Done {
        /// How many bytes belonged to it; the others are for the layer or the protocol.
        consumed: usize,
        /// The peer, if it is not the one that the socket names.
        peer: Option<Peer>,
        /// What changes all bytes from now on.
        layer: Option<Box<dyn Layer>>,
    },
}

/// A socket whose opening is complete.
pub(crate) struct Opened<T> {
    pub(super) line: Line<T>,
    pub(super) peer: PackedPeer,
    /// What came behind the opening.
    pub(super) received: Vec<u8>,
    pub(super) layer: Option<Box<dyn Layer>>,
}

impl<T: Transport> Opened<T> {
    /// A socket that needs no opening.
    pub(crate) fn at_once(transport: T, peer: &Peer) -> Self {
        Self { line: Line::new(transport), peer: PackedPeer::from(peer), received: Vec::new(), layer: None }
    }

    /// The same, and `received` came behind the opening.
    pub(crate) fn with(mut self, received: &[u8]) -> Self {
        self.received = received.to_vec();
        self
    }

    /// The same, and all bytes pass through `layer`.
    pub(crate) fn through(mut self, layer: Option<Box<dyn Layer>>) -> Self {
        self.layer = layer;
        self
    }
}

/// A connection that opens.
pub(crate) struct Opening<T> {
    opened: Opened<T>,
    opener: Box<dyn Opener>,
    /// What could not be sent yet.
    outbox: Outbox,
    until: Time,
    state: State,
}

/// Where an opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    /// Complete, but output is still pending.
    Complete,
    Closed(CloseReason),
}

/// What a visit of an opening came to.
pub(crate) enum Visited {
    /// It goes on, or it has ended.
    Left(Left),
    /// It is complete.
    Complete,
}

impl<T: Transport> Opening<T> {
    pub(crate) fn new(transport: T, peer: &Peer, opens: Opens, now: Time) -> Self {
        Self {
            opened: Opened::at_once(transport, peer),
            opener: (opens.opener)(),
            outbox: Outbox::new(),
            until: now.after(opens.timeout),
            state: State::Opening,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.opened.peer.unpack()
    }

    /// When it is closed unless it is complete.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }

    /// An event came for it.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.opened.line.note_ready(readiness);
    }

    /// Ends it now; the peer sees a reset.
    pub(crate) fn cut(&mut self, reason: CloseReason) {
        self.opened.line.reset_on_close();
        self.state = State::Closed(reason);
    }

    /// The socket, to be closed, and why.
    pub(crate) fn end(self) -> (T, CloseReason) {
        let State::Closed(reason) = self.state else {
            return (self.opened.line.into_transport(), CloseReason::Shutdown);
        };
        (self.opened.line.into_transport(), reason)
    }

    /// The socket of one that is complete.
    pub(crate) fn into_opened(self) -> Opened<T> {
        self.opened
    }

    /// Does what can be done within the budget of a visit.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Visited {
        let mut asked = false;
        loop {
            let status = self.advance(visit);
            match self.state {
                State::Closed(_) => return left(Status::Closed, Time::NEVER),
                State::Complete if self.outbox.is_empty() => return Visited::Complete,
                State::Opening if visit.stopping => self.state = State::Closed(CloseReason::Shutdown),
                _ if self.until > visit.now => return left(status, self.until),
                // A loop that was held up must not blame the peer for it.
                _ if !mem::replace(&mut asked, true) => self.opened.line.ask_again(),
                _ => self.state = State::Closed(CloseReason::OpeningTimeout),
            }
        }
    }

    /// Sends, reads and asks the opener, until nothing more can be done.
    fn advance(&mut self, visit: &mut Visit<'_>) -> Status {
        loop {
            if let Err(error) = self.opened.line.flush(&mut self.outbox, |count| visit.stats.sent_bytes += count as u64)
            {
                self.state = State::Closed(CloseReason::Transport(error.kind()));
            }
            if self.state != State::Opening || !self.opened.line.is_readable() {
                return Status::Waiting;
            }
            let most = visit.read_buffer.len().min(visit.budget.bytes());
            if most == 0 || visit.budget.is_spent() {
                return Status::Again;
            }
            match self.opened.line.read(&mut visit.read_buffer[..most]) {
                Attempt::Done(0) => self.state = State::Closed(CloseReason::Eof),
                Attempt::Done(count) => {
                    visit.budget.take_bytes(count);
                    visit.charge(count as u32);
                    visit.stats.received_bytes += count as u64;
                    self.opened.received.extend_from_slice(&visit.read_buffer[..count]);
                    self.ask();
                }
                Attempt::WouldBlock => {}
                Attempt::Failed(error) => self.state = State::Closed(CloseReason::Transport(error.kind())),
            }
        }
    }

    fn ask(&mut self) {
        match self.opener.on_received(&self.opened.received, &mut self.outbox) {
            Ok(Progress::More) if self.opened.received.len() <= UNCONSUMED_BYTES_MAX => {}
            Ok(Progress::More) => self.state = State::Closed(CloseReason::Refused("too long")),
            Ok(Progress::Done { consumed, peer, layer }) => {
                self.opened.received.drain(..consumed.min(self.opened.received.len()));
                if let Some(peer) = &peer {
                    self.opened.peer = PackedPeer::from(peer);
                }
                self.opened.layer = layer;
                self.state = State::Complete;
            }
            Err(Refusal(reason)) => self.state = State::Closed(CloseReason::Refused(reason)),
        }
    }
}

fn left(status: Status, deadline: Time) -> Visited {
    Visited::Left(Left { status, deadline })
}

#[cfg(test)]
impl<T> Opening<T> {
    /// What a test makes happen at the other end.
    pub(super) fn socket_mut(&mut self) -> &mut T {
        self.opened.line.transport_mut()
    }
}
