use std::collections::VecDeque;
use std::io::{Read, Write};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use crate::client::attempt::attempt;
use crate::engine::{Context, News, User, Visit};
use crate::link::{Link, SHORT_READ_DRAINS};
use crate::options::Cli;
use crate::printable::printable;
use crate::tally::{Fault, Kind, Tally};
use crate::tape::Tape;

/// A connection with requests and answers in order, each a line: sum or uppercase.
pub(crate) struct Exchange {
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
    /// The variant whose answer comes next, and the number of its bytes that have arrived.
    awaited: usize,
    heard: usize,
    /// The current answer is wrong; it is skipped up to its newline.
    is_wrong: bool,
    /// When the last answer came, or when requests were in flight again.
    moved_at: Instant,
}

/// Requests that were due at one time.
struct Asked {
    due: Instant,
    count: usize,
}

impl Exchange {
    pub(crate) fn new(cli: &Cli, link: Link, index: usize, tape: &Rc<Tape>) -> Self {
        let first = tape.first(index);
        Self {
            link,
            tape: Rc::clone(tape),
            window: cli.pipeline as usize,
            connects_each: cli.connects_each(),
            next: first,
            unwritten: 0..0,
            in_flight: VecDeque::with_capacity(cli.pipeline as usize),
            unanswered: 0,
            awaited: first,
            heard: 0,
            is_wrong: false,
            moved_at: Instant::now(),
        }
    }

    fn exchange(&mut self, news: News, cx: &mut Context) -> Result<(), Fault> {
        self.link.advance(cx.now, cx.timeout).map_err(|error| Fault::connect(&error))?;
        if news.is_readable {
            self.hear(news.is_in_doubt, cx)?;
        }
        self.ask(cx)?;
        self.write()
    }

    fn hear(&mut self, is_in_doubt: bool, cx: &mut Context) -> Result<(), Fault> {
        while let Some(stream) = self.link.stream() {
            let length = match attempt(|| stream.read(&mut cx.buffer))? {
                None => return Ok(()),
                Some(0) => return Err(Fault::closed()),
                Some(length) => length,
            };
            self.compare(&cx.buffer[..length], cx.now, &mut cx.tally)?;
            if length < cx.buffer.len() && SHORT_READ_DRAINS && !is_in_doubt {
                return Ok(());
            }
        }
        Ok(())
    }

    fn compare(&mut self, mut chunk: &[u8], now: Instant, tally: &mut Tally) -> Result<(), Fault> {
        while !chunk.is_empty() {
            if self.unanswered == 0 {
                return Err(Fault::new(Kind::Unasked, format!("an answer without a request: {}", sample(chunk))));
            }
            if let Some(length) = self.right_bytes(chunk) {
                chunk = &chunk[length..];
                self.heard += length;
                let (count, whole) = self.tape.whole_answers(self.awaited, self.unanswered, self.heard);
                self.settle(count, whole, now, Some(tally));
                continue;
            }
            if !self.is_wrong {
                self.is_wrong = true;
                let rest = &self.tape.answer(self.awaited)[self.heard..];
                let text = format!("expected {} but got {}", sample(rest), sample(chunk));
                tally.failed(&Fault::new(Kind::Wrong, text), 1);
            }
            // The line after this one answers the next request.
            let Some(end) = memchr::memchr(b'\n', chunk) else { return Ok(()) };
            chunk = &chunk[end + 1..];
            self.settle(1, self.heard, now, None);
        }
        Ok(())
    }

    /// Returns how many bytes at the beginning of `chunk` are right, if the next answer is: those of all answers, or else
    /// those of the next one. `None` while a wrong answer is skipped.
    fn right_bytes(&self, chunk: &[u8]) -> Option<usize> {
        if self.is_wrong {
            return None;
        }
        [self.unanswered, 1].into_iter().find_map(|count| {
            let expected = &self.tape.answers(self.awaited, count)[self.heard..];
            let length = expected.len().min(chunk.len());
            (chunk[..length] == expected[..length]).then_some(length)
        })
    }

    /// Settles the oldest `count` requests, whose answers took `whole` of the bytes heard. Right ones are counted.
    fn settle(&mut self, count: usize, whole: usize, now: Instant, mut tally: Option<&mut Tally>) {
        if count == 0 {
            return;
        }
        let mut left = count;
        while left > 0
            && let Some(oldest) = self.in_flight.front_mut()
        {
            let part = oldest.count.min(left);
            if let Some(tally) = &mut tally {
                tally.answered_together(oldest.due, now, part as u64);
            }
            left -= part;
            oldest.count -= part;
            if oldest.count == 0 {
                self.in_flight.pop_front();
            }
        }
        self.unanswered -= count;
        self.awaited = self.tape.after(self.awaited, count);
        self.heard -= whole;
        self.is_wrong = false;
        self.moved_at = now;
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
            self.link.connect(&cx.registry, cx.now).map_err(|error| Fault::connect(&error))?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Fault> {
        let Some(stream) = self.link.stream() else { return Ok(()) };
        while !self.unwritten.is_empty() {
            match attempt(|| stream.write(self.tape.bytes(self.unwritten.clone())))? {
                Some(written) => self.unwritten.start += written,
                None => break,
            }
        }
        Ok(())
    }

    /// The connection has ended, and with it every request without an answer.
    fn fail(&mut self, fault: &Fault, cx: &mut Context) {
        // A request with a wrong answer has been counted already.
        let unanswered = self.unanswered - usize::from(self.is_wrong);
        match fault.kind {
            Kind::Connect | Kind::Unasked => cx.tally.failed(fault, unanswered.max(1) as u64),
            _ if self.unanswered == 0 => cx.tally.reconnects += 1,
            _ => cx.tally.failed(fault, unanswered as u64),
        }
        self.in_flight.clear();
        self.unanswered = 0;
        self.unwritten = 0..0;
        self.awaited = self.next;
        self.heard = 0;
        self.is_wrong = false;
        self.link.rest(cx.now);
    }
}

impl User for Exchange {
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit {
        if let Err(fault) = self.exchange(news, cx) {
            self.fail(&fault, cx);
        }
        Visit::Done
    }

    fn tick(&mut self, cx: &mut Context) -> Visit {
        let waits_since = self.is_waiting().then_some(self.moved_at);
        match self.link.tick(waits_since, !self.connects_each, cx) {
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

/// Returns the first line of an answer, or its beginning.
fn sample(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    printable(&line[..line.len().min(60)])
}
