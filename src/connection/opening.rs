//! The opening of a connection: what comes before its protocol. A connect that is in progress, a header that is read or sent, a
//! handshake.
//!
//! An opening owns the socket until it is complete, with a deadline of its own. It becomes an [`Opened`] socket; only then is a
//! protocol made. A listener without an opener has none of this, and its connections cost nothing for it.

use std::mem;
use std::time::Duration;

use super::layer::Layer;
use super::line::Line;
use super::{Claim, Ended, transitions};
use crate::attempt::Attempt;
use crate::kernel::Transport;
use crate::limits::{CALL_UNITS, UNCONSUMED_BYTES_MAX};
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::panics::catch;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::{CloseReason, Refusal};
use crate::time::Time;
use crate::visit::{Left, Status, Visit};
use crate::xray::{self, Phase, What};

/// How the connections of a listener open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opens {
    /// Makes what opens one connection.
    pub(crate) opener: fn() -> Box<dyn Opener>,
    /// How long that may take, a connect that is in progress included.
    pub(crate) timeout: Duration,
}

/// What is done with one connection before its protocol. It knows no socket and no clock. A panic ends its connection alone.
pub(crate) trait Opener: Send {
    /// The socket is connected, and nothing has been read: called once, before anything else. An opener that speaks first
    /// appends to `out`.
    ///
    /// # Errors
    /// The connection is closed, and the reason is counted.
    fn on_connected(&mut self, _out: &mut Outbox) -> Result<Progress, Refusal> {
        Ok(Progress::More)
    }

    /// Looks at all that has been received, at least one byte, and appends what it has to say to `out`.
    ///
    /// # Errors
    /// The connection is closed once what the kernel takes at once of `out` is sent, and the reason is counted.
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal>;
}

/// How far an opening has come.
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
        Self::of(Line::new(transport), peer)
    }

    fn of(line: Line<T>, peer: &Peer) -> Self {
        Self { line, peer: PackedPeer::from(peer), received: Vec::new(), layer: None }
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
    make: fn() -> Box<dyn Opener>,
    /// Made when the socket is connected, and dropped when it is done.
    opener: Option<Box<dyn Opener>>,
    /// What could not be sent yet.
    outbox: Outbox,
    until: Time,
    state: State,
    /// What the log tells of a panic.
    bug: Option<Box<str>>,
}

/// Where an opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The kernel has not connected the socket yet (`connect(2)`, `EINPROGRESS`).
    Connecting,
    /// The opener is at work.
    Opening,
    /// The opener is done. What is pending is sent, then the protocol is made.
    Sending,
    Closed(CloseReason),
}

impl State {
    fn name(self) -> Phase {
        match self {
            Self::Connecting => Phase::Connecting,
            Self::Opening => Phase::Opening,
            Self::Sending => Phase::Sending,
            Self::Closed(_) => Phase::Closed,
        }
    }
}

/// What a visit of an opening came to.
pub(crate) enum Visited {
    /// It goes on, or it has ended.
    Left(Left),
    /// It is complete.
    Complete,
}

impl<T: Transport> Opening<T> {
    /// The opening of a socket that is connected: one that was accepted, or adopted.
    pub(crate) fn new(transport: T, peer: &Peer, opens: Opens, now: Time) -> Self {
        Self::from(State::Opening, Line::new(transport), peer, opens, now)
    }

    /// The opening of a socket whose connect is in progress.
    pub(crate) fn connecting(transport: T, peer: &Peer, opens: Opens, now: Time) -> Self {
        Self::from(State::Connecting, Line::connecting(transport), peer, opens, now)
    }

    fn from(state: State, line: Line<T>, peer: &Peer, opens: Opens, now: Time) -> Self {
        xray::record(|| What::Phase(state.name(), ""));
        Self {
            opened: Opened::of(line, peer),
            make: opens.opener,
            opener: None,
            outbox: Outbox::new(),
            until: now.after(opens.timeout),
            state,
            bug: None,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.opened.peer.unpack()
    }

    /// When it is closed unless it is complete.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }

    /// Bytes of output that are pending.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Whether it waits for nothing but to be reaped.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// What it believes of its socket.
    pub(crate) fn claim(&self) -> Claim {
        self.opened.line.claim()
    }

    /// Says which rule of waiting is broken, if any. `wakes`: another visit is certain without an edge; `armed`: when one comes in
    /// any case.
    pub(crate) fn check_waiting(&self, wakes: bool, armed: Time) -> Result<(), &'static str> {
        let Claim { drained, blocked } = self.claim();
        let may_go_on = match self.state {
            State::Connecting => !drained || !blocked,
            State::Opening if self.outbox.is_empty() => !drained || self.opener.is_none(),
            State::Opening | State::Sending => !blocked,
            State::Closed(_) => true,
        };
        match (armed > self.until, may_go_on) {
            _ if wakes => Ok(()),
            (true, _) => Err("it opens without a deadline"),
            (_, true) => Err("it opens, and waits for an edge that the kernel does not owe"),
            _ => Ok(()),
        }
    }

    /// An event came for it.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.opened.line.note_ready(readiness);
    }

    /// Ends it now; the peer sees a reset. `bug`: what the log tells of it.
    pub(crate) fn cut(&mut self, reason: CloseReason, bug: Option<String>) {
        self.opened.line.reset_on_close();
        self.close(reason);
        self.bug = bug.map(Into::into).or(self.bug.take());
    }

    /// The socket, to be closed, and why.
    pub(crate) fn end(self) -> Ended<T> {
        let Self { opened: Opened { line, layer, .. }, opener, state, mut bug, .. } = self;
        let reason = if let State::Closed(reason) = state { reason } else { CloseReason::Shutdown };
        // Rule 9: even what panics when it is dropped ends nothing but its own connection.
        for dropped in [catch(move || drop(opener)), catch(move || drop(layer))] {
            if let Err(panicked) = dropped {
                bug.get_or_insert_with(|| {
                    format!("its opening panicked when it was dropped{}", panicked.detail()).into()
                });
            }
        }
        Ended { transport: line.into_transport(), reason, bug, last: None, job_out: false }
    }

    /// The socket of one that is complete.
    pub(crate) fn into_opened(self) -> Opened<T> {
        transitions::check(self.state.name(), Phase::Conversing);
        xray::record(|| What::Phase(Phase::Conversing, ""));
        self.opened
    }

    /// Does what can be done within the budget of a visit.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Visited {
        let mut asked = false;
        while !self.is_over() {
            let status = self.advance(visit);
            match self.state {
                State::Closed(_) => {}
                State::Sending if self.outbox.is_empty() => return Visited::Complete,
                State::Connecting | State::Opening if visit.stopping => self.close(CloseReason::Shutdown),
                // Rule 8: every connection has a deadline, this one until it has its protocol.
                _ if self.until > visit.now => return Visited::Left(Left { status, deadline: self.until }),
                // A loop that was held up must not blame the peer for it.
                _ if !mem::replace(&mut asked, true) => self.opened.line.ask_again(),
                _ => self.close(CloseReason::OpeningTimeout),
            }
        }
        Visited::Left(Left { status: Status::Closed, deadline: Time::NEVER })
    }

    /// Sends, connects, reads and asks the opener, until nothing more can be done.
    fn advance(&mut self, visit: &mut Visit<'_>) -> Status {
        loop {
            self.flush(visit);
            match self.state {
                State::Connecting if self.opened.line.is_readable() || self.opened.line.is_writable() => self.connect(),
                State::Opening if self.opener.is_none() => self.ask(visit, |opener, _, out| opener.on_connected(out)),
                State::Opening if self.opened.line.is_readable() && !self.is_full(visit) => {
                    if visit.budget.is_spent() || visit.budget.bytes() == 0 {
                        return Status::Again;
                    }
                    self.read(visit);
                }
                _ => return Status::Waiting,
            }
        }
    }

    fn flush(&mut self, visit: &mut Visit<'_>) {
        let flushed = self.opened.line.flush(&mut self.outbox, |count| visit.stats.sent_bytes += count as u64);
        if let Err(error) = flushed {
            self.outbox.clear();
            self.close(CloseReason::Transport(error.kind()));
        }
    }

    /// Rule 6: a full outbox stops reading here as well.
    fn is_full(&self, visit: &Visit<'_>) -> bool {
        self.outbox.len() >= if visit.pressed { 1 } else { visit.limits.max_pending_output }
    }

    /// Asks the kernel how the connect ended.
    fn connect(&mut self) {
        match self.opened.line.is_connected() {
            Ok(true) => self.enter(State::Opening),
            Ok(false) => {}
            Err(error) => self.close(CloseReason::Transport(error.kind())),
        }
    }

    fn read(&mut self, visit: &mut Visit<'_>) {
        let most = visit.read_buffer.len().min(visit.budget.bytes());
        match self.opened.line.read(&mut visit.read_buffer[..most]) {
            Attempt::Done(0) => self.close(CloseReason::Eof),
            Attempt::Done(count) => {
                visit.budget.take_bytes(count);
                visit.charge(count as u32);
                visit.stats.received_bytes += count as u64;
                self.opened.received.extend_from_slice(&visit.read_buffer[..count]);
                self.ask(visit, |opener, received, out| opener.on_received(received, out));
            }
            Attempt::WouldBlock => {}
            Attempt::Failed(error) => self.close(CloseReason::Transport(error.kind())),
        }
    }

    /// Asks the opener, which is made if this is the first time, and drops it if this was the last.
    fn ask(
        &mut self,
        visit: &mut Visit<'_>,
        call: impl FnOnce(&mut dyn Opener, &[u8], &mut Outbox) -> Result<Progress, Refusal>,
    ) {
        visit.charge(CALL_UNITS);
        let (opener, make) = (self.opener.take(), self.make);
        let (received, outbox) = (&self.opened.received, &mut self.outbox);
        let asked = catch(|| {
            let mut opener = opener.unwrap_or_else(make);
            let progress = call(&mut *opener, received, outbox)?;
            let goes_on = matches!(progress, Progress::More);
            Ok((goes_on.then_some(opener), progress))
        });
        match asked {
            Ok(Ok((opener, progress))) => {
                self.opener = opener;
                self.note(progress);
            }
            Ok(Err(Refusal(reason))) => self.close(CloseReason::Refused(reason)),
            Err(panicked) => {
                self.bug = Some(format!("its opener panicked{}", panicked.detail()).into());
                self.outbox.clear();
                self.close(CloseReason::Bug("its opener panicked"));
            }
        }
    }

    fn note(&mut self, progress: Progress) {
        match progress {
            Progress::More if self.opened.received.len() <= UNCONSUMED_BYTES_MAX => {}
            Progress::More => self.close(CloseReason::Refused("too long")),
            Progress::Done { consumed, peer, layer } => {
                self.opened.received.drain(..consumed.min(self.opened.received.len()));
                if let Some(peer) = &peer {
                    self.opened.peer = PackedPeer::from(peer);
                }
                self.opened.layer = layer;
                self.enter(State::Sending);
            }
        }
    }

    /// Ends it, unless it has ended: the first reason counts.
    fn close(&mut self, reason: CloseReason) {
        if !self.is_over() {
            self.enter(State::Closed(reason));
        }
    }

    fn enter(&mut self, state: State) {
        transitions::check(self.state.name(), state.name());
        self.state = state;
        let why = if let State::Closed(reason) = state { reason.text() } else { "" };
        xray::record(|| What::Phase(state.name(), why));
    }
}
