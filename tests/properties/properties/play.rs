//! The actions of a peer, written as bytes: a fuzzer can change them, and a person can read them.
//!
//! Each byte is sent, except 0xff, which no valid UTF-8 has. The byte after 0xff is an action:
//!
//! | after 0xff | what happens |
//! |---|---|
//! | <code>\|</code> | the segment ends here, and the next one begins |
//! | `*` n b | the byte b is sent 64 × n times |
//! | `p` `q` `P` | a pause of 10 ms, of 60 ms, of 31 s: shorter and longer than a name waits, longer than any deadline |
//! | `f` | the peer finishes; what follows is not sent |
//! | `r` | the peer resets the connection; what follows is not sent |
//! | `.` | the peer does not finish at the end |
//! | `s` `c` | the server is asked to stop; it cuts the connection |
//! | `w` n | the kernel takes n + 1 bytes before a write blocks |
//! | `n` n | the same, and the peer reads nothing |
//! | `e` n | the edges are of the kind n |
//! | `x` n m | the fault m strikes the call n |
//! | `j` n | each job takes n ms |
//! | `l` n | only 16 × (n + 1) bytes of output may be pending |
//!
//! Any other byte is sent, and so is 0xff before it, so that invalid UTF-8 can be sent too.

use std::mem;
use std::time::Duration;

use reactor::limits::Limits;
use reactor::testing::{Edges, Fault, Script};

const ESCAPE: u8 = 0xff;

/// Bytes that one read brings at most, as docs/reliability.md states it.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// The most bytes that a peer sends: more than one read takes, few enough to try thousands of times.
const STREAM_BYTES_MAX: usize = READ_BYTES + 8 * 1024;

/// A peer, and its properties that are known beforehand.
#[derive(Debug, Default)]
pub(crate) struct Play {
    pub(crate) script: Script,
    /// All that it sends, in one piece.
    pub(crate) stream: Vec<u8>,
    /// Where a new segment begins.
    pub(crate) cuts: Vec<usize>,
    pub(crate) limits: Limits,
    /// The sum of its pauses before it finishes.
    pub(crate) silence: Duration,
    /// The number of bytes before its first pause.
    pub(crate) first_pause: Option<usize>,
    /// A fault keeps it from sending everything, or from receiving everything.
    pub(crate) broken: bool,
    segment_start: usize,
    finished: bool,
    silent_at_the_end: bool,
    window: Option<usize>,
    reads_nothing: bool,
}

impl Play {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut play = Self::default();
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.len()) {
                (ESCAPE, 1..) => play.act(&mut bytes),
                _ => play.send(byte, 1),
            }
        }
        play.end()
    }

    fn act(&mut self, bytes: &mut impl Iterator<Item = u8>) {
        let action = bytes.next().unwrap_or_default();
        let mut number = || usize::from(bytes.next().unwrap_or_default());
        match action {
            b'|' => self.end_segment(),
            b'*' => {
                let count = 64 * number();
                self.send(bytes.next().unwrap_or_default(), count);
            }
            b'p' => self.pause(Duration::from_millis(10)),
            b'q' => self.pause(Duration::from_millis(60)),
            b'P' => self.pause(Duration::from_secs(31)),
            b'f' => {
                self.end_segment();
                self.step(Script::fin);
                self.finished = true;
            }
            b'r' => {
                self.end_segment();
                self.step(Script::reset);
                self.finished = true;
                self.broken = true;
            }
            b'.' => {
                self.silent_at_the_end = true;
                self.silence = Duration::MAX;
                self.broken = true;
            }
            b's' => self.interrupt(Script::stop),
            b'c' => self.interrupt(Script::cut),
            b'w' => self.window = Some(number() + 1),
            b'n' => {
                self.window = Some(number() + 1);
                self.reads_nothing = true;
                self.broken = true;
            }
            b'e' => {
                let edges = [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent][number() % 3];
                self.step(|script| script.edges(edges));
            }
            b'x' => {
                let call = number();
                let fault = [Fault::WouldBlock, Fault::Interrupted, Fault::Short, Fault::Reset][number() % 4];
                self.broken |= fault == Fault::Reset;
                self.step(|script| script.fault(call, fault));
            }
            b'j' => {
                let time = Duration::from_millis(number() as u64);
                self.step(|script| script.job_time(time));
            }
            b'l' => self.limits.max_pending_output = 16 * (number() + 1),
            other => {
                self.send(ESCAPE, 1);
                self.send(other, 1);
            }
        }
    }

    fn send(&mut self, byte: u8, count: usize) {
        if !self.finished {
            let room = STREAM_BYTES_MAX - self.stream.len();
            self.stream.extend(std::iter::repeat_n(byte, count.min(room)));
        }
    }

    fn pause(&mut self, duration: Duration) {
        self.end_segment();
        self.first_pause.get_or_insert(self.stream.len());
        self.silence = self.silence.saturating_add(duration);
        self.step(|script| script.pause(duration));
    }

    fn interrupt(&mut self, action: fn(Script) -> Script) {
        self.end_segment();
        self.broken = true;
        self.step(action);
    }

    fn step(&mut self, step: impl FnOnce(Script) -> Script) {
        self.script = step(mem::take(&mut self.script));
    }

    fn take_segment(&mut self) -> Vec<u8> {
        let segment = self.stream[self.segment_start..].to_vec();
        if self.segment_start > 0 && !segment.is_empty() {
            self.cuts.push(self.segment_start);
        }
        self.segment_start = self.stream.len();
        segment
    }

    fn end_segment(&mut self) {
        let segment = self.take_segment();
        if !segment.is_empty() {
            self.step(|script| script.send(segment));
        }
    }

    fn end(mut self) -> Self {
        if self.silent_at_the_end {
            self.end_segment();
        } else if !self.finished {
            let segment = self.take_segment();
            self.step(|script| script.send_fin(segment));
        }
        // A window of one byte would make a long answer take as many calls as it has bytes.
        let window = self.window.map(|window| window.max(self.stream.len() / 64));
        let (reads_nothing, limits) = (self.reads_nothing, self.limits.clone());
        self.step(|script| match window {
            Some(window) if reads_nothing => script.never_reads(window),
            Some(window) => script.window(window),
            None => script,
        });
        self.step(|script| script.limits(limits));
        self
    }
}
