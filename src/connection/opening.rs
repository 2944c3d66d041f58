//! The opening of a connection: what comes before its protocol, such as a connect in progress, a header or a handshake.
//!
//! An opening owns the socket until it is complete, with a deadline of its own. Then it becomes an [`Opened`] socket, and only
//! then is a protocol made. Connections of a listener without an opener cost nothing for it.

use std::mem;

use super::asked::Asked;
use super::layer::Layer;
use super::line::Line;
use super::opener::{Opener, Opens, PROBE, Progress};
use super::{Claim, Ended, transitions};
use crate::attempt::Attempt;
use crate::kernel::Transport;
use crate::limits::{CALL_UNITS, OPENING_BYTES_MAX, READ_BYTES};
use crate::notice::Readiness;
use crate::outbox::Outbox;
use crate::panics::catch;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::{CloseReason, Refusal, Within};
use crate::time::Time;
use crate::token::Token;
use crate::visit::{Left, Status, Visit};
use crate::xray::{self, Phase, What};

/// A socket whose opening is complete.
pub(crate) struct Opened<T> {
    /// The socket.
    pub(super) line: Line<T>,
    /// The peer, as the kernel or the opener named it.
    pub(super) peer: PackedPeer,
    /// The bytes received; once the opening is complete, those that followed it.
    pub(super) received: Vec<u8>,
    /// The layer between the socket and the protocol.
    pub(super) layer: Option<Box<dyn Layer>>,
}

impl<T: Transport> Opened<T> {
    /// Makes an opened socket without an opening.
    pub(crate) fn at_once(transport: T, peer: &Peer) -> Self {
        Self::of(Line::new(transport, peer), peer)
    }

    /// Makes an opened socket that has received nothing.
    fn of(line: Line<T>, peer: &Peer) -> Self {
        Self { line, peer: PackedPeer::from(peer), received: Vec::new(), layer: None }
    }

    /// Sets the bytes that followed the opening.
    pub(crate) fn with(mut self, received: &[u8]) -> Self {
        self.received = received.to_vec();
        self
    }

    /// Sets the layer.
    pub(crate) fn through(mut self, layer: Option<Box<dyn Layer>>) -> Self {
        self.layer = layer;
        self
    }
}

/// A connection whose opening is not complete.
pub(crate) struct Opening<T> {
    /// The socket, and what is known so far.
    opened: Opened<T>,
    /// Makes the opener.
    make: fn() -> Box<dyn Opener>,
    /// Made when the socket is connected, and dropped when it is done.
    opener: Option<Box<dyn Opener>>,
    /// Bytes not sent yet.
    outbox: Outbox,
    /// The deadline of the opening.
    until: Time,
    /// The phase.
    state: State,
    /// A bug for the log.
    bug: Option<Box<str>>,
    /// The connection for which the socket connects.
    asked: Option<Box<Asked>>,
    /// The peer that the socket names, if the opener has named another.
    proxy: Option<PackedPeer>,
    /// Whether the opener has called the peer a probe.
    is_probe: bool,
}

/// The phase of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The kernel has not connected the socket yet (`connect(2)`, `EINPROGRESS`).
    Connecting,
    /// The opener needs bytes.
    Opening,
    /// The opener is done. Pending output is sent, then the protocol is made.
    Sending,
    /// The opening has ended without a protocol.
    Closed(CloseReason),
}

impl State {
    /// Returns the name of the phase for the X-ray and the table of transitions.
    fn name(self) -> Phase {
        match self {
            Self::Connecting => Phase::Connecting,
            Self::Opening => Phase::Opening,
            Self::Sending => Phase::Sending,
            Self::Closed(_) => Phase::Closed,
        }
    }
}

/// The result of a visit of an opening.
pub(crate) enum Visited {
    /// The opening goes on, or has failed.
    Left(Left),
    /// The opening is complete.
    Complete,
}

impl<T: Transport> Opening<T> {
    /// Begins the opening of a connected socket, which was accepted or adopted.
    pub(crate) fn new(transport: T, peer: &Peer, opens: Opens, now: Time) -> Self {
        Self::from(State::Opening, Line::new(transport, peer), peer, opens, now)
    }

    /// Begins the opening of a socket whose connect is in progress.
    pub(crate) fn connecting(transport: T, peer: &Peer, opens: Opens, now: Time) -> Self {
        Self::from(State::Connecting, Line::connecting(transport, peer), peer, opens, now)
    }

    /// Begins an opening in `state`.
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
            asked: None,
            proxy: None,
            is_probe: false,
        }
    }

    /// Sets the connection for which the socket connects.
    pub(crate) fn asked_by(self, asked: Box<Asked>) -> Self {
        Self { asked: Some(asked), ..self }
    }

    /// Returns the connection for which the socket connects.
    pub(crate) fn asker(&self) -> Option<Token> {
        self.asked.as_ref().map(|asked| asked.asker)
    }

    /// Takes what the connection has asked for.
    pub(crate) fn take_asked(&mut self) -> Option<Box<Asked>> {
        self.asked.take()
    }

    /// Returns the peer, as far as it is known.
    pub(crate) fn peer(&self) -> Peer {
        self.opened.peer.unpack()
    }

    /// Returns the peer that the socket names, if the opener has named another.
    pub(crate) fn proxy(&self) -> Option<PackedPeer> {
        self.proxy
    }

    /// Whether the peer only wants to see whether the server is there.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Returns when the opening is closed unless it is complete.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }

    /// Returns the number of bytes pending.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Whether the opening has failed and waits only to be reaped.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Returns what the opening claims about its socket.
    pub(crate) fn claim(&self) -> Claim {
        self.opened.line.claim()
    }

    /// Checks the rules of waiting. `wakes`: another visit is certain without an edge; `armed`: when its deadline is due.
    ///
    /// # Errors
    /// The rule that is broken.
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
            (_, true) => Err("it opens, and waits for an edge that will not come"),
            _ => Ok(()),
        }
    }

    /// Returns the socket, unless the opening has closed.
    pub(crate) fn open_socket(&mut self) -> Option<&mut T> {
        (!self.is_closed()).then_some(&mut self.opened.line.transport)
    }

    /// Notes an event.
    pub(crate) fn note_ready(&mut self, readiness: Readiness) {
        self.opened.line.note_ready(readiness);
    }

    /// Ends it, because its peer is not served: what the opener has sent still arrives.
    pub(crate) fn refuse(&mut self, reason: &'static str) {
        self.close(CloseReason::Refused(reason));
    }

    /// Ends it, because nothing needs it any more.
    pub(crate) fn give_up(&mut self, reason: CloseReason) {
        self.close(reason);
    }

    /// Resets the connection. `bug`: a bug for the log.
    pub(crate) fn cut(&mut self, reason: CloseReason, bug: Option<String>) {
        self.opened.line.reset_on_close();
        self.close(reason);
        self.bug = bug.map(Into::into).or_else(|| self.bug.take());
    }

    /// Returns what is left of a closed opening.
    pub(crate) fn end(self) -> Ended<T> {
        let Self { opened: Opened { line, layer, .. }, opener, state, mut bug, asked, .. } = self;
        let reason = if let State::Closed(reason) = state { reason } else { CloseReason::Shutdown };
        // Rule 9: a panic in a destructor ends only its own connection.
        for dropped in [catch(move || drop(opener)), catch(move || drop(layer))] {
            if let Err(panicked) = dropped {
                bug.get_or_insert_with(|| {
                    format!("its opening panicked when it was dropped{}", panicked.detail()).into()
                });
            }
        }
        let within = Within::Nothing;
        Ended {
            transport: line.into_transport(),
            reason,
            bug,
            last: None,
            job_out: false,
            other: None,
            relayed: false,
            asked,
            within,
        }
    }

    /// Returns the socket of a complete opening.
    pub(crate) fn into_opened(self) -> Opened<T> {
        transitions::check(self.state.name(), Phase::Conversing);
        xray::record(|| What::Phase(Phase::Conversing, ""));
        self.opened
    }

    /// Makes one visit. Rule 5: it ends when its budget is used up.
    pub(crate) fn drive(&mut self, visit: &mut Visit<'_>) -> Visited {
        let mut asked = false;
        while !self.is_closed() {
            let status = self.advance(visit);
            match self.state {
                State::Closed(_) => {}
                State::Sending if self.outbox.is_empty() => return Visited::Complete,
                State::Connecting | State::Opening if visit.stopping => self.close(CloseReason::Shutdown),
                // Rule 8: every connection has a deadline, also before it has a protocol.
                // What has arrived is read first, in later visits if this one may not: it may complete the opening.
                _ if self.until > visit.now || status == Status::Again => {
                    return Visited::Left(Left { status, deadline: self.until });
                }
                // Rule 8: a delayed loop must not count against the peer, so the socket is asked once more.
                _ if !mem::replace(&mut asked, true) => self.opened.line.ask_again(),
                _ => self.close(CloseReason::OpeningTimeout),
            }
        }
        Visited::Left(Left { status: Status::Closed, deadline: Time::NEVER })
    }

    /// Sends, connects, reads and calls the opener, until nothing more can be done.
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

    /// Sends pending output until the kernel takes no more.
    fn flush(&mut self, visit: &mut Visit<'_>) {
        let pending = self.outbox.len();
        let flushed = self.opened.line.flush(&mut self.outbox);
        visit.stats.sent_bytes += (pending - self.outbox.len()) as u64;
        if let Err(error) = flushed {
            self.outbox.clear();
            self.close(CloseReason::Transport(error.kind()));
        }
    }

    /// Rule 6: a full outbox stops reading, here as well.
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

    /// Reads once, and passes everything received to the opener.
    fn read(&mut self, visit: &mut Visit<'_>) {
        // No more than a conversation reads at a time: what follows the opening goes to the protocol at once.
        let most = READ_BYTES.min(visit.budget.bytes());
        match self.opened.line.read(&mut visit.read_buffer[..most]) {
            Attempt::Done(0) => self.left(CloseReason::Eof),
            Attempt::Done(count) => {
                visit.budget.take_bytes(count);
                visit.charge(count as u32);
                visit.stats.received_bytes += count as u64;
                self.opened.received.extend_from_slice(&visit.read_buffer[..count]);
                self.ask(visit, |opener, received, out| opener.on_received(received, out));
            }
            Attempt::WouldBlock => {}
            Attempt::Failed(error) => self.left(CloseReason::Transport(error.kind())),
        }
    }

    /// Closes the opening, because the peer has left.
    fn left(&mut self, reason: CloseReason) {
        let was_silent = self.opened.received.is_empty();
        self.close(if was_silent && self.is_probe { CloseReason::Refused(PROBE) } else { reason });
    }

    /// Calls the opener. The first call makes it; it is dropped when the opening is complete or refused.
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
            let (goes_on, is_probe) = (matches!(progress, Progress::More), opener.is_probe());
            Ok((goes_on.then_some(opener), progress, is_probe))
        });
        match asked {
            Ok(Ok((opener, progress, is_probe))) => {
                self.opener = opener;
                self.is_probe = is_probe;
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

    /// Does what the opener decided.
    fn note(&mut self, progress: Progress) {
        match progress {
            Progress::More if self.opened.received.len() <= OPENING_BYTES_MAX => {}
            Progress::More => self.close(CloseReason::Refused("too long")),
            Progress::Done { consumed, peer, layer } => {
                self.opened.received.drain(..consumed.min(self.opened.received.len()));
                if let Some(peer) = &peer {
                    let proxy = mem::replace(&mut self.opened.peer, PackedPeer::from(peer));
                    self.proxy = Some(proxy);
                    xray::record(|| What::Announced { peer: peer.into() });
                }
                self.opened.layer = layer;
                self.enter(State::Sending);
            }
        }
    }

    /// Closes the opening, unless it is closed: the first reason counts.
    fn close(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            self.enter(State::Closed(reason));
        }
    }

    /// Changes the phase.
    fn enter(&mut self, state: State) {
        transitions::check(self.state.name(), state.name());
        self.state = state;
        let why = if let State::Closed(reason) = state { reason.text() } else { "" };
        xray::record(|| What::Phase(state.name(), why));
    }
}
