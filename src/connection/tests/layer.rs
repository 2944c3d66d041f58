//! A layer that frames and changes bytes: no protocol, split, fault or slow reader may notice it.

use std::io::ErrorKind;

use super::Lines;
use super::bulk::upload;
use crate::connection::layer::{Layer, Opened, UNFINISHED_BYTES_MAX};
use crate::outbox::Outbox;
use crate::protocol::CloseReason;
use crate::testing::{Edges, Script, converse, every_fault, every_split};

const KEY: u8 = 0x5a;
const RECORD_BYTES_MAX: usize = 50;

/// Each record is its length and its bytes, changed. A length of 0 ends the layer.
#[derive(Default)]
pub(super) struct Frames {
    peer_closed: bool,
    closed: bool,
}

impl Layer for Frames {
    fn open(&mut self, bytes: &mut [u8], _: &mut Outbox) -> Opened {
        let (mut read, mut plain) = (0, 0);
        while let Some(&length) = bytes.get(read) {
            let (start, end) = (read + 1, read + 1 + usize::from(length));
            if self.peer_closed || usize::from(length) > RECORD_BYTES_MAX {
                return Opened { plain, unfinished: bytes.len() - read, broken: Some("not a record") };
            }
            if end > bytes.len() {
                break;
            }
            self.peer_closed = length == 0;
            for from in start..end {
                bytes[plain] = bytes[from] ^ KEY;
                plain += 1;
            }
            read = end;
        }
        Opened { plain, unfinished: bytes.len() - read, broken: None }
    }

    fn seal(&mut self, out: &mut Outbox, from: usize) {
        let plain = out.split_off(from);
        for chunk in plain.chunks(RECORD_BYTES_MAX) {
            out.extend_from_slice(&record(chunk));
        }
    }

    fn close(&mut self, out: &mut Outbox) {
        if !std::mem::replace(&mut self.closed, true) {
            out.push(0);
        }
    }

    fn has_peer_closed(&self) -> bool {
        self.peer_closed
    }
}

pub(super) fn record(plain: &[u8]) -> Vec<u8> {
    let length = u8::try_from(plain.len()).expect("a short record");
    [length].into_iter().chain(plain.iter().map(|byte| byte ^ KEY)).collect()
}

/// Returns what a peer sends: `lines`, one record each, and the end of the layer.
pub(super) fn sealed(lines: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines.split_inclusive('\n').flat_map(|line| record(line.as_bytes())).collect();
    bytes.push(0);
    bytes
}

/// Returns what a peer reads, without the end of the layer.
pub(super) fn unsealed(sent: &[u8]) -> String {
    let mut bytes = sent.to_vec();
    let opened = Frames::default().open(&mut bytes, &mut Outbox::new());
    assert_eq!(
        (opened.broken, opened.unfinished, sent.last()),
        (None, 0, Some(&0)),
        "the layer has ended, after whole records"
    );
    String::from_utf8_lossy(&bytes[..opened.plain]).into_owned()
}

fn layered() -> Script {
    Script::new().layer(|| Box::new(Frames::default()))
}

const TALK: &str = "one\ntwo two two two two two two two two two two two t\njob\nfour\n";

#[test]
fn a_conversation_is_the_same_through_a_layer_however_it_is_split() {
    let plain = converse(Lines, &Script::new().send(TALK).fin());
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        every_split(&sealed(TALK), |chunks| {
            let heard = converse(Lines, &layered().edges(edges).send_all(chunks).fin());
            assert_eq!(unsealed(&heard.sent).as_bytes(), plain.sent, "{chunks:?} with {edges:?}");
            assert_eq!(heard.reason, plain.reason, "{chunks:?} with {edges:?}");
        });
    }
}

#[test]
fn no_fault_at_any_call_changes_what_goes_through_a_layer() {
    every_fault(|| Lines, &layered().send(sealed(TALK)).fin());
    every_fault(|| Lines, &layered().window(7).send(sealed(TALK)).fin());
    every_fault(|| Lines, &layered().send(sealed("one\nbad\ntwo\n")).fin());
}

#[test]
fn a_slow_reader_gets_everything_through_a_layer() {
    let lines = "a line of some length\n".repeat(500);
    let heard = converse(Lines, &layered().window(13).send(sealed(&lines)).fin());
    assert_eq!(unsealed(&heard.sent), lines + "eof");
}

#[test]
fn what_is_stored_goes_through_a_layer_and_no_byte_too_much() {
    every_split(&sealed("name\nabcdefgh\nijk\n"), |chunks| {
        // A pipe would store bytes of the wire.
        for script in [layered(), layered().pipes(5, 2)] {
            let (protocol, written) = upload(12, usize::MAX);
            let heard = converse(protocol, &script.send_all(chunks).fin());
            assert_eq!(*written.lock().expect("no panic"), b"abcdefgh\nijk", "{chunks:?}");
            assert!(unsealed(&heard.sent).starts_with("12 stored, "), "{chunks:?}");
        }
    });
}

#[test]
fn a_fin_before_the_end_of_the_layer_is_a_transport_error() {
    let bytes = sealed("name\nabcdefgh\n");
    every_split(&bytes[..bytes.len() - 1], |chunks| {
        let (protocol, _) = upload(u64::MAX, usize::MAX);
        let heard = converse(protocol, &layered().send_all(chunks).fin());
        assert_eq!(heard.reason, CloseReason::Transport(ErrorKind::UnexpectedEof), "{chunks:?}");
        assert_eq!(heard.sent, b"", "{chunks:?}");
    });
}

#[test]
fn what_cannot_be_opened_closes_the_connection_and_is_counted() {
    let heard = converse(Lines, &layered().send([200, 1, 2, 3]).fin());
    assert_eq!(heard.reason, CloseReason::Refused("not a record"));
}

/// Waits for the end of a record that never ends.
struct Endless;

impl Layer for Endless {
    fn open(&mut self, bytes: &mut [u8], _: &mut Outbox) -> Opened {
        Opened { plain: 0, unfinished: bytes.len(), broken: None }
    }

    fn seal(&mut self, _: &mut Outbox, _: usize) {}

    fn close(&mut self, _: &mut Outbox) {}

    fn has_peer_closed(&self) -> bool {
        true
    }
}

#[test]
fn a_layer_keeps_a_bounded_part_of_what_has_not_arrived_in_full() {
    let endless = |length| {
        let script = Script::new().layer(|| Box::new(Endless)).send(vec![0; length]).fin();
        converse(Lines, &script).reason
    };
    assert_eq!(endless(UNFINISHED_BYTES_MAX), CloseReason::Eof);
    assert_eq!(endless(UNFINISHED_BYTES_MAX + 1), CloseReason::Refused("too long"));
    assert_eq!(endless(2 * UNFINISHED_BYTES_MAX), CloseReason::Refused("too long"));
}

#[test]
fn what_followed_an_opening_is_delivered_through_a_layer_or_without() {
    let bytes = sealed(TALK);
    for cut in 0..bytes.len() {
        let (before, after) = bytes.split_at(cut);
        let heard = converse(Lines, &layered().received(before).send(after).fin());
        assert_eq!(
            unsealed(&heard.sent),
            "one\ntwo two two two two two two two two two two two t\ndone\nfour\neof",
            "{cut}"
        );
    }
    assert_eq!(converse(Lines, &Script::new().received(b"one\ntw").send("o\n").fin()).sent, b"one\ntwo\neof");
}

#[test]
fn what_came_before_a_broken_record_is_answered_however_it_is_split() {
    let bytes = [record(b"one\n"), record(b"two\nth"), vec![200, 1, 2]].concat();
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        every_split(&bytes, |chunks| {
            let heard = converse(Lines, &layered().edges(edges).send_all(chunks).fin());
            assert_eq!(unsealed(&heard.sent), "one\ntwo\n", "{chunks:?} with {edges:?}");
            assert_eq!(heard.reason, CloseReason::Refused("not a record"), "{chunks:?} with {edges:?}");
        });
        let behind = converse(Lines, &layered().edges(edges).received(&bytes));
        assert_eq!(unsealed(&behind.sent), "one\ntwo\n", "after an opening, with {edges:?}");
    }
    every_fault(|| Lines, &layered().send(&bytes).fin());
    every_fault(|| Lines, &layered().window(3).send(&bytes).fin());
    // More than a quiet visit may read, so that the read is continued before anything is delivered.
    let lines = "a line of some length\n".repeat(400);
    let much = [&sealed(&lines)[..lines.len() + 400], &[200]].concat();
    assert_eq!(unsealed(&converse(Lines, &layered().send(much)).sent), lines);
}

#[test]
fn what_came_before_a_broken_record_is_stored_before_the_end() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let bytes = [record(b"name\nabc"), record(b"def"), vec![200]].concat();
    let heard = converse(protocol, &layered().send(bytes));
    assert_eq!(heard.reason, CloseReason::Refused("not a record"));
    assert_eq!(*written.lock().expect("no panic"), b"", "what is not complete is abandoned");
}

/// Panics, or counts wrongly, in the call of this name.
struct Broken(&'static str);

impl Broken {
    fn at(&self, call: &str) {
        if self.0 == call {
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
}

impl Layer for Broken {
    fn open(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Opened {
        out.extend_from_slice(b"half");
        self.at("open");
        out.split_off(out.len() - b"half".len());
        let unfinished = if self.0 == "count" { usize::MAX } else { 0 };
        Opened { plain: bytes.len(), unfinished, broken: None }
    }

    fn seal(&mut self, _: &mut Outbox, _: usize) {
        self.at("seal");
    }

    fn close(&mut self, out: &mut Outbox) {
        out.extend_from_slice(if self.0 == "close" { b"half" } else { b"" });
        self.at("close");
    }

    fn has_peer_closed(&self) -> bool {
        self.at("has_peer_closed");
        true
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.at("drop");
    }
}

#[test]
fn a_layer_that_panics_anywhere_ends_its_own_connection_as_a_bug() {
    type Make = fn() -> Box<dyn Layer>;
    let makes: [(Make, &str, &str); 5] = [
        (|| Box::new(Broken("open")), "", "its layer panicked: open"),
        (|| Box::new(Broken("count")), "", "its layer returned more bytes than there were"),
        (|| Box::new(Broken("seal")), "", "its layer panicked: seal"),
        (|| Box::new(Broken("has_peer_closed")), "one\n", "its layer panicked: has_peer_closed"),
        (|| Box::new(Broken("close")), "one\neof", "its layer panicked: close"),
    ];
    for (layer, sent, told) in makes {
        let heard = converse(Lines, &Script::new().layer(layer).send("one\n").fin());
        assert_eq!((heard.reason, heard.bug.as_deref()), (CloseReason::Bug("its layer failed"), Some(told)));
        assert_eq!(heard.sent, sent.as_bytes(), "{told}");
    }
    let heard = converse(Lines, &Script::new().layer(|| Box::new(Broken("drop"))).send("one\n").fin());
    assert_eq!((&heard.sent[..], heard.reason), (&b"one\neof"[..], CloseReason::Eof));
    assert_eq!(heard.bug.as_deref(), Some("its layer panicked when it was dropped: drop"));
    let behind = converse(Lines, &Script::new().layer(|| Box::new(Broken("open"))).received(b"one\n"));
    assert_eq!((&behind.sent[..], behind.reason), (&b""[..], CloseReason::Bug("its layer failed")));
}
