//! A client and a driver in one, for tests: no sockets, and every job is done at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::outbox::Outbox;
use crate::protocol::{Context, Event, Reply, Sink, Step, Stored, StreamProtocol, Then};
use crate::stats::Tally;
use crate::testing::{MemoryDisk, Operation};

pub(super) struct Dialogue {
    protocol: Box<dyn StreamProtocol>,
    disk: MemoryDisk,
    peer: SocketAddr,
    input: Vec<u8>,
    ended: bool,
    eof_told: bool,
    bulk: Option<Bulk>,
    quiet: Option<Duration>,
    received: String,
    told: Vec<(String, Vec<Operation>)>,
    closed: Option<&'static str>,
}

struct Bulk {
    sink: Box<dyn Sink>,
    at_most: u64,
    bytes: u64,
}

impl Dialogue {
    pub(super) fn new(disk: &MemoryDisk, connect: impl FnOnce(SocketAddr) -> Box<dyn StreamProtocol>) -> Self {
        let peer = SocketAddr::from(([192, 0, 2, 1], 50_000));
        let mut dialogue = Self {
            protocol: connect(peer),
            disk: disk.clone(),
            peer,
            input: Vec::new(),
            ended: false,
            eof_told: false,
            bulk: None,
            quiet: None,
            received: String::new(),
            told: Vec::new(),
            closed: None,
        };
        dialogue.drive(|protocol, _, cx| protocol.on_open(cx));
        dialogue
    }

    /// The client sends `bytes`.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if self.bulk.is_some() {
            self.feed();
        } else if !bytes.is_empty() {
            self.drive(|protocol, input, cx| protocol.on_bytes(input, cx));
        }
    }

    /// The client is silent for as long as the protocol asked.
    pub(super) fn pause(&mut self) {
        assert!(self.quiet.is_some(), "the protocol does not wait for silence");
        self.drive(|protocol, input, cx| protocol.on_event(Event::Quiet, input, cx));
    }

    /// The client sends its FIN.
    pub(super) fn end(&mut self) {
        self.ended = true;
        if self.bulk.is_some() { self.feed() } else { self.tell_eof() }
    }

    /// All that the client has received.
    pub(super) fn received(&self) -> &str {
        &self.received
    }

    /// Each write to the client, with what the disk had done by then.
    pub(super) fn told(&self) -> &[(String, Vec<Operation>)] {
        &self.told
    }

    /// The silence that the protocol waits for.
    pub(super) fn quiet(&self) -> Option<Duration> {
        self.quiet
    }

    /// Why the server closes, if it does.
    pub(super) fn closed(&self) -> Option<&'static str> {
        self.closed
    }

    fn drive(&mut self, call: impl FnOnce(&mut dyn StreamProtocol, &[u8], &mut Context<'_>) -> Reply) {
        if self.closed.is_some() {
            return;
        }
        let (mut out, mut refused) = (Outbox::default(), Tally::default());
        let mut cx = Context::new(&mut out, &mut refused, Instant::now(), SystemTime::UNIX_EPOCH, self.peer);
        let reply = call(&mut *self.protocol, &self.input, &mut cx);
        self.tell(out.pending());
        self.quiet = None;
        match reply {
            Ok(step) => self.follow(step),
            Err(error) => {
                self.tell(error.reply.as_bytes());
                self.closed = Some(error.reason);
            }
        }
    }

    fn follow(&mut self, step: Step) {
        self.input.drain(..step.consumed);
        match step.then {
            Then::Again if !self.input.is_empty() => self.drive(|protocol, input, cx| protocol.on_bytes(input, cx)),
            Then::Again => self.tell_eof(),
            Then::Wait { quiet, .. } => {
                self.quiet = quiet;
                self.tell_eof();
            }
            Then::Job(job) => {
                let done = Event::Done(job.run());
                self.drive(|protocol, input, cx| protocol.on_event(done, input, cx));
            }
            Then::Bulk { to, at_most } => {
                self.bulk = Some(Bulk { sink: to, at_most, bytes: 0 });
                self.feed();
            }
            Then::Finish => self.closed = Some("finished"),
        }
    }

    fn feed(&mut self) {
        let Some(mut bulk) = self.bulk.take() else { return };
        let count = self.input.len().min(usize::try_from(bulk.at_most - bulk.bytes).unwrap());
        let result = if count > 0 { bulk.sink.write_all(&self.input[..count]) } else { Ok(()) };
        self.input.drain(..count);
        bulk.bytes += count as u64;
        if result.is_ok() && bulk.bytes < bulk.at_most && !self.ended {
            self.bulk = Some(bulk);
            return;
        }
        let stored = Event::Stored(Stored { sink: bulk.sink, bytes: bulk.bytes, result });
        self.drive(|protocol, input, cx| protocol.on_event(stored, input, cx));
    }

    fn tell_eof(&mut self) {
        if self.ended && !self.eof_told {
            self.eof_told = true;
            self.drive(|protocol, input, cx| protocol.on_event(Event::Eof, input, cx));
        }
    }

    fn tell(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let text = str::from_utf8(bytes).unwrap();
            self.received.push_str(text);
            self.told.push((text.to_owned(), self.disk.log()));
        }
    }
}
