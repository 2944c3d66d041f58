//! uppercase: every byte is answered at once, upper-cased; a line `exit` ends the connection.
//!
//! What a client gets must not depend on how TCP split what it wrote. So two things are held back until more arrives,
//! by leaving them unconsumed: a last line that may yet become `exit`, and a last code point that is not whole.

mod letters;

use std::net::SocketAddr;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::protocol::{
    Context, Event, NoOptions, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within,
};

/// Finds the lines after the first that begin with `exit`: one pass at the speed of memory for all line starts.
static LATER_EXIT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\nexit"));

/// Upper-cases a stream of bytes.
#[derive(Debug)]
pub struct Uppercase;

impl Service for Uppercase {
    const NAME: &'static str = "uppercase";
    const ABOUT: &'static str = "Answers everything in upper case; a line `exit` ends the connection.";
    const TRY: &'static str = "nc 127.0.0.1 8001";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        letters::prepare();
        Ok(Self)
    }
}

impl StreamService for Uppercase {
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Connection::new())
    }
}

#[derive(Debug)]
struct Connection {
    /// Whether the first byte that has not been consumed begins a line.
    at_line_start: bool,
}

impl Connection {
    const fn new() -> Self {
        Self { at_line_start: true }
    }

    /// Whether what follows `before` begins a line.
    fn begins_line(&self, before: &[u8]) -> bool {
        before.last().map_or(self.at_line_start, |last| *last == b'\n')
    }

    /// Where the first line begins that is exactly `exit`, newline included.
    fn exit_line(&self, input: &[u8]) -> Option<usize> {
        let first = self.at_line_start.then_some(0);
        let later = LATER_EXIT.find_iter(input).map(|newline| newline + 1);
        first.into_iter().chain(later).find(|start| {
            let line = &input[*start..];
            line.starts_with(b"exit\n") || line.starts_with(b"exit\r\n")
        })
    }

    /// The length of the last line, if more bytes could make it an `exit` line.
    fn unfinished_exit_line(&self, input: &[u8]) -> usize {
        let may_become_exit = |len: &usize| {
            let before = input.strip_suffix(&b"exit\r\n"[..*len]);
            before.is_some_and(|before| self.begins_line(before))
        };
        (1..b"exit\r\n".len()).find(may_become_exit).unwrap_or(0)
    }
}

impl StreamProtocol for Connection {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        if let Some(start) = self.exit_line(input) {
            letters::append_uppercase(&input[..start], cx.out);
            return Ok(Step::finish().consuming(input.len()));
        }
        let held_back = self.unfinished_exit_line(input).max(letters::unfinished_code_point(input));
        let answered = &input[..input.len() - held_back];
        letters::append_uppercase(answered, cx.out);
        self.at_line_start = self.begins_line(answered);
        Ok(Step::wait(Within::Nothing).consuming(answered.len()))
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof | Event::Closing => {
                let last_exit =
                    || rest.strip_suffix(b"exit").filter(|before| self.begins_line(before)).map(<[u8]>::len);
                let end = self.exit_line(rest).or_else(last_exit).unwrap_or(rest.len());
                letters::append_uppercase(&rest[..end], cx.out);
                Ok(Step::finish().consuming(rest.len()))
            }
            _ => Ok(Step::wait(Within::Nothing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::feed::{Chance, Peer, same_for_every_split, transcript};

    /// The contract, said again without regard to speed or to reads: what a client gets for `stream` and FIN, and
    /// whether a line `exit` ended the connection.
    fn model(stream: &[u8]) -> (Vec<u8>, bool) {
        let mut answer = Vec::new();
        for line in stream.split_inclusive(|byte| *byte == b'\n') {
            if [&b"exit"[..], b"exit\n", b"exit\r\n"].contains(&line) {
                return (answer, true);
            }
            for chunk in line.utf8_chunks() {
                answer.extend_from_slice(chunk.valid().to_uppercase().as_bytes());
                answer.extend_from_slice(chunk.invalid());
            }
        }
        (answer, false)
    }

    fn answer(stream: &[u8]) -> Vec<u8> {
        same_for_every_split(stream, Connection::new).0
    }

    #[test]
    fn an_exit_line_is_not_answered_and_ends_everything_after_it() {
        for (stream, expected) in [
            (&b"exit\n"[..], &b""[..]),
            (b"exit\r\n", b""),
            (b"exit", b""),
            (b"one\nexit\ntwo\n", b"ONE\n"),
            (b"one\r\nexit\r\ntwo\r\nexit\r\n", b"ONE\r\n"),
            (b"\nexit\n\xff\xc3", b"\n"),
            (b"exitexit\nexit\n", b"EXITEXIT\n"),
        ] {
            assert_eq!(same_for_every_split(stream, Connection::new).0, expected);
        }
        assert_eq!(transcript(&mut Connection::new(), &[b"a\nexit\nb"]), (b"A\n".to_vec(), "finished"));
    }

    #[test]
    fn what_only_looks_like_exit_is_an_ordinary_line() {
        for line in
            ["EXIT\n", " exit\n", "exit now\n", "exit \n", "exi\n", "exit\r", "exit\r\r\n", "an exit\n", "\rexit\n"]
        {
            assert_eq!(answer(line.as_bytes()), line.to_uppercase().as_bytes());
        }
    }

    #[test]
    fn input_without_a_newline_is_answered_at_once() {
        let (mut protocol, mut peer) = (Connection::new(), Peer::new());
        peer.write(&mut protocol, b"hello");
        assert_eq!(peer.received(), b"HELLO");
        peer.write(&mut protocol, b"e");
        assert_eq!(peer.received(), b"HELLOE", "not at the start of a line");
    }

    #[test]
    fn only_a_line_that_may_become_exit_or_half_a_code_point_is_held_back() {
        for (stream, held) in [
            (&b"e"[..], 1),
            (b"\nexit", 4),
            (b"\nexit\r", 5),
            (b"\nexit\r\r", 0),
            (b"\nexity", 0),
            (b"xe", 0),
            (b"\xc3", 1),
            (b"a\xf0\x9f\x98", 3),
            (b"\xe2\x82\xac", 0),
            (b"\xf8\x80\x80", 0),
            (b"\xe0\x80", 0),
        ] {
            let (mut protocol, mut peer) = (Connection::new(), Peer::new());
            peer.write(&mut protocol, stream);
            assert_eq!((peer.held().len(), peer.within), (held, Within::Nothing), "{}", stream.escape_ascii());
        }
    }

    #[test]
    fn when_we_close_what_is_held_back_is_treated_as_at_eof() {
        for (stream, expected) in
            [(&b"a\nex"[..], &b"A\nEX"[..]), (b"a\nexit", b"A\n"), (b"exit\r", b"EXIT\r"), (b"a\xc3", b"A\xc3")]
        {
            let (mut protocol, mut peer) = (Connection::new(), Peer::new());
            peer.write(&mut protocol, stream);
            peer.event(&mut protocol, Event::Closing);
            assert_eq!(peer.received(), expected);
            assert_eq!(answer(stream), expected);
        }
    }

    #[test]
    fn every_stream_is_answered_as_the_model_says_however_it_is_split() {
        let parts: [&[u8]; 24] = [
            b"exit",
            b"exit",
            b"exi",
            b"e",
            b"\n",
            b"\n",
            b"\n",
            b"\r\n",
            b"\r",
            b" ",
            b"Hello, world",
            b"x",
            b"t",
            "ß".as_bytes(),
            "ŉ".as_bytes(),
            "жук".as_bytes(),
            "ΐ".as_bytes(),
            "漢字".as_bytes(),
            "😀𐐨".as_bytes(),
            b"\xc3",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xff",
            b"\xa4",
        ];
        for seed in 0..3_000 {
            let mut chance = Chance::new(seed);
            let stream: Vec<u8> = (0..chance.below(16)).flat_map(|_| chance.one_of(&parts).to_vec()).collect();
            let (answer, exits) = model(&stream);
            let (received, _) = same_for_every_split(&stream, Connection::new);
            assert_eq!(received.escape_ascii().to_string(), answer.escape_ascii().to_string(), "seed {seed}");
            assert!(exits || received.len() >= stream.len() - stream.len() / 3 && received.len() <= 3 * stream.len());
        }
    }

    #[test]
    fn a_large_read_is_answered_in_one_call_as_the_model_says() {
        for seed in 0..20 {
            let mut chance = Chance::new(seed);
            let mut stream = Vec::new();
            while stream.len() < 64 * 1024 {
                match chance.below(4) {
                    0 => stream.extend((0..chance.below(300)).map(|_| b' ' + chance.below(95) as u8)),
                    1 => stream.extend_from_slice("größe ".repeat(chance.below(20)).as_bytes()),
                    2 => stream.extend_from_slice("\nexist\nexit \n".as_bytes()),
                    _ => stream.push(chance.next() as u8),
                }
            }
            stream.push(b'.');
            let (mut protocol, mut peer) = (Connection::new(), Peer::new());
            peer.write(&mut protocol, &stream);
            assert!(peer.received() == model(&stream).0, "seed {seed}");
        }
    }
}
