//! The exchange of a listener: messages that are under way, in the order in which they were sent.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::accounts::Accounts;
use super::groups::Groups;
use super::{COUNTED_BYTES_MIN, Message, NotSent, Payload, WhenFull, counted};
use crate::limits::{MESSAGES_BYTES_MAX, MESSAGES_MAX, MESSAGES_PER_SENDER_MAX};
use crate::token::ConnectionId;

/// Tells the loop that an exchange has messages. All exchanges of a loop share one.
pub(crate) struct Alarm {
    /// Whether an exchange may have messages.
    rung: AtomicBool,
    /// Wakes the loop from its wait.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Alarm {
    /// Makes an alarm that calls `wake` when another thread rings it.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { rung: AtomicBool::new(false), wake }
    }

    /// Whether an exchange may have messages, so that the loop must not sleep.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Stops the alarm, before the loop looks for messages.
    pub(crate) fn reset(&self) {
        self.rung.store(false, Ordering::Release);
    }

    /// Rings on the loop's thread, which looks at the alarm before it sleeps.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
    }

    /// Rings on another thread. The loop is woken once for any number of messages.
    fn ring_from_outside(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("rung", &self.is_rung()).finish_non_exhaustive()
    }
}

/// The messages of one listener that are under way, and the bounds of each connection. The loop and other threads hold its
/// lock only to append a message or to look one up, except that the loop holds it while it delivers.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Wakes the loop.
    alarm: Arc<Alarm>,
    /// Whether there are messages to deliver.
    waiting: AtomicBool,
    /// Whether a connection has an account.
    used: AtomicBool,
    /// Bytes that may wait for one connection: no more than for all.
    room: AtomicUsize,
    /// Everything else.
    state: Mutex<State>,
}

/// An exchange that a loop attends. When the loop drops it the exchange ends, and other threads' senders return
/// [`NotSent::Gone`].
#[derive(Debug)]
pub(crate) struct Attended(pub(super) Arc<Exchange>);

impl Attended {
    /// Makes the exchange of a listener. `room`: bytes that may wait for one connection.
    pub(crate) fn new(alarm: Arc<Alarm>, room: usize) -> Arc<Self> {
        Arc::new(Self(Arc::new(Exchange::new(alarm, room))))
    }

    /// Makes an exchange to which nothing can be sent, such as the exchange of a UDP socket.
    pub(crate) fn ended() -> Arc<Self> {
        let attended = Self::new(Arc::new(Alarm::new(Box::new(|| ()))), 0);
        attended.end();
        attended
    }
}

impl Deref for Attended {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.end();
    }
}

/// The state behind the lock.
#[derive(Debug, Default)]
struct State {
    /// The listener has ended: nothing can be sent.
    ended: bool,
    /// Messages that the loop has not delivered yet, the oldest first.
    letters: VecDeque<Letter>,
    /// Bytes of all messages from their sending until they reach a protocol or an output.
    bytes: usize,
    /// The number of the newest message.
    newest: u64,
    /// How many members of the group of the oldest message have been served.
    served: usize,
    /// A member has left since then, and another may have taken a place that was already served.
    moved: bool,
    /// The accounts of the connections.
    accounts: Accounts,
    /// The groups.
    groups: Groups,
}

/// One message that the loop has not delivered yet.
#[derive(Debug)]
struct Letter {
    /// Counted from 1.
    number: u64,
    /// The connection that sent it.
    from: Option<ConnectionId>,
    /// Its receivers.
    to: To,
}

/// The receivers of a message.
#[derive(Debug)]
enum To {
    /// One connection.
    One(ConnectionId, Payload),
    /// All members of a group but the sender. If the group has ended and another has its index, the members have joined
    /// later and do not get the message.
    Group(u32, Arc<[u8]>),
}

/// What is handed to one connection.
pub(crate) enum Parcel<'a> {
    /// A message for its protocol, which takes it out.
    Post(&'a mut Option<Message>),
    /// Bytes for its output.
    Cast(&'a Arc<[u8]>, WhenFull),
}

/// The answer of the loop to one parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Whether the connection has the message.
    pub(crate) taken: bool,
    /// Whether the message must be handed to it again in the next turn.
    pub(crate) again: bool,
    /// Whether the loop has time for another one.
    pub(crate) goes_on: bool,
}

impl Exchange {
    fn new(alarm: Arc<Alarm>, room: usize) -> Self {
        let room = AtomicUsize::new(room.min(MESSAGES_BYTES_MAX));
        Self { alarm, waiting: AtomicBool::new(false), used: AtomicBool::new(false), room, state: Mutex::default() }
    }

    /// Raises the bytes that may wait for one connection to `room`. Less is ignored, because more may be waiting already.
    pub(crate) fn widen(&self, room: usize) {
        self.room.fetch_max(room.min(MESSAGES_BYTES_MAX), Ordering::Relaxed);
    }

    /// Returns the bytes that may wait for one connection.
    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    /// Returns the bytes of posts that may wait for one connection, as they are counted: any one that is not too long fits.
    fn room_for_posts(&self) -> usize {
        self.room().max(COUNTED_BYTES_MIN)
    }

    /// Ends the exchange: nothing can be sent any more.
    fn end(&self) {
        let dropped = std::mem::replace(&mut *self.lock(), State { ended: true, ..State::default() });
        // Values of plug-ins are dropped without the lock.
        drop(dropped);
    }

    /// Opens the account of a connection, so that messages can be sent to it.
    pub(crate) fn admit(&self, id: ConnectionId) {
        let mut state = self.lock();
        if !state.ended {
            state.accounts.open(id);
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Sends a message to one connection. `from`: the sender; `None` for another thread.
    ///
    /// # Errors
    /// The message is dropped: [`NotSent`] says why.
    pub(crate) fn post(&self, from: Option<ConnectionId>, to: ConnectionId, payload: Payload) -> Result<(), NotSent> {
        let (is_too_long, bytes) = (payload.bytes().len() > self.room(), payload.counted());
        let mut state = self.lock();
        let account = state.accounts.get(to).ok_or(NotSent::Gone)?;
        if is_too_long {
            return Err(NotSent::TooLong);
        }
        if account.coming as usize + account.waiting as usize + bytes > self.room_for_posts() {
            return Err(NotSent::Full);
        }
        state.count(from, bytes)?;
        state.append(from, To::One(to, payload));
        if let Some(account) = state.accounts.get(to) {
            account.coming += bytes as u32;
        }
        self.announce(state, from);
        Ok(())
    }

    /// Sends bytes to all members of a group but the sender.
    ///
    /// # Errors
    /// As [`post`](Self::post). A group without members is not an error.
    pub(crate) fn cast(&self, from: Option<ConnectionId>, group: &str, bytes: &[u8]) -> Result<(), NotSent> {
        let is_too_long = bytes.len() > self.room();
        // Other senders do not wait for the copy.
        let copy = if is_too_long { Arc::default() } else { Arc::from(bytes) };
        let mut state = self.lock();
        if state.ended {
            return Err(NotSent::Gone);
        }
        if is_too_long {
            return Err(NotSent::TooLong);
        }
        let Some(group) = state.groups.find(group) else { return Ok(()) };
        state.count(from, counted(bytes))?;
        state.append(from, To::Group(group, copy));
        self.announce(state, from);
        Ok(())
    }

    /// Makes a connection a member of a group.
    ///
    /// # Errors
    /// A bound is reached, or the listener has ended.
    pub(crate) fn join(&self, id: ConnectionId, group: &str, when_full: WhenFull) -> Result<(), NotSent> {
        let state = &mut *self.lock();
        if state.ended {
            return Err(NotSent::Gone);
        }
        self.used.store(true, Ordering::Relaxed);
        state.groups.join(&mut state.accounts, id, group, when_full, state.newest)
    }

    /// Ends a membership, if the connection is a member.
    pub(crate) fn leave(&self, id: ConnectionId, group: &str) {
        let state = &mut *self.lock();
        state.moved = true;
        state.groups.leave(&mut state.accounts, id, group);
    }

    /// Notes that messages of `bytes` in all have reached the protocol of a connection.
    pub(crate) fn note_delivered(&self, id: ConnectionId, bytes: usize) {
        let mut state = self.lock();
        if let Some(account) = state.accounts.get(id) {
            account.waiting -= bytes as u32;
            state.bytes -= bytes;
        }
    }

    /// Closes the account of a connection that has ended. On the hot path of connections that come and go.
    #[inline]
    pub(crate) fn forget(&self, id: ConnectionId) {
        if self.used.load(Ordering::Relaxed) {
            self.close_account(id);
        }
    }

    #[cold]
    fn close_account(&self, id: ConnectionId) {
        let state = &mut *self.lock();
        let Some(account) = state.accounts.close(id) else { return };
        state.bytes -= account.waiting as usize;
        state.moved = true;
        for membership in account.memberships {
            state.groups.remove(&mut state.accounts, membership);
        }
    }

    /// Whether there are messages to deliver.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Hands out messages in order, until `hand` has no more time. Returns whether all have been handed out.
    pub(crate) fn deliver(&self, mut hand: impl FnMut(ConnectionId, Parcel<'_>) -> Handed) -> bool {
        // Values of plug-ins are dropped without the lock: their destructors may send messages.
        let mut gone = Vec::new();
        let state = &mut *self.lock();
        while let Some(letter) = state.letters.pop_front() {
            let from = letter.from;
            let goes_on = match letter.to {
                To::One(to, payload) => state.deliver_post(from, to, payload, &mut gone, &mut hand),
                To::Group(group, bytes) => match state.deliver_cast(letter.number, from, group, &bytes, &mut hand) {
                    Served::All { goes_on } => goes_on,
                    Served::Some => {
                        state.letters.push_front(Letter { to: To::Group(group, bytes), ..letter });
                        return false;
                    }
                },
            };
            if let Some(account) = from.and_then(|from| state.accounts.get(from)) {
                account.sent -= 1;
            }
            if !goes_on && !state.letters.is_empty() {
                return false;
            }
        }
        self.waiting.store(false, Ordering::Release);
        true
    }

    /// Checks the sums against what is under way. `waiting` returns the bytes of the posts that a connection holds for its protocol.
    /// Returns the bytes of all messages.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self, waiting: impl Fn(ConnectionId) -> usize) -> Result<usize, &'static str> {
        let state = &*self.lock();
        if !(state.letters.is_empty() || self.is_waiting() && self.alarm.is_rung()) {
            return Err("messages are to be delivered, and the loop does not know");
        }
        let mut bytes: usize = state.letters.iter().map(|letter| letter.to.counted()).sum();
        for (id, account) in state.accounts.iter() {
            let is_for = |letter: &&Letter| matches!(letter.to, To::One(to, _) if to == id);
            let coming: usize = state.letters.iter().filter(is_for).map(|letter| letter.to.counted()).sum();
            let sent = state.letters.iter().filter(|letter| letter.from == Some(id)).count();
            if account.coming as usize != coming || usize::from(account.sent) != sent {
                return Err("an account does not agree with the messages under way");
            }
            if account.waiting as usize != waiting(id) {
                return Err("an account does not agree with what its connection holds");
            }
            if coming + account.waiting as usize > self.room_for_posts() {
                return Err("more waits for a connection than max_pending_output");
            }
            bytes += account.waiting as usize;
        }
        if bytes == state.bytes { Ok(bytes) } else { Err("the bytes of all messages do not add up") }
    }

    /// Notes that there are messages, and rings the alarm.
    fn announce(&self, state: MutexGuard<'_, State>, from: Option<ConnectionId>) {
        self.waiting.store(true, Ordering::Release);
        drop(state);
        match from {
            Some(_) => self.alarm.ring(),
            None => self.alarm.ring_from_outside(),
        }
    }

    /// Locks the state. Nothing that can panic runs under the lock, so a poisoned lock protects a valid state too.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl To {
    /// Returns the bytes by which the message is counted.
    fn counted(&self) -> usize {
        match self {
            Self::One(_, payload) => payload.counted(),
            Self::Group(_, bytes) => counted(bytes),
        }
    }
}

impl State {
    /// Counts a message, if its sender and the exchange have room for it. The caller appends it.
    fn count(&mut self, from: Option<ConnectionId>, bytes: usize) -> Result<(), NotSent> {
        if self.letters.len() >= MESSAGES_MAX || bytes > MESSAGES_BYTES_MAX.saturating_sub(self.bytes) {
            return Err(NotSent::Full);
        }
        if let Some(from) = from {
            let account = self.accounts.open(from);
            if account.sent >= MESSAGES_PER_SENDER_MAX {
                return Err(NotSent::Full);
            }
            account.sent += 1;
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Appends a message that is counted.
    fn append(&mut self, from: Option<ConnectionId>, to: To) {
        self.newest += 1;
        self.letters.push_back(Letter { number: self.newest, from, to });
    }

    /// Hands a message to one connection; `gone` gets it if that does not take it. Returns whether the loop goes on.
    fn deliver_post(
        &mut self,
        from: Option<ConnectionId>,
        to: ConnectionId,
        payload: Payload,
        gone: &mut Vec<Message>,
        hand: &mut impl FnMut(ConnectionId, Parcel<'_>) -> Handed,
    ) -> bool {
        let bytes = payload.counted();
        let mut post = Some(Message::new(from, payload));
        let handed = hand(to, Parcel::Post(&mut post));
        gone.extend(post);
        match self.accounts.get(to) {
            Some(account) => {
                account.coming -= bytes as u32;
                if handed.taken {
                    account.waiting += bytes as u32;
                } else {
                    self.bytes -= bytes;
                }
            }
            None => self.bytes -= bytes,
        }
        handed.goes_on
    }

    /// Hands a message to the members of a group that have not seen it.
    fn deliver_cast(
        &mut self,
        number: u64,
        from: Option<ConnectionId>,
        group: u32,
        bytes: &Arc<[u8]>,
        hand: &mut impl FnMut(ConnectionId, Parcel<'_>) -> Handed,
    ) -> Served {
        let start = if std::mem::take(&mut self.moved) { 0 } else { std::mem::take(&mut self.served) };
        self.served = 0;
        let mut goes_on = true;
        if let Some(group) = self.groups.get(group) {
            let members = group.members.iter_mut().zip(&group.when_full).enumerate();
            for (place, (member, when_full)) in members.skip(start) {
                if member.seen >= number || from == Some(member.id) {
                    continue;
                }
                if !goes_on {
                    self.served = place;
                    return Served::Some;
                }
                let handed = hand(member.id, Parcel::Cast(bytes, *when_full));
                if handed.again {
                    self.served = place;
                    return Served::Some;
                }
                member.seen = number;
                goes_on = handed.goes_on;
            }
        }
        self.bytes -= counted(bytes);
        Served::All { goes_on }
    }
}

/// Which members have been handed a message.
enum Served {
    /// All of them. Says whether the loop has time for another message.
    All { goes_on: bool },
    /// Not all: the loop has no time, or one has no room before its next visit.
    Some,
}
