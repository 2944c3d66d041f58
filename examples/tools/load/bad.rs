use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::client::if_ready::if_ready;
use crate::engine::{Context, News, User, Visit};
use crate::files::Files;
use crate::link::Link;
use crate::options::{Cli, Mode, Protocol};
use crate::tally::Fault;

const DRIP_PERIOD: Duration = Duration::from_millis(100);
const VISIT_BYTES_MAX: usize = 256 * 1024;
const GARBAGE_BYTES: usize = 4096;
const SAMPLE_BYTES: usize = 16 * 1024;

/// A valid request, for the bad clients that do not send it properly.
pub(crate) struct Sample {
    /// The request repeated, so that a write can be large.
    bytes: Vec<u8>,
    request_length: usize,
}

impl Sample {
    pub(crate) fn new(cli: &Cli, files: &Files) -> Self {
        let request = request(cli, files);
        Self { bytes: request.repeat(SAMPLE_BYTES.div_ceil(request.len())), request_length: request.len() }
    }
}

fn request(cli: &Cli, Files { prefix, .. }: &Files) -> Vec<u8> {
    match (cli.bad, cli.protocol) {
        // Refused, and shorter than any request.
        (Some(Mode::Expensive), Protocol::Sum) => return b"1 ".to_vec(),
        // Three letters for one.
        (Some(Mode::Expensive), Protocol::Uppercase) => return "\u{390}".into(),
        _ => {}
    }
    let size = cli.size() as usize;
    let contents = "it would be all right to send this, ".bytes().cycle();
    let mut request = match cli.protocol {
        Protocol::Sum => br#"{"A":7,"B":4}"#.to_vec(),
        Protocol::Uppercase | Protocol::Chat => Vec::new(),
        Protocol::Raw => cli.raw.request().to_vec(),
        Protocol::File => format!("{prefix}-bad\n").into_bytes(),
        Protocol::FileSized => format!("{prefix}-bad\n{size}\n").into_bytes(),
    };
    match cli.protocol {
        Protocol::Sum | Protocol::Raw => {}
        Protocol::Uppercase | Protocol::Chat => request.extend(contents.take(size - 1).chain([b'\n'])),
        Protocol::File | Protocol::FileSized => request.extend(contents.take(size)),
    }
    request
}

/// A connection that does harm, and is opened again after each close.
pub(crate) struct Bad {
    mode: Mode,
    link: Link,
    sample: Rc<Sample>,
    /// Bytes sent of the current sample.
    position: usize,
    has_ended: bool,
    next_drip: Instant,
    random: u64,
}

impl Bad {
    pub(crate) fn new(mode: Mode, link: Link, index: usize, sample: &Rc<Sample>) -> Self {
        Self {
            mode,
            link,
            sample: Rc::clone(sample),
            position: 0,
            has_ended: false,
            next_drip: Instant::now(),
            random: index as u64 + 1,
        }
    }

    fn act(&mut self, cx: &mut Context) -> Result<Visit, Fault> {
        if self.link.is_free() {
            self.link.connect(cx)?;
        }
        let has_connected = self.link.advance(cx)?;
        cx.tally.harm.connections += u64::from(has_connected);
        if !self.link.is_open() {
            return Ok(Visit::Done);
        }
        match self.mode {
            Mode::NeverReads => self.send(usize::MAX, cx),
            Mode::Drips => {
                self.discard(cx)?;
                if self.next_drip > cx.now {
                    return Ok(Visit::Done);
                }
                self.next_drip = cx.now + DRIP_PERIOD;
                self.send(1, cx)
            }
            Mode::Resets => {
                self.send(self.half(), cx)?;
                self.position = 0;
                self.link.reset();
                cx.tally.harm.reset_by_us += 1;
                Ok(Visit::Again)
            }
            Mode::HalfCloses => {
                if !self.has_ended {
                    self.send(self.half(), cx)?;
                    self.end()?;
                }
                self.discard(cx)?;
                Ok(Visit::Done)
            }
            Mode::Garbage => {
                self.discard(cx)?;
                self.send_garbage(cx)
            }
            Mode::Expensive => {
                self.discard(cx)?;
                self.send(usize::MAX, cx)
            }
        }
    }

    fn half(&self) -> usize {
        self.sample.request_length.div_ceil(2).min(VISIT_BYTES_MAX)
    }

    /// Sends `bytes` bytes of the sample again and again, as far as one visit allows.
    fn send(&mut self, count: usize, cx: &mut Context) -> Result<Visit, Fault> {
        let mut left = count.min(VISIT_BYTES_MAX);
        while left > 0 {
            let rest = &self.sample.bytes[self.position..];
            let part = &rest[..rest.len().min(left)];
            let Some(stream) = self.link.stream() else { break };
            let Some(written) = if_ready(|| stream.write(part))? else { return Ok(Visit::Done) };
            cx.tally.harm.bytes_sent += written as u64;
            self.position = (self.position + written) % self.sample.bytes.len();
            left -= written;
        }
        Ok(if count > VISIT_BYTES_MAX { Visit::Again } else { Visit::Done })
    }

    fn send_garbage(&mut self, cx: &mut Context) -> Result<Visit, Fault> {
        let mut garbage = [0; GARBAGE_BYTES];
        garbage.fill_with(|| self.next_random());
        let Some(stream) = self.link.stream() else { return Ok(Visit::Done) };
        let Some(written) = if_ready(|| stream.write(&garbage))? else { return Ok(Visit::Done) };
        cx.tally.harm.bytes_sent += written as u64;
        Ok(Visit::Again)
    }

    /// The generator of Marsaglia, "Xorshift RNGs" (2003): good enough for garbage.
    fn next_random(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random as u8
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.has_ended = true;
        match self.link.stream() {
            Some(stream) => Ok(stream.shutdown(Shutdown::Write)?),
            None => Ok(()),
        }
    }

    fn discard(&mut self, cx: &mut Context) -> Result<(), Fault> {
        while let Some(stream) = self.link.stream() {
            match if_ready(|| stream.read(&mut cx.buffer))? {
                None => break,
                Some(0) => return Err(Fault::closed()),
                Some(length) => cx.tally.harm.bytes_received += length as u64,
            }
        }
        Ok(())
    }
}

impl User for Bad {
    fn turn(&mut self, _: News, cx: &mut Context) -> Visit {
        self.act(cx).unwrap_or_else(|fault| {
            if self.link.is_open() {
                cx.tally.harm.closed_by_server += 1;
            } else {
                cx.tally.failed(self.link.target(), &fault, 1);
            }
            self.position = 0;
            self.has_ended = false;
            self.link.rest(cx.now);
            Visit::Done
        })
    }

    fn tick(&mut self, cx: &mut Context) -> Visit {
        self.link.wake(cx);
        if !self.link.is_open() || self.mode == Mode::Drips {
            return self.turn(News::default(), cx);
        }
        Visit::Done
    }

    fn has_room(&self) -> bool {
        false
    }

    fn is_waiting(&self) -> bool {
        false
    }
}
