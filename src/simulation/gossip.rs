//! A protocol only for simulations: its connections send messages to each other, as their clients command. All of them, and the
//! world, share a [`Ledger`], which knows what was accepted and checks what is delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::{
    CloseReason, ConnectionId, Context, Event, Job, Message, NotSent, Reply, Sender, Step, StreamProtocol, WhenFull,
    Within,
};

/// The groups of the listener, by the byte that commands them.
pub(super) const GROUPS: [&str; 3] = ["red", "green", "blue"];

/// The number of messages that a command to send many sends.
const MANY: usize = 20;

/// Bytes of a record without its padding: its kind, the number of the sender, the group, a number, the length of the padding.
pub(super) const RECORD_BYTES: usize = 10;

/// The sender of what another thread casts.
const OUTSIDE: u16 = u16::MAX;

/// One connection of the listener, or the other threads.
#[derive(Debug, Default)]
struct Member {
    /// `None` for the other threads.
    id: Option<ConnectionId>,
    ended: bool,
    /// Casts to each group that were accepted.
    casts: [u32; GROUPS.len()],
}

/// The message of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    number: u32,
    /// The number of the connection that it is for.
    to: u16,
}

/// A post that was accepted and has not been delivered.
#[derive(Debug)]
struct Promise {
    note: Note,
    /// The turn in which a connection sent it.
    turn: u64,
}

/// What was accepted and has not been delivered.
#[derive(Debug, Default)]
struct Book {
    turn: u64,
    /// Whether a command is being obeyed, so that no message may be delivered.
    obeys: bool,
    /// The connections by their numbers, those that have ended included.
    members: Vec<Member>,
    outside: Member,
    /// The number of the newest post.
    newest: u32,
    /// By sender and receiver. The sender of other threads is [`OUTSIDE`].
    promises: BTreeMap<(u16, u16), VecDeque<Promise>>,
    /// Connections that had not ended when a post for them was refused, since the last look.
    refused: Vec<ConnectionId>,
    seen: BTreeSet<&'static str>,
    wrong: Option<String>,
}

/// What all connections of the listener have sent each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the protocol of one connection.
    pub(super) fn protocol(&self) -> Gossip {
        Gossip { ledger: self.clone(), me: 0 }
    }

    /// Forgets the connections of a server that has lost its power.
    pub(super) fn restart(&self) {
        let mut book = self.book();
        *book = Book { seen: std::mem::take(&mut book.seen), ..Book::default() };
    }

    pub(super) fn begin_turn(&self) {
        self.book().turn += 1;
    }

    /// Takes what was seen for the first time since the last call.
    pub(super) fn take_seen(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.book().seen)
    }

    /// Takes the connections that had not ended when a post for them was refused. They must have been closing.
    pub(super) fn take_refused(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.book().refused)
    }

    /// Returns what was delivered wrongly, if anything was.
    pub(super) fn wrong(&self) -> Option<String> {
        self.book().wrong.clone()
    }

    /// Returns the connections that have not ended, and that posts have been accepted for and not been delivered to.
    pub(super) fn awaiting(&self) -> Vec<ConnectionId> {
        let book = self.book();
        let waits = |(_, to): &(u16, u16)| book.members.get(usize::from(*to)).and_then(|member| member.id);
        book.promises.keys().filter_map(waits).collect()
    }

    /// Sends a post or a cast as another thread does.
    pub(super) fn send_from_outside(&self, sender: &Sender, which: usize) {
        if which.is_multiple_of(2) {
            self.posts(OUTSIDE, which / 2, |id, note| sender.post(id, note.bytes()));
        } else {
            self.casts(OUTSIDE, which / 2, |group, record| sender.cast(group, record));
        }
    }

    /// Posts a note to the connection that `which` chooses, also to one that has ended.
    fn posts(&self, from: u16, which: usize, send: impl FnOnce(ConnectionId, Note) -> Result<(), NotSent>) {
        let (id, note) = {
            let mut book = self.book();
            let Some(to) = which.checked_rem(book.members.len()) else { return };
            let Some(id) = book.members[to].id else { return };
            book.newest += 1;
            (id, Note { number: book.newest, to: to as u16 })
        };
        let sent = send(id, note);
        let mut book = self.book();
        let ended = book.members[usize::from(note.to)].ended;
        match sent {
            Ok(()) if ended => book.fail(format!("{id} has ended, and a post for it was accepted")),
            Ok(()) => {
                let turn = book.turn;
                book.promises.entry((from, note.to)).or_default().push_back(Promise { note, turn });
            }
            Err(NotSent::Gone) if ended => drop(book.seen.insert("a post to a connection that has ended")),
            Err(NotSent::Gone) => {
                book.seen.insert("a post to a connection that is closing");
                book.refused.push(id);
            }
            Err(NotSent::Full | NotSent::TooLong) => drop(book.seen.insert("a message that was refused")),
        }
    }

    /// Casts a record to the group that `which` chooses.
    fn casts(&self, from: u16, which: usize, send: impl FnOnce(&str, &[u8]) -> Result<(), NotSent>) {
        let group = which % GROUPS.len();
        let number = self.book().member(from).casts[group] + 1;
        let padding = which % 5 * 40;
        if send(GROUPS[group], &record(b'c', from, group as u8, number, padding)).is_ok() {
            self.book().member(from).casts[group] = number;
        } else {
            self.book().seen.insert("a message that was refused");
        }
    }

    /// Checks a message that was delivered to connection `me`. Returns the number of its note.
    fn delivered(&self, me: u16, message: Message) -> u32 {
        let from = message.sender();
        let note = Note::read(message.bytes()).or_else(|| message.value().ok());
        let mut book = self.book();
        let is_sender = |member: &Member| member.id == from;
        let from =
            if from.is_some() { book.members.iter().rposition(is_sender).map(|at| at as u16) } else { Some(OUTSIDE) };
        let (Some(note), Some(from)) = (note, from) else {
            book.fail(format!("connection {me} got a message that was never sent"));
            return 0;
        };
        let queue = book.promises.entry((from, me)).or_default();
        let promise = queue.pop_front();
        if queue.is_empty() {
            book.promises.remove(&(from, me));
        }
        let turn = promise.as_ref().map_or(0, |promise| promise.turn);
        if book.obeys {
            book.fail(format!("connection {me} got {note:?} within a call of a protocol"));
        } else if note.to != me {
            book.fail(format!("connection {me} got {note:?}"));
        } else if promise.as_ref().map(|promise| promise.note) != Some(note) {
            book.fail(format!("connection {me} got {note:?} of {from} instead of {promise:?}"));
        } else if from != OUTSIDE && turn == book.turn {
            book.fail(format!("connection {me} got {note:?} in the turn in which it was sent"));
        }
        book.seen.insert(if from == OUTSIDE { "a post from another thread" } else { "a post" });
        note.number
    }
}

impl Book {
    fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    fn member(&mut self, number: u16) -> &mut Member {
        self.members.get_mut(usize::from(number)).unwrap_or(&mut self.outside)
    }
}

impl Note {
    fn bytes(self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &self.to.to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (number, to) = (bytes.get(..4)?.try_into().ok()?, bytes.get(4..6)?.try_into().ok()?);
        Some(Self { number: u32::from_be_bytes(number), to: u16::from_be_bytes(to) })
    }
}

/// Makes a record for a client.
fn record(kind: u8, sender: u16, group: u8, number: u32, padding: usize) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend(sender.to_be_bytes());
    record.push(group);
    record.extend(number.to_be_bytes());
    record.extend((padding as u16).to_be_bytes());
    record.extend(std::iter::repeat_n(number as u8, padding));
    record
}

/// Obeys commands of two bytes: what to do, and with which group or connection.
///
/// `j` and `J` join a group, `l` leaves it, `c` casts to it and `C` often; `p` posts bytes to a connection, `P` often, `v` a value, `w` from
/// a job; `s` posts to the connection itself. The client gets a record for each cast (`c`), each post (`p`), and for what was missed (`m`).
pub(super) struct Gossip {
    ledger: Ledger,
    /// The number of the connection in the ledger.
    me: u16,
}

impl StreamProtocol for Gossip {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let mut book = self.ledger.book();
        self.me = book.members.len() as u16;
        book.members.push(Member { id: Some(cx.id()), ..Member::default() });
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let [what, which, ..] = *input else { return Ok(Step::wait(Within::Request)) };
        self.ledger.book().obeys = true;
        let step = self.obey(what, usize::from(which), cx);
        self.ledger.book().obeys = false;
        Ok(step.consuming(2))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => return Ok(Step::finish()),
            Event::Message(message) => {
                let number = self.ledger.delivered(self.me, message);
                cx.out.extend_from_slice(&record(b'p', 0, 0, number, number as usize % 3 * 50));
            }
            Event::Missed(count) => {
                self.ledger.book().seen.insert("missed casts");
                cx.out.extend_from_slice(&record(b'm', 0, 0, count as u32, 0));
            }
            Event::Quiet | Event::Room | Event::Timer | Event::NoWorker | Event::NoRelay | Event::Closing => {}
        }
        Ok(Step::again(0))
    }

    fn on_close(&mut self, _: CloseReason) -> Option<Job> {
        let (me, mut book) = (self.me, self.ledger.book());
        book.member(me).ended = true;
        book.promises.retain(|(_, to), _| *to != me);
        None
    }
}

impl Gossip {
    fn obey(&self, what: u8, which: usize, cx: &mut Context<'_>) -> Step {
        let (ledger, me) = (&self.ledger, self.me);
        let group = GROUPS[which % GROUPS.len()];
        match what {
            b'j' | b'J' => {
                let when_full = if what == b'J' { WhenFull::Close } else { WhenFull::Skip };
                // Fewer groups than a connection may join, so only a listener that has ended refuses.
                let _ = cx.join(group, when_full);
            }
            b'l' => cx.leave(group),
            b'c' => ledger.casts(me, which, |group, record| cx.cast(group, record)),
            b'C' => {
                for _ in 0..MANY {
                    ledger.casts(me, which, |group, record| cx.cast(group, record));
                }
            }
            b'p' => ledger.posts(me, which, |id, note| cx.post(id, note.bytes())),
            b'P' => {
                for _ in 0..MANY {
                    ledger.posts(me, which, |id, note| cx.post(id, note.bytes()));
                }
            }
            b'v' => ledger.posts(me, which, |id, note| cx.post_value(id, note)),
            b's' => ledger.posts(me, usize::from(me), |id, note| cx.post(id, note.bytes())),
            b'w' => {
                let (ledger, sender) = (ledger.clone(), cx.sender());
                return Step::run(move || ledger.send_from_outside(&sender, which));
            }
            _ => {}
        }
        Step::again(0)
    }
}
