use std::collections::VecDeque;
use std::io::{Read, Write};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use crate::answers::{Answers, Cut, Heard};
use crate::client::if_ready::if_ready;
use crate::engine::{Context, News, User, Visit};
use crate::link::{Link, SHORT_READ_DRAINS};
use crate::options::Cli;
use crate::tally::{Fault, Kind, Tally};
use crate::tape::Tape;

/// A visit reads this number of bytes at most, and a buffer: an answer of raw may be longer than any.
const VISIT_BYTES_MAX: usize = 1024 * 1024;

/// A connection with requests and answers in order: of sum, uppercase and raw.
pub(crate) struct Exchange<A> {
    link: Link,
    tape: Rc<Tape>,
    window: usize,
    connects_each: bool,
    /// The variant to ask for next.
    next: usize,
    /// The part of the tape that is still to be written.
    unwritten: Range<usize>,
    /// The requests without an answer, oldest first.
    in_flight: VecDeque<Asked>,
    /// Their number.
    unanswered: usize,
    answers: A,
    /// When the last answer came, or when requests were in flight again.
    moved_at: Instant,
}

/// Requests that were due at one time.
struct Asked {
    due: Instant,
    count: usize,
}

impl<A: Answers> Exchange<A> {
    /// `first`: the variant to ask for first.
    pub(crate) fn new(cli: &Cli, link: Link, tape: &Rc<Tape>, first: usize, answers: A) -> Self {
        Self {
            link,
            tape: Rc::clone(tape),
            window: cli.pipeline as usize,
            connects_each: cli.connects_each(),
            next: first,
            unwritten: 0..0,
            in_flight: VecDeque::with_capacity(cli.pipeline as usize),
            unanswered: 0,
            answers,
            moved_at: Instant::now(),
        }
    }

    fn exchange(&mut self, news: News, cx: &mut Context) -> Result<Visit, Fault> {
        self.link.advance(cx)?;
        let visit = if news.is_readable { self.hear(news.is_in_doubt, cx)? } else { Visit::Done };
        self.ask(cx)?;
        self.write()?;
        Ok(visit)
    }

    fn hear(&mut self, is_in_doubt: bool, cx: &mut Context) -> Result<Visit, Fault> {
        let mut heard = 0;
        while let Some(stream) = self.link.stream() {
            let length = match if_ready(|| stream.read(&mut cx.buffer))? {
                None => return Ok(Visit::Done),
                Some(0) => return Err(Fault::closed()),
                Some(length) => length,
            };
            self.compare(&cx.buffer[..length], cx.now, &mut cx.tally)?;
            if length < cx.buffer.len() && SHORT_READ_DRAINS && !is_in_doubt {
                return Ok(Visit::Done);
            }
            heard += length;
            if heard >= VISIT_BYTES_MAX {
                return Ok(Visit::Again);
            }
        }
        Ok(Visit::Done)
    }

    fn compare(&mut self, mut chunk: &[u8], now: Instant, tally: &mut Tally) -> Result<(), Fault> {
        while !chunk.is_empty() {
            if self.unanswered == 0 {
                return Err(self.answers.unasked(chunk));
            }
            let bytes = match self.answers.hear(chunk, self.unanswered)? {
                Heard::Right { bytes, count } => {
                    self.settle(count, now, Some(tally));
                    bytes
                }
                Heard::Wrong(fault) => {
                    tally.failed(self.link.target(), &fault, 1);
                    0
                }
                Heard::Skipped { bytes, is_whole } => {
                    self.settle(usize::from(is_whole), now, None);
                    bytes
                }
            };
            chunk = &chunk[bytes..];
        }
        Ok(())
    }

    /// Settles the oldest `count` requests. Right ones are counted.
    fn settle(&mut self, count: usize, now: Instant, mut tally: Option<&mut Tally>) {
        if count == 0 {
            return;
        }
        let mut left = count;
        while left > 0
            && let Some(oldest) = self.in_flight.front_mut()
        {
            let part = oldest.count.min(left);
            if let Some(tally) = &mut tally {
                tally.answered_together(self.link.target(), oldest.due, now, part as u64);
            }
            left -= part;
            oldest.count -= part;
            if oldest.count == 0 {
                self.in_flight.pop_front();
            }
        }
        self.unanswered -= count;
        self.moved_at = now;
        self.link.note_answer();
        if self.connects_each && self.unanswered == 0 {
            self.link.reset();
        }
    }

    /// Takes as many of the due requests as there is room for.
    fn ask(&mut self, cx: &mut Context) -> Result<(), Fault> {
        if !self.has_room() {
            return Ok(());
        }
        let before = self.unanswered;
        while self.unanswered < self.window
            && let Some((due, count)) = cx.pace.take_up_to(self.window - self.unanswered, cx.now)
        {
            self.in_flight.push_back(Asked { due, count });
            self.unanswered += count;
        }
        let count = self.unanswered - before;
        if count == 0 {
            return Ok(());
        }
        if before == 0 {
            self.moved_at = cx.now;
        }
        self.unwritten = self.tape.range(self.next, count);
        self.next = self.tape.after(self.next, count);
        if self.connects_each {
            self.link.connect(cx)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Fault> {
        let Some(stream) = self.link.stream() else { return Ok(()) };
        while !self.unwritten.is_empty() {
            match if_ready(|| stream.write(self.tape.bytes(self.unwritten.clone())))? {
                Some(written) => self.unwritten.start += written,
                None => break,
            }
        }
        Ok(())
    }

    /// The connection has ended, and with it every request without an answer.
    fn fail(&mut self, fault: &Fault, cx: &mut Context) {
        let is_cut = matches!(fault.kind, Kind::Closed | Kind::Reset | Kind::Timeout);
        // A request whose answer came in part, or was wrong, is counted for that.
        let rest = match self.answers.cut(self.next) {
            Cut::Within(short) if is_cut => {
                cx.tally.failed(self.link.target(), &short, 1);
                self.unanswered.saturating_sub(1)
            }
            Cut::Counted => self.unanswered.saturating_sub(1),
            Cut::Within(_) | Cut::Between => self.unanswered,
        };
        match fault.kind {
            Kind::Connect | Kind::Unasked | Kind::Long => {
                cx.tally.failed(self.link.target(), fault, rest.max(1) as u64)
            }
            _ if self.unanswered == 0 => cx.tally.failed(self.link.target(), fault, self.link.is_missed().into()),
            _ => cx.tally.failed(self.link.target(), fault, rest as u64),
        }
        self.in_flight.clear();
        self.unanswered = 0;
        self.unwritten = 0..0;
        self.link.rest(cx.now);
    }
}

impl<A: Answers> User for Exchange<A> {
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit {
        self.exchange(news, cx).unwrap_or_else(|fault| {
            self.fail(&fault, cx);
            Visit::Done
        })
    }

    fn tick(&mut self, cx: &mut Context) -> Visit {
        let waits_since = self.is_waiting().then_some(self.moved_at);
        match self.link.tick(waits_since, cx) {
            Ok(true) => return self.turn(News::default(), cx),
            Ok(false) => {}
            Err(fault) => self.fail(&fault, cx),
        }
        Visit::Done
    }

    fn has_room(&self) -> bool {
        let can_ask = if self.connects_each { self.link.is_free() } else { self.link.is_open() };
        // A batch is one part of the tape, so the next one begins when this one is sent.
        can_ask && self.unwritten.is_empty() && self.unanswered < self.window
    }

    fn is_waiting(&self) -> bool {
        self.unanswered > 0
    }
}
