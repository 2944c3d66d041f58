//! What comes before the protocols of a simulated server, if the seed says so: a header that is answered, and a layer of records
//! behind it. The clients know nothing of either: their end of the network speaks both.

use std::time::Duration;

use super::random::Random;
use crate::connection::layer::{Layer, Opened};
use crate::connection::opening::{Opener, Opens, Progress};
use crate::outbox::Outbox;
use crate::protocol::Refusal;

/// What a client's end of the network sends first.
pub(super) const HEADER: &[u8] = b"open, please\n";
/// What the server answers.
const WELCOME: &[u8] = b"it is open\n";
/// How long an opening may take: longer than any fault lasts, and shorter than any client is patient.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How the connections of a simulated server open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// With their protocol.
    Nothing,
    /// With a header.
    Header,
    /// With a header, and a layer behind it.
    Layer,
}

impl Opening {
    pub(super) fn draw(random: &mut Random) -> Self {
        random.pick(&[Self::Nothing, Self::Nothing, Self::Header, Self::Layer])
    }

    /// What it is called among the things that a simulation has seen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no opening",
            Self::Header => "an opening",
            Self::Layer => "an opening with a layer",
        }
    }

    pub(super) fn opens(self) -> Option<Opens> {
        match self {
            Self::Nothing => None,
            Self::Header => Some(Opens { opener: || Box::new(Door { layered: false }), timeout: TIMEOUT }),
            Self::Layer => Some(Opens { opener: || Box::new(Door { layered: true }), timeout: TIMEOUT }),
        }
    }
}

/// Answers a header.
struct Door {
    layered: bool,
}

impl Opener for Door {
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal> {
        let arrived = received.len().min(HEADER.len());
        if received[..arrived] != HEADER[..arrived] {
            return Err(Refusal("no header"));
        }
        if arrived < HEADER.len() {
            return Ok(Progress::More);
        }
        out.extend_from_slice(WELCOME);
        let layer: Option<Box<dyn Layer>> = if self.layered { Some(Box::new(Records)) } else { None };
        Ok(Progress::Done { consumed: HEADER.len(), peer: None, layer })
    }
}

/// Bytes of the length before each record.
const LENGTH_BYTES: usize = 2;
/// Bytes of a record, so that one that is sent in one piece may arrive in many.
const RECORD_BYTES_MAX: usize = 1000;

/// Each record is its length and its bytes, disguised.
struct Records;

impl Layer for Records {
    fn open(&mut self, bytes: &mut [u8], _: &mut Outbox) -> Opened {
        let (mut read, mut plain) = (0, 0);
        while let Some((start, end)) = record_at(bytes, read) {
            bytes.copy_within(start..end, plain);
            disguise(&mut bytes[plain..plain + end - start]);
            plain += end - start;
            read = end;
        }
        Opened { plain, unfinished: bytes.len() - read, broken: None }
    }

    fn seal(&mut self, out: &mut Outbox, from: usize) {
        for plain in out.split_off(from).chunks(RECORD_BYTES_MAX) {
            out.extend_from_slice(&sealed(plain));
        }
    }

    fn close(&mut self, _: &mut Outbox) {}

    fn has_peer_closed(&self) -> bool {
        true
    }
}

/// Returns where the payload of the record at `at` begins and ends, if the record is complete.
fn record_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + LENGTH_BYTES;
    let length = bytes.get(at..start)?;
    let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
    (end <= bytes.len()).then_some((start, end))
}

fn disguise(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut record = (plain.len() as u16).to_be_bytes().to_vec();
    record.extend_from_slice(plain);
    disguise(&mut record[LENGTH_BYTES..]);
    record
}

/// What a client sends, as it travels: as many bytes of it as there is room for. Returns how many those are.
pub(super) fn seal(opening: Opening, bytes: &[u8], room: usize) -> (usize, Vec<u8>) {
    if opening != Opening::Layer {
        let count = bytes.len().min(room);
        return (count, bytes[..count].to_vec());
    }
    let count = bytes.len().min(room.saturating_sub(LENGTH_BYTES)).min(usize::from(u16::MAX));
    (count, if count > 0 { sealed(&bytes[..count]) } else { Vec::new() })
}

/// Finds out of what the server writes what its protocol says.
#[derive(Debug)]
pub(super) struct Ear {
    layered: bool,
    /// Bytes of the answer to the header that are still to come.
    welcome: usize,
    /// The beginning of a record.
    unfinished: Vec<u8>,
}

impl Ear {
    pub(super) fn new(opening: Opening) -> Self {
        let welcome = if opening == Opening::Nothing { 0 } else { WELCOME.len() };
        Self { layered: opening == Opening::Layer, welcome, unfinished: Vec::new() }
    }

    /// Appends what the protocol says to `said`.
    pub(super) fn hear(&mut self, bytes: &[u8], said: &mut Vec<u8>) {
        let (welcome, rest) = bytes.split_at(self.welcome.min(bytes.len()));
        self.welcome -= welcome.len();
        if !self.layered {
            return said.extend_from_slice(rest);
        }
        self.unfinished.extend_from_slice(rest);
        let opened = Records.open(&mut self.unfinished, &mut Outbox::new());
        said.extend_from_slice(&self.unfinished[..opened.plain]);
        self.unfinished.drain(..self.unfinished.len() - opened.unfinished);
    }
}
