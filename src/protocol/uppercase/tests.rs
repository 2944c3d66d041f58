use std::time::Duration;

use super::*;
use crate::limits::{Limits, READ_BYTES};
use crate::protocol::CloseReason;
use crate::protocol::tests::chance::Chance;
use crate::testing::{Script, converse, every_fault, same_for_every_split};

const SECOND: Duration = Duration::from_secs(1);

/// The contract as simple code, without regard to speed or reads: returns what a client gets for `stream` and FIN, and whether
/// a line `exit` ended the connection.
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

/// Returns what a client gets for `stream` and FIN, however the stream is split.
fn answer(stream: &[u8]) -> Vec<u8> {
    same_for_every_split(Uppercase::default, stream).sent
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
        assert_eq!(answer(stream), expected, "{}", stream.escape_ascii());
    }
}

#[test]
fn the_server_closes_after_an_exit_line_although_the_client_goes_on() {
    let transcript = converse(Uppercase::default(), &Script::new().send("a\nexit\nb").send("c").pause(SECOND));
    assert_eq!(
        (&transcript.sent[..], transcript.reason, transcript.reset),
        (&b"A\n"[..], CloseReason::Finished, false)
    );
}

#[test]
fn what_only_looks_like_exit_is_an_ordinary_line() {
    for line in ["EXIT\n", " exit\n", "exit now\n", "exit \n", "exi\n", "exit\r", "exit\r\r\n", "an exit\n", "\rexit\n"]
    {
        assert_eq!(answer(line.as_bytes()), line.to_uppercase().as_bytes());
    }
}

#[test]
fn input_without_a_newline_is_answered_at_once() {
    let script = Script::new().send("hello").pause(SECOND).send("e").pause(SECOND).send(b"\xff").fin();
    let replies = converse(Uppercase::default(), &script).replies;
    assert_eq!(replies[..5], [&b""[..], b"HELLO", b"", b"E", b""], "the e is not at the start of a line");
}

/// The bytes held back are not a request: a shutdown does not wait for more.
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
        let transcript = converse(Uppercase::default(), &Script::new().send(stream).stop());
        let at_once = stream[..stream.len() - held].to_ascii_uppercase();
        assert_eq!(transcript.replies[1], at_once, "{}", stream.escape_ascii());
        assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Shutdown, Duration::ZERO));
    }
}

#[test]
fn at_a_graceful_close_what_is_held_back_is_treated_as_at_eof() {
    let lifetime = Limits { lifetime: Some(SECOND), ..Limits::default() };
    let ends = [
        (Script::new(), CloseReason::Idle, 30 * SECOND),
        (Script::new().limits(lifetime), CloseReason::Lifetime, SECOND),
    ];
    for (stream, expected) in
        [(&b"a\nex"[..], &b"A\nEX"[..]), (b"a\nexit", b"A\n"), (b"exit\r", b"EXIT\r"), (b"a\xc3", b"A\xc3")]
    {
        assert_eq!(answer(stream), expected, "at EOF");
        for (script, reason, elapsed) in &ends {
            let transcript = converse(Uppercase::default(), &script.clone().send(stream));
            assert_eq!((transcript.reason, transcript.elapsed), (*reason, *elapsed));
            assert_eq!((&transcript.sent[..], transcript.reset), (expected, false), "{reason}");
        }
        let transcript = converse(Uppercase::default(), &Script::new().send(stream).stop());
        assert_eq!((&transcript.sent[..], transcript.reason), (expected, CloseReason::Shutdown));
    }
}

#[test]
fn no_fault_at_any_call_changes_an_answer() {
    for window in [1, 3, usize::MAX] {
        let script = Script::new().window(window);
        every_fault(Uppercase::default, &script.clone().send("ex").send("isting \u{df}\nexi").send_fin("t"));
        every_fault(Uppercase::default, &script.send("gr\u{fc}n\nexit").send("\r\nmore").fin());
    }
}

#[test]
fn fin_at_any_place_is_answered_as_the_model_says() {
    let stream = "ex\u{df}\nexit \u{1f600}\nexit\r\nignored".as_bytes();
    for end in 0..=stream.len() {
        let expected = model(&stream[..end]).0.escape_ascii().to_string();
        assert_eq!(answer(&stream[..end]).escape_ascii().to_string(), expected, "FIN after {end} bytes");
    }
}

#[test]
fn a_peer_that_never_reads_costs_the_limit_and_one_read_and_is_reset() {
    let limits = Limits { max_pending_output: 1000, ..Limits::default() };
    // Each of these takes two bytes, and its upper case six.
    let flood = Script::new().limits(limits).never_reads(10).send("\u{390}".repeat(READ_BYTES)).send("more");
    let transcript = converse(Uppercase::default(), &flood);
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
    assert!(transcript.reset);
    assert!(transcript.pending_bytes_max <= 1000 + 3 * READ_BYTES, "{} bytes", transcript.pending_bytes_max);
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
    for seed in 0..2_000 {
        let mut chance = Chance::new(seed);
        let stream: Vec<u8> = (0..chance.below(16)).flat_map(|_| chance.one_of(&parts).to_vec()).collect();
        let (expected, exits) = model(&stream);
        for size in [1, 2, 1 + chance.below(9), usize::MAX] {
            let chunks: Vec<_> = stream.chunks(size).collect();
            let transcript = converse(Uppercase::default(), &Script::new().send_all(&chunks).fin());
            let sent = transcript.sent.escape_ascii().to_string();
            assert_eq!(sent, expected.escape_ascii().to_string(), "seed {seed} in pieces of {size}");
        }
        assert!(exits || expected.len() >= stream.len() - stream.len() / 3 && expected.len() <= 3 * stream.len());
    }
}

#[test]
fn large_reads_are_answered_at_once_as_the_model_says() {
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
        let transcript = converse(Uppercase::default(), &Script::new().send(&stream).stop());
        assert!(transcript.replies[1] == model(&stream).0, "seed {seed}");
    }
}
