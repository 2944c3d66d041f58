//! The least that a unit test of a protocol needs: a peer that feeds it chunks, and reproducible chance.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use crate::outbox::Outbox;
use crate::protocol::{Context, Event, Reply, Step, StreamProtocol, Then, Within};
use crate::stats::Tally;

/// The other end of one connection, and the driver between.
pub(crate) struct Peer {
    out: Outbox,
    pub(crate) refused: Tally,
    wall_clock: SystemTime,
    /// Received by the protocol and not consumed.
    held: Vec<u8>,
    /// What the protocol is in the middle of, as its last wait said.
    pub(crate) within: Within,
    /// How the connection ended.
    pub(crate) over: Option<&'static str>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::at(SystemTime::UNIX_EPOCH)
    }

    pub(crate) fn at(wall_clock: SystemTime) -> Self {
        let (out, refused) = Default::default();
        Self { out, refused, wall_clock, held: Vec::new(), within: Within::Nothing, over: None }
    }

    pub(crate) fn open(&mut self, protocol: &mut dyn StreamProtocol) {
        let reply = self.call(|_, cx| protocol.on_open(cx));
        self.obey(reply);
    }

    /// One read of `chunk`, delivered until the protocol waits or is over.
    pub(crate) fn write(&mut self, protocol: &mut dyn StreamProtocol, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
        while !self.held.is_empty() && self.over.is_none() {
            let reply = self.call(|held, cx| protocol.on_bytes(held, cx));
            if !self.obey(reply) {
                break;
            }
        }
    }

    pub(crate) fn event(&mut self, protocol: &mut dyn StreamProtocol, event: Event) {
        if self.over.is_none() {
            let reply = self.call(|held, cx| protocol.on_event(event, held, cx));
            self.obey(reply);
        }
    }

    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Everything that was sent so far.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.out.pending().to_vec()
    }

    fn call(&mut self, call: impl FnOnce(&[u8], &mut Context<'_>) -> Reply) -> Reply {
        let peer = SocketAddr::from(([127, 0, 0, 1], 4));
        call(&self.held, &mut Context::new(&mut self.out, &mut self.refused, Instant::now(), self.wall_clock, peer))
    }

    /// Whether to call again.
    fn obey(&mut self, reply: Reply) -> bool {
        match reply {
            Ok(Step { consumed, then }) => {
                self.held.drain(..consumed);
                match then {
                    Then::Again => {
                        assert!(consumed > 0, "a message has bytes");
                        self.within = Within::Nothing;
                        return true;
                    }
                    Then::Wait { within, .. } => self.within = within,
                    Then::Finish => self.over = Some("finished"),
                    Then::Job(_) | Then::Bulk { .. } => panic!("no protocol that is tested with this blocks"),
                }
            }
            Err(error) => {
                self.out.extend_from_slice(error.reply.as_bytes());
                self.over = Some(error.reason);
            }
        }
        false
    }
}

/// What a client gets that writes `chunks` and then sends FIN, and how the connection ends.
pub(crate) fn transcript(protocol: &mut dyn StreamProtocol, chunks: &[&[u8]]) -> (Vec<u8>, &'static str) {
    let mut peer = Peer::new();
    peer.open(protocol);
    for chunk in chunks {
        peer.write(protocol, chunk);
    }
    let over = peer.over.take();
    if over.is_none() {
        peer.event(protocol, Event::Eof);
    }
    let end = over.or_else(|| peer.over.take().map(|end| if end == "finished" { "eof" } else { end }));
    (peer.received(), end.unwrap_or("waits for ever"))
}

/// That what a client gets does not depend on how `stream` was split; gives what it gets.
pub(crate) fn same_for_every_split<P: StreamProtocol>(
    stream: &[u8],
    connect: impl Fn() -> P,
) -> (Vec<u8>, &'static str) {
    let whole = transcript(&mut connect(), &[stream]);
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(transcript(&mut connect(), &bytes), whole, "byte by byte: {:?}", stream.escape_ascii().to_string());
    for at in 0..stream.len() {
        let halves = stream.split_at(at);
        let split = transcript(&mut connect(), &[halves.0, halves.1]);
        assert_eq!(split, whole, "split at {at}: {:?}", stream.escape_ascii().to_string());
    }
    whole
}

/// Chance that can be repeated (xorshift64, Marsaglia 2003).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
