use std::io::{self, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use socket2::SockRef;

use crate::client::connect::connect;
use crate::client::failure::{Context, Failure, Result};
use crate::client::url::Url;
use crate::client::wait::{after, is_past, wait};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::printable::printable;

const CHUNK_BYTES: u64 = 64 * 1024;

/// A conversation with the server: the client sends, and the server answers.
pub(crate) struct Session {
    poll: Poll,
    events: Events,
    stream: TcpStream,
    outbox: Outbox,
    inbox: Inbox,
    bare: bool,
    timeout: Duration,
    deadline: Option<Instant>,
    /// Nothing more can be read.
    ended: bool,
    error: Option<io::Error>,
}

impl Session {
    pub(crate) fn connect(url: &Url, bare: bool, timeout: Duration) -> Result<Self> {
        let mut poll = Poll::new().context("cannot poll")?;
        Ok(Self {
            stream: connect(&mut poll, Token(0), url, timeout)?.0,
            poll,
            events: Events::with_capacity(16),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            bare,
            timeout,
            deadline: after(timeout),
            ended: false,
            error: None,
        })
    }

    /// Sends a name or a size.
    pub(crate) fn say(&mut self, text: &str) {
        self.outbox.push(text.as_bytes());
        if !self.bare {
            self.outbox.push(b"\n");
        }
    }

    /// Waits for this word as the answer. An answer without a newline may arrive in one piece with the bytes after it,
    /// so its length tells where it ends.
    pub(crate) fn expect(&mut self, word: &str) -> Result<()> {
        if !self.bare {
            return match self.hear_line()? {
                Some(line) if line == word.as_bytes() => Ok(()),
                Some(line) => refused(&line),
                None => self.no_answer(),
            };
        }
        while !self.inbox.bytes().starts_with(word.as_bytes()) {
            if let Some(line) = self.inbox.take_line() {
                return refused(&line);
            }
            if self.ended {
                return self.no_answer();
            }
            self.exchange()?;
        }
        self.inbox.consume(word.len());
        Ok(())
    }

    /// Waits for a line. `None` means that the server has closed.
    pub(crate) fn hear_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.inbox.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.exchange()?;
        }
    }

    /// Sends all that can be read from `contents`, and returns the number of bytes. A server that answers before it has
    /// got everything refuses the rest.
    pub(crate) fn upload(&mut self, mut contents: impl Read, bar: &ProgressBar) -> Result<u64> {
        let mut chunk = Vec::new();
        let mut sent = 0;
        loop {
            if self.outbox.is_empty() {
                chunk.clear();
                contents.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk).context("cannot send the file")?;
                if chunk.is_empty() {
                    return Ok(sent);
                }
                self.outbox.push(&chunk);
            }
            if self.ended || self.error.is_some() || !self.inbox.bytes().is_empty() {
                return match self.hear_line()? {
                    Some(line) => refused(&line),
                    None => self.no_answer(),
                };
            }
            let written = self.exchange()? as u64;
            sent += written;
            bar.inc(written);
        }
    }

    /// Makes every later end of the connection a reset: an error, Ctrl-C, SIGKILL. A FIN would end the contents, and
    /// the server would take half a file for a whole one.
    pub(crate) fn reset_unless_ended(&self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).context("cannot set SO_LINGER")
    }

    /// Sends FIN: the kernel has all the contents.
    pub(crate) fn end(&mut self) {
        let ended = SockRef::from(&self.stream).set_linger(None).and_then(|()| self.stream.shutdown(Shutdown::Write));
        if let Err(error) = ended {
            self.error.get_or_insert(error);
        }
    }

    /// Writes and reads once without blocking, and returns the number of bytes written. Waits for an event only when
    /// neither made progress.
    fn exchange(&mut self) -> Result<usize> {
        let written = self.write();
        let read = self.read();
        if written + read > 0 || self.ended {
            self.deadline = after(self.timeout);
            return Ok(written);
        }
        if is_past(self.deadline) {
            return match self.inbox.bytes() {
                [] => Failure::because("no progress for too long; see --timeout"),
                rest => Failure::because(format!(
                    "no progress for too long; the server has sent only part of a line: {}",
                    printable(rest)
                )),
            };
        }
        wait(&mut self.poll, &mut self.events, self.deadline).context("cannot wait")?;
        Ok(0)
    }

    /// A server that stops reading may have sent the reason before. So an error is kept until all input is read.
    fn write(&mut self) -> usize {
        self.outbox.flush(&mut self.stream).unwrap_or_else(|error| {
            self.outbox = Outbox::default();
            self.error = Some(error);
            0
        })
    }

    fn read(&mut self) -> usize {
        match self.inbox.fill(&mut self.stream) {
            Ok(Some(length)) => {
                self.ended = length == 0;
                length
            }
            Ok(None) => 0,
            Err(error) => {
                self.ended = true;
                self.error.get_or_insert(error);
                0
            }
        }
    }

    /// Fails, with the most specific reason known.
    pub(crate) fn no_answer<T>(&self) -> Result<T> {
        let rest = self.inbox.bytes();
        match &self.error {
            _ if !rest.is_empty() => Failure::because(format!("the server closed after: {}", printable(rest))),
            Some(error) => Failure::because(format!("the connection broke: {error}")),
            None => Failure::because("the server closed without an answer"),
        }
    }
}

/// Fails with a line that is not the expected answer: usually `error: ` and the reason of a refusal.
pub(crate) fn refused<T>(line: &[u8]) -> Result<T> {
    let line = printable(line);
    match line.strip_prefix("error: ") {
        Some(reason) => Failure::because(format!("the server refuses: {reason}")),
        None => Failure::because(format!("unknown answer of the server: {line}")),
    }
}
