//! What all members of a chat share: who may say a line, and which lines have not come yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::process;
use std::time::{Duration, Instant};

use crate::options::Cli;

/// The room of a run. Every line goes to all members that read but its sender: each owes the count of those lines.
pub(crate) struct Room {
    /// The beginning of the names of its members, different for each run.
    pub(crate) prefix: String,
    /// How many of its members say lines: the first ones.
    pub(crate) senders: usize,
    /// Bytes of a line.
    pub(crate) size: usize,
    /// Lines that may be under way for each sender.
    pipeline: u64,
    made: Instant,
    /// Members that read and are there.
    readers: Cell<u64>,
    /// Lines that the senders have said.
    said: Cell<u64>,
    /// When the last one was.
    said_at: Cell<Instant>,
    /// Deliveries of them that have not come.
    owed: Cell<u64>,
    /// Senders that wait until fewer lines are under way, and whether each is among them.
    waiting: RefCell<VecDeque<usize>>,
    is_waiting: Vec<Cell<bool>>,
}

impl Room {
    pub(crate) fn new(cli: &Cli) -> Self {
        let now = Instant::now();
        let senders = cli.senders();
        Self {
            prefix: format!("load{:x}x", process::id()),
            senders,
            size: cli.size() as usize,
            pipeline: cli.pipeline.into(),
            made: now,
            readers: Cell::new(cli.readers() as u64),
            said: Cell::new(0),
            said_at: Cell::new(now),
            owed: Cell::new(0),
            waiting: RefCell::default(),
            is_waiting: vec![Cell::new(false); senders],
        }
    }

    /// Lines said so far.
    pub(crate) fn said(&self) -> u64 {
        self.said.get()
    }

    pub(crate) fn said_at(&self) -> Instant {
        self.said_at.get()
    }

    /// The time of a moment, as lines carry it.
    pub(crate) fn time(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.made).as_nanos() as u64
    }

    /// The moment of a time that a line carries; `None` if it is beyond all clocks.
    pub(crate) fn moment(&self, time: u64) -> Option<Instant> {
        self.made.checked_add(Duration::from_nanos(time))
    }

    /// Whether another line may be under way: `pipeline` for each sender, over the whole room.
    pub(crate) fn has_room(&self) -> bool {
        let receivers = self.receivers();
        receivers > 0 && self.owed.get() + receivers <= self.pipeline * self.senders as u64 * receivers
    }

    /// Notes that a sender waits until the room has room.
    pub(crate) fn wait(&self, sender: usize) {
        if !self.is_waiting[sender].replace(true) {
            self.waiting.borrow_mut().push_back(sender);
        }
    }

    /// Whether a sender waits.
    pub(crate) fn waits(&self, sender: usize) -> bool {
        self.is_waiting[sender].get()
    }

    /// Returns a sender that need not wait any longer.
    pub(crate) fn released(&self) -> Option<usize> {
        let sender = if self.has_room() { self.waiting.borrow_mut().pop_front()? } else { return None };
        self.is_waiting[sender].set(false);
        Some(sender)
    }

    /// Notes that a sender says a line.
    pub(crate) fn say(&self, now: Instant) {
        self.said.set(self.said.get() + 1);
        self.said_at.set(now);
        self.owed.set(self.owed.get() + self.receivers());
    }

    /// Notes that a line which was counted reaches no member.
    pub(crate) fn take_back(&self) {
        self.said.set(self.said.get().saturating_sub(1));
        self.settle(self.receivers());
    }

    /// Notes that a member has `count` lines more, or has learned that it does not get them.
    pub(crate) fn settle(&self, count: u64) {
        // A server may say what is not true, such as that it did not send a line on.
        self.owed.set(self.owed.get().saturating_sub(count));
    }

    /// Notes that a member that read has gone, with `owed` lines not delivered to it.
    pub(crate) fn leave(&self, owed: u64) {
        self.settle(owed);
        self.readers.set(self.receivers());
    }

    /// The members that get each line. Every sender reads, and does not get its own.
    fn receivers(&self) -> u64 {
        self.readers.get().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn lines_under_way_are_bounded_and_a_sender_that_waits_is_released() {
        let cli = Cli::parse_from("load chat :1 -c 7 --deaf 1 --senders 2 --pipeline 3".split(' '));
        let room = Room::new(&cli);
        for line in 0..6 {
            assert!(room.has_room(), "line {line} of 2 senders with 3 each");
            room.say(Instant::now());
        }
        assert!(!room.has_room());
        room.wait(1);
        room.wait(1);
        assert!(room.waits(1));
        room.settle(4);
        assert_eq!(room.released(), None, "the line is still under way to one of five receivers");
        room.settle(1);
        assert_eq!((room.released(), room.released(), room.waits(1)), (Some(1), None, false));
    }

    #[test]
    fn a_member_that_has_gone_is_owed_nothing() {
        let room = Room::new(&Cli::parse_from("load chat :1 -c 3".split(' ')));
        room.say(Instant::now());
        room.leave(1);
        room.settle(1);
        room.say(Instant::now());
        room.settle(1);
        room.leave(0);
        assert!(!room.has_room(), "none is left to read a line");
    }
}
