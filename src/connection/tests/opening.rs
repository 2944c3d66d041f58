//! Openings on the strict wire: openers that read a line, send first, wait for a connect, or panic.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::layer::{Frames, sealed, unsealed};
use super::{Lines, limits};
use crate::connection::opener::{Opener, Opens, Progress};
use crate::limits::OPENING_BYTES_MAX;
use crate::outbox::Outbox;
use crate::protocol::{CloseReason, Context, Refusal, Reply, Step, StreamProtocol, Within};
use crate::testing::{Edges, Script, converse, every_fault, every_split};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const OPENS: Opens = Opens { opener: || Box::new(FromLine), timeout: TIMEOUT };
/// An opening in which the server sends first, as a client of a proxy does.
pub(crate) const SPEAKS: Opens = Opens { opener: || Box::new(Speaks), timeout: TIMEOUT };

/// Reads `from ADDRESS` on a line, and answers `welcome`.
struct FromLine;

impl Opener for FromLine {
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal> {
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else { return Ok(Progress::More) };
        let line = std::str::from_utf8(&received[..end]).map_err(|_| Refusal("no text"))?;
        let address = line.strip_prefix("from ").and_then(|address| address.parse::<SocketAddr>().ok());
        let peer = Some(address.ok_or(Refusal("no address"))?.into());
        out.extend_from_slice(b"welcome\n");
        Ok(Progress::Done { consumed: end + 1, peer, layer: None })
    }
}

/// Sends `hello` as soon as the socket is connected, and reads nothing.
struct Speaks;

impl Opener for Speaks {
    fn on_connected(&mut self, out: &mut Outbox) -> Result<Progress, Refusal> {
        out.extend_from_slice(b"hello\n");
        Ok(Progress::Done { consumed: 0, peer: None, layer: None })
    }

    fn on_received(&mut self, _: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        Err(Refusal("it was done"))
    }
}

/// Sends `hello`, and waits for a whole record of the layer, which it leaves to the layer.
struct Handshake;

impl Opener for Handshake {
    fn on_connected(&mut self, out: &mut Outbox) -> Result<Progress, Refusal> {
        out.extend_from_slice(b"hello\n");
        Ok(Progress::More)
    }

    fn on_received(&mut self, received: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        match received.iter().position(|byte| *byte == b'\n') {
            None => Ok(Progress::More),
            Some(end) => {
                let layer: Option<Box<dyn super::super::layer::Layer>> = Some(Box::new(Frames::default()));
                Ok(Progress::Done { consumed: end + 1, peer: None, layer })
            }
        }
    }
}

/// Sends the peer's address, and then what the peer sends.
pub(crate) struct Who;

impl StreamProtocol for Who {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let peer = format!("{}\n", cx.peer());
        cx.out.extend_from_slice(peer.as_bytes());
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(input);
        Ok(Step::again(input.len()))
    }
}

const EDGES: [Edges; 3] = [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent];
const TALK: &[u8] = b"from 192.0.2.77:5\nrest";
const ANSWER: &[u8] = b"welcome\n192.0.2.77:5\nrest";

fn opens() -> Script {
    Script::new().opens(OPENS)
}

#[test]
fn an_opening_reads_what_is_its_own_however_it_is_split() {
    for edges in EDGES {
        every_split(TALK, |chunks| {
            let heard = converse(Who, &opens().edges(edges).send_all(chunks).fin());
            assert_eq!((&heard.sent[..], heard.reason), (ANSWER, CloseReason::Eof), "{chunks:?} with {edges:?}");
        });
    }
}

#[test]
fn no_fault_at_any_call_changes_an_opening() {
    every_fault(|| Who, &opens().send("from 192.0.2").send(".77:5\nrest").fin());
    every_fault(|| Who, &opens().window(3).send(TALK).fin());
    every_fault(|| Who, &opens().send("hello\n").fin());
}

#[test]
fn an_opener_may_send_before_the_peer() {
    let heard = converse(Lines, &Script::new().opens(SPEAKS).send("one\n").fin());
    assert_eq!((&heard.sent[..], &heard.replies[0][..]), (&b"hello\none\neof"[..], &b"hello\n"[..]));
    every_fault(|| Lines, &Script::new().opens(SPEAKS).window(2).send("one\n").fin());
}

#[test]
fn a_connect_in_progress_is_awaited_and_no_fault_at_any_call_changes_it() {
    for opens in [OPENS, SPEAKS] {
        let script = Script::new().opens(opens).connects(Ok(())).send("from 192.0.2.77:5\none\n").fin();
        assert_eq!(converse(Lines, &script).reason, CloseReason::Eof);
        every_fault(|| Lines, &script);
        every_fault(|| Lines, &script.window(2));
    }
}

#[test]
fn a_connect_that_fails_says_why_and_no_byte_is_sent() {
    let script = Script::new().opens(SPEAKS).connects(Err(ErrorKind::ConnectionRefused));
    for edges in EDGES {
        let heard = converse(Lines, &script.clone().edges(edges));
        assert_eq!(heard.reason, CloseReason::Transport(ErrorKind::ConnectionRefused));
        assert_eq!((&heard.sent[..], heard.calls), (&b""[..], 1));
    }
    every_fault(|| Lines, &script);
}

#[test]
fn a_connect_that_does_not_end_ends_at_the_deadline_of_the_opening() {
    let heard = converse(Lines, &Script::new().opens(SPEAKS).connects(Err(ErrorKind::WouldBlock)));
    assert_eq!((heard.reason, heard.elapsed, &heard.sent[..]), (CloseReason::OpeningTimeout, TIMEOUT, &b""[..]));
    let stopped = converse(Lines, &Script::new().opens(SPEAKS).connects(Err(ErrorKind::WouldBlock)).stop());
    assert_eq!((stopped.reason, stopped.elapsed), (CloseReason::Shutdown, Duration::ZERO));
}

#[test]
fn an_opening_that_is_refused_or_cut_short_says_why() {
    for (script, reason) in [
        (opens().send("hello\n"), CloseReason::Refused("no address")),
        (opens().send("from 192.0").fin(), CloseReason::Eof),
        (opens().send([b'x'; OPENING_BYTES_MAX + 1]), CloseReason::Refused("too long")),
        (opens().send("from 192.0").reset(), CloseReason::Transport(ErrorKind::ConnectionReset)),
        (opens().send("from 192.0").cut(), CloseReason::Shutdown),
    ] {
        assert_eq!(converse(Who, &script).reason, reason);
    }
}

#[test]
fn an_opening_has_a_deadline_of_its_own_and_the_socket_is_asked_once_more() {
    let drips = opens().send("f").pause(TIMEOUT / 2).send("r").pause(TIMEOUT);
    let heard = converse(Who, &drips);
    assert_eq!((heard.reason, heard.elapsed), (CloseReason::OpeningTimeout, TIMEOUT));
    let held_up = converse(Who, &opens().send("f").hold_up(2 * TIMEOUT).send(&TALK[1..]).fin());
    assert_eq!((&held_up.sent[..], held_up.reason), (ANSWER, CloseReason::Eof), "what had arrived counts");
    let deaf = converse(Who, &opens().never_reads(3).send(TALK));
    assert_eq!((deaf.reason, deaf.elapsed), (CloseReason::OpeningTimeout, TIMEOUT), "its output is part of it");
}

#[test]
fn a_server_that_stops_waits_for_no_opening() {
    let heard = converse(Who, &opens().send("f").stop());
    assert_eq!((heard.reason, heard.elapsed), (CloseReason::Shutdown, Duration::ZERO));
}

#[test]
fn what_follows_an_opening_goes_through_its_layer_whatever_happens() {
    let shakes = Script::new().opens(Opens { opener: || Box::new(Handshake), timeout: TIMEOUT });
    let bytes = [b"name\n".to_vec(), sealed("one\ntwo\n")].concat();
    for edges in EDGES {
        every_split(&bytes, |chunks| {
            let heard = converse(Lines, &shakes.clone().edges(edges).connects(Ok(())).send_all(chunks).fin());
            assert!(heard.sent.starts_with(b"hello\n"), "{chunks:?} with {edges:?}");
            let rest = heard.sent[b"hello\n".len()..].to_vec();
            assert_eq!(unsealed(&rest), "one\ntwo\neof", "{chunks:?} with {edges:?}");
        });
    }
    every_fault(|| Lines, &shakes.connects(Ok(())).window(3).send(bytes).fin());
}

/// Answers each byte with 100 bytes, and never ends.
struct Flood;

impl Opener for Flood {
    fn on_received(&mut self, _: &[u8], out: &mut Outbox) -> Result<Progress, Refusal> {
        out.extend_from_slice(&[b'x'; 100]);
        Ok(Progress::More)
    }
}

#[test]
fn an_opener_whose_output_is_full_is_not_read_for() {
    let flood = Opens { opener: || Box::new(Flood), timeout: TIMEOUT };
    let script = Script::new().opens(flood).limits(limits(|limits| limits.max_pending_output = 1000)).never_reads(10);
    let heard = converse(Lines, &(0..100).fold(script.clone(), |script, _| script.send("x")));
    assert_eq!((heard.reason, heard.stats.received_bytes), (CloseReason::OpeningTimeout, 11));
    let pressed = converse(Lines, &(0..100).fold(script.pressed(), |script, _| script.send("x")));
    assert_eq!(pressed.stats.received_bytes, 1, "nothing is read for it while anything is pending");
}

/// Panics in the call of this name.
struct Panics(&'static str);

impl Panics {
    fn at(&self, place: &str, out: &mut Outbox) {
        out.extend_from_slice(b"half");
        if self.0 == place {
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
}

impl Opener for Panics {
    fn on_connected(&mut self, out: &mut Outbox) -> Result<Progress, Refusal> {
        self.at("on_connected", out);
        Ok(Progress::More)
    }

    fn on_received(&mut self, _: &[u8], out: &mut Outbox) -> Result<Progress, Refusal> {
        self.at("on_received", out);
        if self.0 == "never" { Ok(Progress::More) } else { Ok(Progress::Done { consumed: 0, peer: None, layer: None }) }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if self.0.starts_with("drop") || self.0 == "never" {
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
}

#[test]
fn an_opener_that_panics_anywhere_ends_its_own_connection_as_a_bug() {
    type Make = fn() -> Box<dyn Opener>;
    let makes: [(Make, &str); 4] = [
        (|| std::panic::resume_unwind(Box::new("made")), "its opener panicked: made"),
        (|| Box::new(Panics("on_connected")), "its opener panicked: on_connected"),
        (|| Box::new(Panics("on_received")), "its opener panicked: on_received"),
        (|| Box::new(Panics("dropped")), "its opener panicked: dropped"),
    ];
    for (opener, told) in makes {
        let heard = converse(Lines, &Script::new().opens(Opens { opener, timeout: TIMEOUT }).send("x").fin());
        assert_eq!(heard.reason, CloseReason::Bug("its opener panicked"), "{told}");
        assert_eq!(heard.bug.as_deref(), Some(told));
    }
    let late = Opens { opener: || Box::new(Panics("never")), timeout: TIMEOUT };
    let heard = converse(Lines, &Script::new().opens(late).send("x"));
    assert_eq!(heard.reason, CloseReason::OpeningTimeout);
    assert_eq!(heard.bug.as_deref(), Some("its opening panicked when it was dropped: never"));
}
