use std::io::{Read, Write};
use std::mem;
use std::rc::Rc;
use std::time::Instant;

use crate::client::if_ready::if_ready;
use crate::engine::{Context, News, User, Visit};
use crate::lines::{Line, Said, Splitter, TooLong, name};
use crate::link::{Link, SHORT_READ_DRAINS};
use crate::printable::printable;
use crate::room::Room;
use crate::tally::{Fault, Kind, Tally};

/// Bytes that a line of the server may have beside what a member has said.
const OTHER_BYTES_MAX: usize = 256;

/// A member of a chat that reads, and perhaps says lines. It checks that it gets every line of the others once, those of each
/// sender in their order, unless the server says how many it has missed.
///
/// A member that loses its connection stays out: it could not know which lines it should get.
pub(crate) struct Member {
    link: Link,
    room: Rc<Room>,
    index: usize,
    /// Lines that it has said and that were not refused.
    own: u64,
    /// The number of its next line. A line that was refused keeps its number, because later lines may have been heard.
    number: u64,
    /// Lines that it got, or that the server says it has missed.
    settled: u64,
    /// For each sender, the number of the line that may come next.
    next: Vec<u32>,
    /// The line that is still to be written, and how many of its bytes are.
    line: Vec<u8>,
    written: usize,
    splitter: Splitter,
    /// When the last line came.
    moved_at: Instant,
    has_gone: bool,
}

impl From<TooLong> for Fault {
    fn from(_: TooLong) -> Self {
        Self::new(Kind::Wrong, "a line without an end came")
    }
}

impl Member {
    /// A member that is connected, and that will say its name.
    pub(crate) fn new(link: Link, room: &Rc<Room>, index: usize) -> Self {
        Self {
            link,
            room: Rc::clone(room),
            index,
            own: 0,
            number: 0,
            settled: 0,
            next: vec![0; room.senders],
            line: format!("{}\n", name(&room.prefix, index)).into_bytes(),
            written: 0,
            splitter: Splitter::default(),
            moved_at: Instant::now(),
            has_gone: false,
        }
    }

    /// Says its name, and reads what has come. Calls `each` with every line, before the clock of the run starts.
    pub(crate) fn enter(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(Line<'_>, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.write()?;
        let prefix = &self.room.prefix;
        while let Some(stream) = self.link.stream() {
            let length = match if_ready(|| stream.read(buffer))? {
                None => break,
                Some(0) => return Err(Fault::closed()),
                Some(length) => length,
            };
            let longest = self.room.size + OTHER_BYTES_MAX;
            self.splitter.split(&buffer[..length], longest, |line| each(Line::read(prefix, line), line))?;
        }
        Ok(())
    }

    fn is_sender(&self) -> bool {
        self.index < self.room.senders
    }

    /// The lines that it should have got and has not.
    fn owed(&self) -> u64 {
        if self.has_gone { 0 } else { self.room.said().saturating_sub(self.own + self.settled) }
    }

    fn converse(&mut self, news: News, cx: &mut Context) -> Result<(), Fault> {
        if news.is_readable {
            self.hear(news.is_in_doubt, cx)?;
        }
        self.say(cx);
        self.write()
    }

    fn hear(&mut self, is_in_doubt: bool, cx: &mut Context) -> Result<(), Fault> {
        while let Some(stream) = self.link.stream() {
            let length = match if_ready(|| stream.read(&mut cx.buffer))? {
                None => return Ok(()),
                Some(0) => return Err(Fault::closed()),
                Some(length) => length,
            };
            // A line may have been said after the clock was read for this batch of events.
            self.moved_at = Instant::now();
            let mut splitter = mem::take(&mut self.splitter);
            let longest = self.room.size + OTHER_BYTES_MAX;
            let split = splitter.split(&cx.buffer[..length], longest, |line| self.take(line, &mut cx.tally));
            self.splitter = splitter;
            split?;
            while let Some(sender) = self.room.released() {
                cx.woken.push_back(sender);
            }
            if length < cx.buffer.len() && SHORT_READ_DRAINS && !is_in_doubt {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8], tally: &mut Tally) -> Result<(), Fault> {
        let wrong =
            |why: &str| Err(Fault::new(Kind::Wrong, format!("{why}: {}", printable(&line[..line.len().min(60)]))));
        match Line::read(&self.room.prefix, line) {
            Line::Said { sender, text } => {
                let said = Said::read(sender, self.room.size, text).filter(|_| sender != self.index);
                let due = said.and_then(|said| self.room.moment(said.due)).filter(|due| *due <= self.moved_at);
                let (Some(said), Some(due), Some(next)) = (said, due, self.next.get_mut(sender)) else {
                    return wrong("no sender said this to it");
                };
                if said.number < u64::from(*next) {
                    return wrong("a line came twice, or after a later one");
                }
                // Lines in between have been missed. The server has to say how many.
                *next = said.number as u32 + 1;
                self.settle(1)?;
                tally.answered(self.link.target(), due, self.moved_at);
            }
            Line::Missed(count) => {
                self.settle(count)?;
                tally.missed += count;
            }
            Line::Refused if self.own > 0 => {
                self.take_back();
                tally.failed(
                    self.link.target(),
                    &Fault::new(Kind::Refused, format!("the server answered: {}", printable(line))),
                    1,
                );
            }
            Line::Entered(_) | Line::News => {}
            Line::Refused | Line::Other => {
                return Err(Fault::new(
                    Kind::Unasked,
                    format!("the server sent: {}", printable(&line[..line.len().min(60)])),
                ));
            }
        }
        Ok(())
    }

    fn settle(&mut self, count: u64) -> Result<(), Fault> {
        if count > self.owed() {
            return Err(Fault::new(Kind::Wrong, "more lines came, or were missed, than were said"));
        }
        self.settled += count;
        self.room.settle(count);
        Ok(())
    }

    /// Says a line if one is due.
    fn say(&mut self, cx: &mut Context) {
        if !self.is_sender() || !self.link.is_open() || !self.line.is_empty() {
            return;
        }
        if !self.room.has_room() {
            self.room.wait(self.index);
            return;
        }
        let now = Instant::now();
        let Some(due) = cx.pace.take(now) else { return };
        let said = Said { sender: self.index, number: self.number, due: self.room.time(due) };
        said.write(self.room.size, &mut self.line);
        self.number += 1;
        self.own += 1;
        self.room.say(now);
        cx.tally.said(due);
    }

    fn write(&mut self) -> Result<(), Fault> {
        let Some(stream) = self.link.stream() else { return Ok(()) };
        while self.written < self.line.len() {
            match if_ready(|| stream.write(&self.line[self.written..]))? {
                Some(written) => self.written += written,
                None => return Ok(()),
            }
        }
        self.line.clear();
        self.written = 0;
        Ok(())
    }

    /// Notes that a line of this member reaches no member.
    fn take_back(&mut self) {
        self.own -= 1;
        self.room.take_back();
    }

    /// The member has left, and every line that it should have got is an error.
    fn fail(&mut self, fault: &Fault, cx: &mut Context) {
        if !self.line.is_empty() {
            self.line.clear();
            self.take_back();
        }
        let owed = self.owed();
        cx.tally.failed(self.link.target(), fault, owed.max(1));
        self.has_gone = true;
        self.room.leave(owed);
        self.link.reset();
    }
}

impl User for Member {
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit {
        if !self.has_gone
            && let Err(fault) = self.converse(news, cx)
        {
            self.fail(&fault, cx);
        }
        Visit::Done
    }

    fn tick(&mut self, cx: &mut Context) -> Visit {
        let since = self.moved_at.max(self.room.said_at());
        if self.is_waiting() && cx.now.saturating_duration_since(since) > cx.timeout {
            let text = format!("{} lines did not come, and the server has not said that they were missed", self.owed());
            self.fail(&Fault::new(Kind::Lost, text), cx);
        }
        Visit::Done
    }

    fn has_room(&self) -> bool {
        self.is_sender() && self.link.is_open() && self.line.is_empty() && !self.room.waits(self.index)
    }

    fn is_waiting(&self) -> bool {
        self.owed() > 0
    }
}
