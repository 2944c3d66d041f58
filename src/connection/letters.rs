//! Messages of other connections and threads: a cast goes to the output, a post waits for the protocol.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Connection, Phase};
use crate::kernel::Transport;
use crate::limits::Limits;
use crate::messages::{Message, WhenFull, counted};
use crate::protocol::Event;
use crate::visit::Visit;

/// What a connection has been sent and has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// The messages, in order.
    queue: VecDeque<Letter>,
    /// The bytes by which the casts among them are counted.
    pub(super) cast_bytes: usize,
    /// Messages to groups that the connection had no room for.
    missed: u64,
    /// The connection is to be reset, because it had no room for a message.
    too_slow: bool,
}

/// One message.
#[derive(Debug)]
enum Letter {
    /// For the protocol.
    Post(Message),
    /// For the output, while the protocol is in the middle of a job or an answer.
    Cast(Arc<[u8]>),
}

impl Letter {
    /// Returns the bytes by which a message for the protocol is counted; 0 for one to a group.
    fn waiting(&self) -> usize {
        match self {
            Self::Post(message) => message.payload.counted(),
            Self::Cast(_) => 0,
        }
    }
}

/// What a connection did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    /// It is in the output, or will be.
    Taken,
    /// There was no room.
    Missed,
    /// There was no room, and the connection is to be reset for it.
    TooSlow,
    /// There is no room before the visit that is coming, in which the kernel may take the output.
    Later,
    /// The connection is closing.
    Gone,
}

impl<T: Transport> Connection<T> {
    /// Takes a message for the protocol, unless the connection is closing. The exchange has checked that there is room.
    pub(crate) fn take_post(&mut self, post: &mut Option<Message>) -> Took {
        if !self.takes_messages() {
            return Took::Gone;
        }
        self.letters().queue.extend(post.take().map(Letter::Post));
        Took::Taken
    }

    /// Takes a message to a group, if the pending output leaves room for it. `is_queued`: the connection is to be visited.
    pub(crate) fn take_cast(
        &mut self,
        bytes: &Arc<[u8]>,
        when_full: WhenFull,
        is_queued: bool,
        limits: &Limits,
    ) -> Took {
        if !self.takes_messages() {
            return Took::Gone;
        }
        if self.pending_bytes() + bytes.len() > limits.max_pending_output {
            // The messages of one turn alone do not make a peer a slow reader.
            if is_queued && self.line.is_writable() && (self.is_open() || self.has_answer()) {
                return Took::Later;
            }
            return match when_full {
                WhenFull::Skip => {
                    self.letters().missed += 1;
                    Took::Missed
                }
                WhenFull::Close => {
                    self.letters().too_slow = true;
                    Took::TooSlow
                }
            };
        }
        // Between two calls of the protocol the bytes may go straight to the output, which the next visit sends.
        let straight = self.is_open() && !self.is_layered();
        let held = self.held();
        if straight && held.letters.as_ref().is_none_or(|letters| letters.queue.is_empty()) {
            held.outbox.extend_from_slice(bytes);
        } else {
            let letters = held.letters.get_or_insert_default();
            letters.cast_bytes += counted(bytes);
            letters.queue.push_back(Letter::Cast(Arc::clone(bytes)));
        }
        Took::Taken
    }

    /// Returns the bytes of the messages that wait for the protocol.
    pub(crate) fn waiting_posts(&self) -> usize {
        let letters = self.held.as_ref().and_then(|held| held.letters.as_ref());
        letters.map_or(0, |letters| letters.queue.iter().map(Letter::waiting).sum())
    }

    /// Whether the protocol is called again, so that a message reaches it or its peer.
    pub(crate) fn takes_messages(&self) -> bool {
        let letters = self.held.as_ref().and_then(|held| held.letters.as_ref());
        self.listens()
            && !matches!(self.phase(), Some(Phase::Relaying(_)))
            && !letters.is_some_and(|letters| letters.too_slow)
    }

    /// Returns the letters, allocated if there are none.
    fn letters(&mut self) -> &mut Letters {
        self.held().letters.get_or_insert_default()
    }

    /// Drops the letters when the conversation ends: no message reaches the connection any more.
    pub(super) fn drop_letters(&mut self, visit: &Visit<'_>) {
        if let Some(held) = &mut self.held {
            held.letters = None;
        }
        visit.place.site.exchange.forget(visit.place.id);
    }

    /// Delivers letters while the protocol is in conversation and there is room, as many as the visit has time for.
    #[cold]
    pub(super) fn open_letters(&mut self, visit: &mut Visit<'_>) {
        let mut reached = 0;
        while self.is_open() && !self.is_full(visit) {
            let Some(letters) = self.held.as_mut().and_then(|held| held.letters.as_mut()) else { break };
            match letters.queue.pop_front() {
                Some(Letter::Post(message)) => {
                    reached += message.payload.counted();
                    self.notify(Event::Message(message), visit);
                }
                Some(Letter::Cast(bytes)) => {
                    letters.cast_bytes -= counted(&bytes);
                    let before = visit.outbox.len();
                    visit.outbox.extend_from_slice(&bytes);
                    if self.is_layered() {
                        self.seal(before, visit);
                    }
                }
                None => {
                    let missed = letters.missed;
                    self.held().letters = None;
                    if missed > 0 {
                        self.notify(Event::Missed(missed), visit);
                    }
                    break;
                }
            }
            if visit.budget.is_spent() {
                break;
            }
        }
        if reached > 0 {
            visit.place.site.exchange.note_delivered(visit.place.id, reached);
        }
    }
}
