//! What a connection holds between two visits if it is in the middle of something. Rule 11: an idle connection holds nothing
//! of this.

use std::any::Any;
use std::mem;

use super::Connection;
use super::layer::Layered;
use super::letters::Letters;
use super::phase::Phase;
use super::taking::Taking;
use crate::kernel::Transport;
use crate::limits::{KEPT_OUTBOX_BYTES_MAX, Limits, RELIEF_EVERY};
use crate::outbox::Outbox;
use crate::protocol::{ConnectionId, Within};
use crate::time::Time;
use crate::visit::Visit;
use crate::xray::{self, What};

/// The state of a busy connection. [`Time::NEVER`] means that a time is not set.
pub(super) struct Held {
    /// Bytes received and not consumed.
    pub(super) input: Vec<u8>,
    /// Bytes not sent yet.
    pub(super) outbox: Outbox,
    /// Unsent output has reached the limit: reading from the peer is paused.
    pub(super) full: bool,
    /// How fast the peer takes pending output.
    pub(super) taking: Taking,
    /// When a write first returned `WouldBlock` after the last edge.
    pub(super) blocked: Time,
    /// When the first byte of the current request came.
    pub(super) request: Time,
    /// When silence is reported to the protocol.
    pub(super) quiet: Time,
    /// When the timer of the protocol fires.
    pub(super) timer: Time,
    /// When `lifetime` expires.
    pub(super) lifetime: Time,
    /// The phase, unless it is conversation.
    pub(super) phase: Option<Box<Phase>>,
    /// The socket that connects for this connection; the new connection until this one has had the answer; in the new connection,
    /// the one that asked, as long; or the other half of its relay.
    pub(super) other: Option<ConnectionId>,
    /// The connection was joined with `other`.
    pub(super) relayed: bool,
    /// The layer between the socket and the protocol.
    pub(super) layered: Option<Box<Layered>>,
    /// What must be dropped on a worker after the connection has closed.
    pub(super) remains: Option<Box<dyn Any + Send>>,
    /// Messages of other connections and threads.
    pub(super) letters: Option<Box<Letters>>,
    /// When [`Handle::close`](crate::Handle::close) asked to close the connection.
    pub(super) asked_to_close: Time,
    /// A bug for the log, written when the connection closes.
    pub(super) bug: Option<Box<str>>,
}

impl Held {
    /// The state of an idle connection.
    const NOTHING: Self = Self {
        input: Vec::new(),
        outbox: Outbox::new(),
        full: false,
        taking: Taking::NOTHING,
        blocked: Time::NEVER,
        request: Time::NEVER,
        quiet: Time::NEVER,
        timer: Time::NEVER,
        lifetime: Time::NEVER,
        phase: None,
        other: None,
        relayed: false,
        layered: None,
        remains: None,
        letters: None,
        asked_to_close: Time::NEVER,
        bug: None,
    };

    /// Returns since when a letter is due: [`Time::NEVER`] if there is none, and otherwise at once.
    pub(super) fn letters_due(&self) -> Time {
        if self.letters.is_some() { Time::ORIGIN } else { Time::NEVER }
    }

    /// Whether the connection is idle, so that this state can be freed.
    pub(super) fn is_nothing(&self) -> bool {
        let times = [self.request, self.quiet, self.timer, self.lifetime, self.asked_to_close];
        let waits = self.letters.is_some() || times.iter().any(|at| *at != Time::NEVER);
        let holds_nothing = self.input.is_empty() && self.outbox.is_empty() && self.phase.is_none();
        !waits && holds_nothing && self.layered.is_none() && self.remains.is_none() && self.bug.is_none()
    }
}

/// The pending output, during a visit or between two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// Whether there is any.
    pub(super) any: bool,
    /// Whether it has reached the limit.
    pub(super) full: bool,
    /// When to check whether the peer takes it.
    pub(super) due: Time,
    /// When the peer has used up its time.
    pub(super) until: Time,
}

impl Pending {
    /// No output is pending.
    const NONE: Self = Self { any: false, full: false, due: Time::NEVER, until: Time::NEVER };
}

impl<T: Transport> Connection<T> {
    /// Returns the state of a busy connection, allocated if there is none.
    pub(super) fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_with(|| Box::new(Held::NOTHING))
    }

    /// Takes the unconsumed input. The caller puts back what remains.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        self.held.as_mut().map(|held| mem::take(&mut held.input)).unwrap_or_default()
    }

    /// Returns the unconsumed input.
    pub(super) fn input(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |held| &held.input)
    }

    /// Returns the number of bytes pending between visits, those of messages to groups included.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.held
            .as_ref()
            .map_or(0, |held| held.outbox.len() + held.letters.as_ref().map_or(0, |letters| letters.cast_bytes))
    }

    /// Begins a visit: moves pending output to the front of the loop's outbox.
    pub(super) fn unstow(&mut self, visit: &mut Visit<'_>) {
        debug_assert!(visit.outbox.is_empty(), "output of another connection");
        visit.written = 0;
        let Some(held) = &mut self.held else { return };
        if !held.outbox.is_empty() {
            mem::swap(&mut held.outbox, visit.outbox);
            if self.line.is_writable() {
                held.blocked = Time::NEVER;
            }
        }
        if held.letters.is_some() {
            self.open_letters(visit);
        }
    }

    /// Ends a visit: keeps what could not be sent, and leaves the loop's outbox empty for the next connection. Little output
    /// is copied, so that the large buffer stays with the loop.
    pub(super) fn stow(&mut self, visit: &mut Visit<'_>) {
        if !visit.outbox.is_empty() {
            self.note_full(self.is_full(visit), visit);
            self.note_taking(visit);
            let held = self.held();
            held.blocked = held.blocked.min(visit.now);
            held.outbox = Outbox::new();
            if visit.outbox.capacity() / 2 > visit.outbox.len() {
                held.outbox.extend_from_slice(visit.outbox.pending());
                visit.outbox.clear();
            } else {
                mem::swap(&mut held.outbox, visit.outbox);
                held.outbox.trim();
            }
        } else if self.held.is_some() {
            self.note_full(false, visit);
            let held = self.held();
            held.outbox = Outbox::new();
            held.taking = Taking::NOTHING;
            held.blocked = Time::NEVER;
            if held.is_nothing() {
                self.held = None;
            }
        }
        // Rule 11: the loop's outbox is empty between visits, and an idle connection holds none.
        if visit.outbox.capacity() > KEPT_OUTBOX_BYTES_MAX {
            *visit.outbox = Outbox::new();
        }
    }

    /// Rule 6: whether so many bytes are pending that reading pauses until the peer takes some.
    pub(super) fn is_full(&self, visit: &Visit<'_>) -> bool {
        visit.outbox.len() >= if visit.pressed { 1 } else { visit.limits.max_pending_output }
    }

    /// Whether reading is paused between two visits, as [`note_full`](Self::note_full) has noted.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.full)
    }

    /// Notes whether pending output has reached the limit.
    pub(super) fn note_full(&mut self, full: bool, visit: &mut Visit<'_>) {
        if self.is_held_back() != full {
            self.held().full = full;
            let times = &mut visit.stats.held_back;
            *if full { &mut times.0 } else { &mut times.1 } += 1;
            let pending = visit.outbox.len() as u32;
            xray::record(|| if full { What::Full { pending } } else { What::Relieved { pending } });
        }
    }

    /// Returns the pending output during a visit.
    #[inline]
    pub(super) fn pending(&self, visit: &Visit<'_>) -> Pending {
        if visit.outbox.is_empty() {
            return Pending::NONE;
        }
        let mut taking = self.held.as_ref().map_or(Taking::NOTHING, |held| held.taking);
        if !taking.has_begun() {
            // The kernel is asked before the deadline is chosen.
            taking.begin(None, visit.limits, visit.now);
        } else {
            taking.note(visit.written, visit.limits, visit.now);
        }
        Pending { any: true, full: self.is_full(visit), due: taking.due(), until: taking.until }
    }

    /// Returns the pending output between two visits.
    pub(super) fn pending_between_visits(&self) -> Pending {
        self.held.as_ref().map_or(Pending::NONE, |held| Pending {
            any: !held.outbox.is_empty(),
            full: held.full && !held.outbox.is_empty(),
            due: held.taking.due(),
            until: held.taking.until,
        })
    }

    /// Asks the kernel what the peer has acknowledged. Returns whether that is enough to go on.
    pub(super) fn acknowledges(&mut self, visit: &mut Visit<'_>) -> bool {
        self.note_taking(visit);
        let unacknowledged = self.line.unacknowledged();
        self.held().taking.look(unacknowledged, visit.limits, visit.now)
    }

    /// Notes that output is pending, and what the kernel took of it.
    pub(super) fn note_taking(&mut self, visit: &mut Visit<'_>) {
        let written = mem::take(&mut visit.written);
        visit.charge(written as u32);
        if self.held().taking.has_begun() {
            self.held().taking.note(written, visit.limits, visit.now);
        } else {
            let unacknowledged = self.line.unacknowledged();
            self.held().taking.begin(unacknowledged, visit.limits, visit.now);
        }
    }

    /// Returns the rate in bytes per second at which the peer acknowledges pending output, and since when output is pending.
    /// `None` if nothing is pending, or not long enough.
    pub(crate) fn reading(&mut self, limits: &Limits, now: Time) -> Option<(u64, Time)> {
        if self.held.as_ref().is_none_or(|held| held.outbox.is_empty()) {
            return None;
        }
        let unacknowledged = self.line.unacknowledged();
        let taking = &mut self.held().taking;
        taking.look(unacknowledged, limits, now);
        (taking.since.after(RELIEF_EVERY) <= now).then(|| (taking.rate(now), taking.since))
    }

    /// Notes what the protocol is in the middle of, and when its request began.
    pub(super) fn enter(&mut self, within: Within, visit: &Visit<'_>) {
        if within == Within::Request && self.within != Within::Request {
            self.held().request = visit.now;
        } else if within != Within::Request
            && let Some(held) = &mut self.held
        {
            held.request = Time::NEVER;
        }
        self.within = within;
    }

    /// Keeps for the last job what may block when it is dropped. Rule 10: nothing waits on the loop's thread.
    pub(super) fn hold_remains(&mut self, remains: Option<Box<dyn Any + Send>>) {
        if remains.is_some() {
            self.held().remains = remains;
        }
    }

    /// Keeps a bug for the log: the first one, because it may have caused the others.
    pub(super) fn hold_bug(&mut self, bug: String) {
        self.held().bug.get_or_insert_with(|| bug.into());
    }

    /// Makes the next visit close the connection gracefully, once a job or an upload has ended.
    pub(crate) fn ask_to_close(&mut self, now: Time) {
        if self.listens() {
            self.held().asked_to_close = now;
        }
    }

    /// Sets the end of `lifetime`, if the limit is set.
    pub(super) fn hold_lifetime(&mut self, limits: &Limits, now: Time) {
        if let Some(lifetime) = limits.lifetime {
            self.held().lifetime = now.after(lifetime);
        }
    }
}
