use std::cell::Cell;
use std::io::{IoSlice, Read, Write};
use std::iter;
use std::rc::Rc;
use std::time::Instant;

use crate::client::if_ready::if_ready;
use crate::engine::{Context, News, User, Visit};
use crate::files::Files;
use crate::link::{Link, SHORT_READ_DRAINS};
use crate::options::{Cli, Protocol};
use crate::pace::Stop;
use crate::printable::printable;
use crate::tally::{Fault, Kind};

const PATTERN_BYTES: usize = 256 * 1024;
/// The most bytes that one visit writes, so that a server which takes everything does not keep the others waiting.
const VISIT_BYTES_MAX: usize = 4 * PATTERN_BYTES;

/// State that all uploads share.
pub(crate) struct Plan {
    protocol: Protocol,
    size: u64,
    /// Bytes from which the contents are cut, repeatedly.
    pattern: Vec<u8>,
    /// The prefix that makes the names of this run unique.
    prefix: String,
    /// The number of uploads that have begun, and its limit.
    count: Cell<u64>,
    most: u64,
}

impl Plan {
    pub(crate) fn new(cli: &Cli, files: &Files) -> Self {
        Self {
            protocol: cli.protocol,
            size: cli.size(),
            pattern: (0..PATTERN_BYTES).map(|index| (index % 251) as u8).collect(),
            prefix: files.prefix.clone(),
            count: Cell::new(0),
            most: cli.max_files,
        }
    }

    fn is_done(&self) -> bool {
        self.count.get() >= self.most
    }

    /// Writes the bytes before the contents of a new file, and the whole answer that it must get.
    ///
    /// All is sent at once: with newlines a client need not wait for each `OK`.
    fn next(&self, head: &mut Vec<u8>, answer: &mut Vec<u8>) {
        let count = self.count.get();
        self.count.set(count + 1);
        let Self { prefix, size, .. } = self;
        head.clear();
        answer.clear();
        // Writing to a vector cannot fail.
        let _ = match self.protocol {
            Protocol::FileSized => {
                answer.extend_from_slice(b"OK\nOK\nOK\n");
                write!(head, "{prefix}-{count}\n{size}\n")
            }
            _ => {
                write!(answer, "ok\nsaved {prefix}-{count} {size}\n").and_then(|()| writeln!(head, "{prefix}-{count}"))
            }
        };
    }
}

/// A connection that uploads one file after the other.
pub(crate) struct Upload {
    link: Link,
    plan: Rc<Plan>,
    /// When the current upload was due.
    due: Option<Instant>,
    head: Vec<u8>,
    /// Bytes written, of head and contents together.
    written: u64,
    answer: Vec<u8>,
    heard: usize,
    has_ended: bool,
    /// Bytes have been written or read.
    moved_at: Instant,
}

impl Upload {
    pub(crate) fn new(link: Link, plan: &Rc<Plan>) -> Self {
        Self {
            link,
            plan: Rc::clone(plan),
            due: None,
            head: Vec::new(),
            written: 0,
            answer: Vec::new(),
            heard: 0,
            has_ended: false,
            moved_at: Instant::now(),
        }
    }

    fn connects_each(&self) -> bool {
        self.plan.protocol == Protocol::File
    }

    fn upload(&mut self, news: News, cx: &mut Context) -> Result<Visit, Fault> {
        let has_connected = self.link.advance(cx)?;
        if has_connected && self.plan.protocol == Protocol::File {
            self.link.reset_unless_ended()?;
        }
        if news.is_readable {
            self.hear(news.is_in_doubt, cx)?;
        }
        self.ask(cx)?;
        // A server that stops reading may have sent the reason before.
        self.write(cx).or_else(|fault| self.hear(true, cx).and(Err(fault)))
    }

    fn hear(&mut self, is_in_doubt: bool, cx: &mut Context) -> Result<(), Fault> {
        while let Some(stream) = self.link.stream() {
            let length = match if_ready(|| stream.read(&mut cx.buffer))? {
                None => return Ok(()),
                Some(0) => return Err(Fault::closed()),
                Some(length) => length,
            };
            self.moved_at = cx.now;
            let chunk = &cx.buffer[..length];
            if !self.answer[self.heard..].starts_with(chunk) {
                return Err(self.judge(chunk));
            }
            self.heard += length;
            if self.heard == self.answer.len() {
                self.confirm(cx);
            }
            if length < cx.buffer.len() && SHORT_READ_DRAINS && !is_in_doubt {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the fault of a wrong answer: its first line that differs.
    fn judge(&self, chunk: &[u8]) -> Fault {
        let expected = self.answer[self.heard..].split(|byte| *byte == b'\n');
        let mut lines = chunk.split(|byte| *byte == b'\n').zip(expected.chain(iter::repeat(&b""[..])));
        let line = lines.find_map(|(line, expected)| (line != expected).then_some(line)).unwrap_or(chunk);
        let kind = match self.due {
            None => Kind::Unasked,
            Some(_) if line.starts_with(b"error: ") => Kind::Refused,
            Some(_) => Kind::Wrong,
        };
        Fault::new(kind, format!("the server answered: {}", printable(line)))
    }

    fn confirm(&mut self, cx: &mut Context) {
        if let Some(due) = self.due.take() {
            cx.tally.uploaded(self.link.target(), due, cx.now, self.plan.size);
        }
        self.clear();
        self.link.note_answer();
        if self.connects_each() {
            self.link.reset();
        }
    }

    fn clear(&mut self) {
        self.due = None;
        self.head.clear();
        self.written = 0;
        self.answer.clear();
        self.heard = 0;
        self.has_ended = false;
    }

    fn ask(&mut self, cx: &mut Context) -> Result<(), Fault> {
        if !self.has_room() {
            return Ok(());
        }
        if self.plan.is_done() {
            cx.pace.stop(cx.now, Stop::Files);
        }
        self.due = cx.pace.take(cx.now);
        if self.due.is_some() {
            self.plan.next(&mut self.head, &mut self.answer);
            self.moved_at = cx.now;
            if self.connects_each() {
                self.link.connect(cx)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, cx: &Context) -> Result<Visit, Fault> {
        let Some(stream) = self.link.stream() else { return Ok(Visit::Done) };
        if self.due.is_none() {
            return Ok(Visit::Done);
        }
        let head_length = self.head.len() as u64;
        let all = head_length + self.plan.size;
        let mut visit_bytes = 0;
        while self.written < all {
            if visit_bytes >= VISIT_BYTES_MAX {
                return Ok(Visit::Again);
            }
            let head = &self.head[self.written.min(head_length) as usize..];
            let position = self.written.saturating_sub(head_length);
            let contents = &self.plan.pattern[(position % PATTERN_BYTES as u64) as usize..];
            let left = (self.plan.size - position).min(contents.len() as u64) as usize;
            let parts = [IoSlice::new(head), IoSlice::new(&contents[..left])];
            let Some(written) = if_ready(|| stream.write_vectored(&parts))? else { return Ok(Visit::Done) };
            self.written += written as u64;
            self.moved_at = cx.now;
            visit_bytes += written;
        }
        if self.plan.protocol == Protocol::File && !self.has_ended {
            self.link.end()?;
            self.has_ended = true;
        }
        Ok(Visit::Done)
    }

    fn fail(&mut self, fault: &Fault, cx: &mut Context) {
        match fault.kind {
            Kind::Closed | Kind::Reset if self.due.is_none() && !self.link.is_missed() => {}
            _ => cx.tally.failed(self.link.target(), fault, 1),
        }
        // A FIN could make the server take half a file for a whole one.
        let _ = self.link.reset_unless_ended();
        self.link.rest(cx.now);
        self.clear();
    }
}

impl User for Upload {
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit {
        self.upload(news, cx).unwrap_or_else(|fault| {
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
        let can_ask = if self.connects_each() { self.link.is_free() } else { self.link.is_open() };
        can_ask && self.due.is_none()
    }

    fn is_waiting(&self) -> bool {
        self.due.is_some()
    }
}
