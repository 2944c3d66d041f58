//! Writes whole lines to a sink, whatever the sink does: a line that it took in part is completed before anything else, and
//! lines that it did not take are counted.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use log::Level;

use super::sink::Sink;
use crate::limits::{LOG_CHUNK_BYTES_MAX, LOG_RETRY};

/// Makes a line of a sentence of the log about itself, in the form of the other lines.
pub(crate) type Render = fn(Level, &str) -> String;

/// A sink, and what it did not take.
pub(super) struct Output {
    sink: Box<dyn Sink>,
    render: Render,
    /// `None` as long as the sink takes everything.
    trouble: Option<Trouble>,
    /// Lines that the sink did not take so far, together with those that did not come here.
    lost_lines: Arc<AtomicU64>,
}

/// What a sink did not take.
struct Trouble {
    /// Why.
    error: io::Error,
    /// The rest of the line that it took in part.
    rest: Vec<u8>,
    /// The length of the file then. If it is shorter now, another program has emptied it, and the beginning of that line is gone.
    file_bytes: Option<u64>,
    /// Whole lines.
    lost_lines: u64,
}

/// What has to be written, in this order: the rest of a line, a line that says how many were lost, and new lines.
struct Text {
    bytes: Vec<u8>,
    /// Where the line about lost lines is; empty if none were lost.
    note: Range<usize>,
    /// How many lines were lost before.
    lost_lines: u64,
}

impl Text {
    /// Returns what is left if the sink took `count` bytes and then failed.
    fn left(&self, count: usize, error: io::Error, file_bytes: Option<u64>) -> Trouble {
        let left = &self.bytes[count..];
        let is_between_lines = match count {
            0 => self.note.start == 0,
            _ => self.bytes[count - 1] == b'\n',
        };
        let line_bytes = left.iter().position(|byte| *byte == b'\n').map_or(left.len(), |end| end + 1);
        let (rest, lost) = left.split_at(if is_between_lines { 0 } else { line_bytes });
        let lost_lines = lost.iter().filter(|byte| **byte == b'\n').count() as u64;
        // The note itself does not count.
        let lost_lines = if self.is_said(count) { lost_lines } else { lost_lines.saturating_sub(1) + self.lost_lines };
        Trouble { error, rest: rest.to_vec(), file_bytes, lost_lines }
    }

    /// Whether `count` bytes say how many lines were lost before: some of the note is among them, and the rest follows later.
    fn is_said(&self, count: usize) -> bool {
        count > self.note.start || self.note.is_empty()
    }
}

impl Output {
    pub(super) fn new(sink: Box<dyn Sink>, render: Render, lost_lines: Arc<AtomicU64>) -> Self {
        Self { sink, render, trouble: None, lost_lines }
    }

    /// Notes that the sink took `count` bytes of `text` and then failed, and counts what is lost.
    fn fail(&mut self, text: &Text, count: usize, error: io::Error) {
        let trouble = text.left(count, error, self.sink.file_bytes());
        // What was lost before and is still unsaid was counted then.
        let counted = if text.is_said(count) { 0 } else { text.lost_lines };
        self.count_lost(trouble.lost_lines - counted);
        self.trouble = Some(trouble);
    }

    fn count_lost(&self, lines: u64) {
        self.lost_lines.fetch_add(lines, Ordering::Relaxed);
    }

    /// Whether the sink has not taken everything so far.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Writes `lines` on a thread that may wait. What the sink refuses is lost, and counted.
    pub(super) fn write(&mut self, lines: Vec<u8>) -> Vec<u8> {
        let mut text = self.text(lines);
        if let (count, Some(error)) = write_some(&mut self.sink, &text.bytes) {
            self.fail(&text, count, error);
        }
        text.bytes.clear();
        text.bytes
    }

    /// Writes `lines` on a thread that may not wait, chunk by chunk, while the sink has room; waits for room until `deadline`.
    /// Returns what is not written yet.
    pub(super) fn write_chunks(&mut self, lines: Vec<u8>, deadline: Instant) -> Vec<u8> {
        let mut text = self.text(lines);
        let mut count = 0;
        while count < text.bytes.len() && self.sink.has_room(deadline.saturating_duration_since(Instant::now())) {
            let left = &text.bytes[count..];
            match self.sink.write(&left[..left.len().min(LOG_CHUNK_BYTES_MAX)]) {
                Ok(taken @ 1..) => count += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                failed => {
                    let error = failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    self.fail(&text, count, error);
                    count = text.bytes.len();
                }
            }
        }
        text.bytes.drain(..count);
        text.bytes
    }

    /// Puts in front of `lines` what is left to write from before.
    fn text(&mut self, lines: Vec<u8>) -> Text {
        let Some(Trouble { error, rest, file_bytes, mut lost_lines }) = self.trouble.take() else {
            return Text { bytes: lines, note: 0..0, lost_lines: 0 };
        };
        let mut bytes = rest;
        if !bytes.is_empty() && self.sink.file_bytes() < file_bytes {
            bytes.clear();
            lost_lines += 1;
            self.count_lost(1);
        }
        let start = bytes.len();
        if lost_lines > 0 {
            let what = format!("{lost_lines} log lines lost: {error}");
            bytes.extend_from_slice((self.render)(Level::Warn, &what).as_bytes());
        }
        let note = start..bytes.len();
        bytes.extend_from_slice(&lines);
        Text { bytes, note, lost_lines }
    }

    /// Opens the log file again by its name. What the old file did not take is written to it first, if it takes it now.
    pub(super) fn reopen(&mut self) {
        if self.trouble.is_some() {
            self.write(Vec::new());
        }
        match self.sink.reopen() {
            Ok(()) => {
                if let Some(trouble) = &mut self.trouble
                    && !trouble.rest.is_empty()
                {
                    trouble.rest.clear();
                    trouble.lost_lines += 1;
                    self.lost_lines.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                let what = format!("cannot open the log file again, so the log goes on in the old one: {error}");
                self.write((self.render)(Level::Error, &what).into());
            }
        }
    }
}

/// Writes `lines` as far as possible. An error of the sink cannot be reported anywhere.
pub(crate) fn write_out(sink: &mut dyn Write, lines: &[u8]) {
    write_some(sink, lines);
}

/// Writes `lines` until an error, and returns how many bytes were written, and the error.
fn write_some(mut sink: impl Write, lines: &[u8]) -> (usize, Option<io::Error>) {
    let mut count = 0;
    while count < lines.len() {
        match sink.write(&lines[count..]) {
            Ok(0) => return (count, Some(io::ErrorKind::WriteZero.into())),
            Ok(taken) => count += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process that shares this terminal or pipe made it non-blocking. This thread may sleep: the loop
            // does not wait for it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOG_RETRY),
            Err(error) => return (count, Some(error)),
        }
    }
    (count, None)
}
