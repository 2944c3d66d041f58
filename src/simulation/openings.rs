//! Openings before the protocols of a simulated server, if the seed chooses them: a header that the server answers, and a layer
//! of records after it. The clients are not aware of them: their end of the network adds and removes both.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;

use super::random::Random;
use crate::connection::layer::{Layer, Opened};
use crate::connection::opener::{Opener, Opens, Progress};
use crate::connection::proxied::Proxied;
use crate::outbox::Outbox;
use crate::protocol::Refusal;
use crate::proxy::Header;

/// The header of an opening that is not a proxy's, which a client's end of the network sends first.
const HEADER: &[u8] = b"open, please\n";
/// The server's answer to the header.
const WELCOME: &[u8] = b"it is open\n";
/// The network of the clients that a proxy names by other addresses. For other clients there are rules by address, and it names theirs.
const SHARED: [u8; 3] = [192, 0, 2];
/// The time that an opening may take: longer than any fault lasts, shorter than any client waits.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How the connections of a simulated server open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// The protocol follows at once.
    Nothing,
    /// With a header.
    Header,
    /// With the header of a proxy, which the server does not answer.
    Proxy,
    /// With a header, and a layer after it.
    Layer,
}

impl Opening {
    pub(super) fn draw(random: &mut Random) -> Self {
        match random.pick(&[Self::Nothing, Self::Nothing, Self::Header, Self::Layer]) {
            Self::Header if random.strikes(500) => Self::Proxy,
            drawn => drawn,
        }
    }

    /// Returns the name in the list of what occurred in a simulation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no opening",
            Self::Header => "an opening",
            Self::Proxy => "a header of a proxy",
            Self::Layer => "an opening with a layer",
        }
    }

    pub(super) fn opens(self) -> Option<Opens> {
        match self {
            Self::Nothing => None,
            Self::Header => Some(Opens { opener: || Box::new(Door { layered: false }), timeout: TIMEOUT }),
            Self::Proxy => Some(Opens { opener: || Box::<Proxied>::default(), timeout: TIMEOUT }),
            Self::Layer => Some(Opens { opener: || Box::new(Door { layered: true }), timeout: TIMEOUT }),
        }
    }
}

/// A connect of the server that has not succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connecting {
    InProgress,
    Failed(Errno),
}

/// Returns what the end of the network of a client at `from` sends first. `wrong`: too little, or something else.
pub(super) fn header(
    opening: Opening,
    (from, to): (SocketAddr, SocketAddr),
    wrong: bool,
    random: &mut Random,
) -> Vec<u8> {
    let header = match opening {
        Opening::Nothing => return Vec::new(),
        Opening::Header | Opening::Layer => HEADER.to_vec(),
        Opening::Proxy => {
            let client = match from.ip() {
                IpAddr::V4(ip) if ip.octets().starts_with(&SHARED) => {
                    SocketAddr::from(([198, 51, 100, from.port() as u8], from.port()))
                }
                _ => from,
            };
            let header = Header::of(client, to);
            if from.port().is_multiple_of(2) { header.version_1() } else { header.version_2() }
        }
    };
    if wrong { random.pick(&[&header[..5], b"Hello", b""]).to_vec() } else { header }
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
/// The most bytes of a record: a longer message is split into several records.
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

/// Encodes what a client sends, as many bytes of it as fit into `room`. Returns their number and the encoded bytes.
pub(super) fn seal(opening: Opening, bytes: &[u8], room: usize) -> (usize, Vec<u8>) {
    if opening != Opening::Layer {
        let count = bytes.len().min(room);
        return (count, bytes[..count].to_vec());
    }
    let count = bytes.len().min(room.saturating_sub(LENGTH_BYTES)).min(usize::from(u16::MAX));
    (count, if count > 0 { sealed(&bytes[..count]) } else { Vec::new() })
}

/// Decodes what the server writes into the output of its protocol.
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
        let welcome = if matches!(opening, Opening::Nothing | Opening::Proxy) { 0 } else { WELCOME.len() };
        Self { layered: opening == Opening::Layer, welcome, unfinished: Vec::new() }
    }

    /// Decodes `bytes`, and appends the output of the protocol to `said`.
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
