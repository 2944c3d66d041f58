//! What the driver drives in a conversation: the opening, if there is one, and then the connection.

use super::script::Script;
use super::wire::Wire;
use crate::budget::Class;
use crate::bulk::Buffers;
use crate::connection::opening::{Opened, Opening, Visited};
use crate::connection::{Claim, Connection, Ended, Took};
use crate::job::Outcome;
use crate::limits::Limits;
use crate::messages::Parcel;
use crate::notice::Readiness;
use crate::panics::Panicked;
use crate::protocol::{CloseReason, StreamProtocol};
use crate::time::Time;
use crate::visit::{Left, Status, Visit};

pub(super) enum Stage {
    /// The opening, and the protocol that starts when it is complete.
    Opening(Box<Opening<Wire>>, Box<dyn StreamProtocol>),
    Connection(Connection<Wire>),
}

impl Stage {
    pub(super) fn new(wire: Wire, protocol: Box<dyn StreamProtocol>, script: &Script, now: Time) -> Self {
        let Some(opens) = script.opens else {
            let opened =
                Opened::at_once(wire, &script.peer).with(&script.received).through(script.layer.map(|layer| layer()));
            return Self::Connection(Connection::new(opened, protocol, &script.limits, now));
        };
        let make = if script.connect.is_some() { Opening::connecting } else { Opening::new };
        Self::Opening(Box::new(make(wire, &script.peer, opens, now)), protocol)
    }

    /// Makes the connection once the opening is complete.
    pub(super) fn complete(self, limits: &Limits, now: Time) -> Self {
        match self {
            Self::Opening(opening, protocol) => {
                Self::Connection(Connection::new(opening.into_opened(), protocol, limits, now))
            }
            connection @ Self::Connection(_) => connection,
        }
    }

    /// Calls `on_open` of the protocol, if the opening is complete.
    pub(super) fn greet(&mut self, visit: &mut Visit<'_>) -> Visited {
        if let Self::Connection(connection) = self {
            connection.open(visit);
        }
        Visited::Left(Left { status: Status::Again, deadline: Time::NEVER })
    }

    pub(super) fn drive(&mut self, visit: &mut Visit<'_>) -> Visited {
        match self {
            Self::Opening(opening, _) => opening.drive(visit),
            Self::Connection(connection) => Visited::Left(connection.drive(visit)),
        }
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Opening(..) => Class::Quiet,
            Self::Connection(connection) => connection.class(),
        }
    }

    pub(super) fn deadline(&self, limits: &Limits) -> Time {
        match self {
            Self::Opening(opening, _) => opening.deadline(),
            Self::Connection(connection) => connection.deadline(limits),
        }
    }

    pub(super) fn pending_bytes(&self) -> usize {
        match self {
            Self::Opening(opening, _) => opening.pending_bytes(),
            Self::Connection(connection) => connection.pending_bytes(),
        }
    }

    /// Checks the rules of waiting.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn check_waiting(&self) -> Result<(), &'static str> {
        match self {
            Self::Opening(opening, _) => opening.check_waiting(false, opening.deadline()),
            Self::Connection(connection) => connection.check_waiting(false),
        }
    }

    /// Whether a worker has the pipe of an upload.
    pub(super) fn has_pipe_away(&self) -> bool {
        matches!(self, Self::Connection(connection) if connection.has_pipe_away())
    }

    pub(super) fn claim(&self) -> Claim {
        match self {
            Self::Opening(opening, _) => opening.claim(),
            Self::Connection(connection) => connection.claim(),
        }
    }

    pub(super) fn note_ready(&mut self, readiness: Readiness) {
        match self {
            Self::Opening(opening, _) => opening.note_ready(readiness),
            Self::Connection(connection) => connection.note_ready(readiness),
        }
    }

    pub(super) fn note_done(&mut self, result: Result<Outcome, Panicked>, now: Time, buffers: &mut Buffers) {
        if let Self::Connection(connection) = self {
            connection.note_done(result, now, buffers);
        }
    }

    pub(super) fn note_refused(&mut self, now: Time, buffers: &mut Buffers) {
        if let Self::Connection(connection) = self {
            connection.note_refused(now, buffers);
        }
    }

    pub(super) fn cut(&mut self, buffers: &mut Buffers) {
        match self {
            Self::Opening(opening, _) => opening.cut(CloseReason::Shutdown, None),
            Self::Connection(connection) => connection.cut(CloseReason::Shutdown, buffers),
        }
    }

    pub(super) fn ask_to_close(&mut self, now: Time) {
        match self {
            Self::Opening(opening, _) => opening.cut(CloseReason::Asked, None),
            Self::Connection(connection) => connection.ask_to_close(now),
        }
    }

    pub(super) fn take(&mut self, parcel: Parcel<'_>, is_queued: bool, limits: &Limits) -> Took {
        match (self, parcel) {
            (Self::Opening(..), _) => Took::Gone,
            (Self::Connection(connection), Parcel::Post(post)) => connection.take_post(post),
            (Self::Connection(connection), Parcel::Cast(bytes, when_full)) => {
                connection.take_cast(bytes, when_full, is_queued, limits)
            }
        }
    }

    pub(super) fn end(self) -> Ended<Wire> {
        match self {
            Self::Opening(opening, _) => opening.end(),
            Self::Connection(connection) => connection.end(),
        }
    }
}
