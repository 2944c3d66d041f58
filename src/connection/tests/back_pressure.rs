//! What waits while the peer does not read, and how long the peer may take.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Lines, SECOND, limits};
use crate::limits::{Limits, PRESSED_READ_BYTES};
use crate::protocol::{CloseReason, Context, Event, Reply, Sink, Step, StreamProtocol, Within};
use crate::testing::{Script, Transcript, converse};

const MANY: usize = 1000;
const BLOCK: [u8; 100] = [b'b'; 100];

/// How a [`Talker`] goes on after each block.
#[derive(Debug, Clone, Copy)]
enum How {
    Job,
    Quiet,
    More,
    Bulk,
}

struct Nowhere;

impl Sink for Nowhere {
    fn write_all(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

/// Appends one block after the other, in every call.
struct Talker {
    how: How,
    left: usize,
}

impl Talker {
    fn new(how: How) -> Self {
        Self { how, left: MANY }
    }

    fn talk(&mut self, cx: &mut Context<'_>) -> Reply {
        self.left -= 1;
        cx.out.extend_from_slice(&BLOCK);
        Ok(self.go_on())
    }

    fn go_on(&self) -> Step {
        match self.how {
            _ if self.left == 0 => Step::finish(),
            How::Job => Step::job(|| (), |talker: &mut Self, (), _, cx| talker.talk(cx)),
            How::Quiet => Step::wait_quiet(Within::Request, Duration::from_millis(1)),
            How::More => Step::more(),
            How::Bulk => Step::bulk(Nowhere, 1, |talker: &mut Self, _, _, cx| talker.talk(cx)),
        }
    }
}

impl StreamProtocol for Talker {
    fn on_open(&mut self, _: &mut Context<'_>) -> Reply {
        Ok(self.go_on())
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(self.go_on().consuming(input.len()))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Quiet | Event::Room => self.talk(cx),
            _ => Ok(self.go_on()),
        }
    }
}

/// Runs a talker whose peer sends enough for its uploads.
fn talk(how: How, script: Script) -> Transcript {
    let limits = limits(|limits| {
        limits.max_pending_output = 1000;
        limits.request_timeout = None;
    });
    converse(Talker::new(how), &script.limits(limits).send(vec![b'x'; MANY]))
}

const EVENTS: [How; 4] = [How::Job, How::Quiet, How::More, How::Bulk];

#[test]
fn no_event_is_delivered_while_the_outbox_is_full() {
    for how in EVENTS {
        let deaf = talk(how, Script::new().never_reads(50));
        assert_eq!(deaf.reason, CloseReason::WriteTimeout, "{how:?}");
        assert!(deaf.pending_bytes_max < 1000 + BLOCK.len(), "{how:?}: {} bytes", deaf.pending_bytes_max);
    }
}

#[test]
fn events_that_waited_for_room_are_delivered_when_there_is_some() {
    for how in EVENTS {
        let slow = talk(how, Script::new().window(70));
        assert_eq!((slow.sent.len(), slow.reason), (MANY * BLOCK.len(), CloseReason::Finished), "{how:?}");
    }
}

#[test]
fn a_protocol_that_has_more_output_and_appends_none_is_a_bug() {
    struct Mute;

    impl StreamProtocol for Mute {
        fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(Step::more().consuming(input.len()))
        }

        fn on_event(&mut self, _: Event, _: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(Step::more())
        }
    }

    assert!(matches!(converse(Mute, &Script::new().send("x")).reason, CloseReason::Bug(_)));
}

/// Runs a peer that asks for far more than its queue holds. Its `write_timeout` is two seconds.
fn reader(rate: usize, script: Script) -> Transcript {
    let mut limits = Limits { write_timeout: 2 * SECOND, ..Limits::default() };
    limits.min_send_rate = NonZeroUsize::new(rate);
    converse(Lines, &script.limits(limits).send("some line\n".repeat(30_000)).fin())
}

#[test]
fn a_slow_but_steady_reader_gets_all_of_its_bytes() {
    // A third of its queue takes it three seconds, and only then the kernel takes more.
    let steady = reader(1024, Script::new().reads_slowly(90_000, 1000, SECOND / 10));
    assert_eq!((steady.sent.len(), steady.reason), (300_003, CloseReason::Eof));
}

#[test]
fn a_peer_that_acknowledges_nothing_is_reset_after_write_timeout() {
    let deaf = reader(1024, Script::new().never_reads(90_000));
    assert_eq!((deaf.reason, deaf.reset, deaf.elapsed), (CloseReason::WriteTimeout, true, 2 * SECOND));
}

#[test]
fn one_byte_in_each_write_timeout_does_not_keep_a_place() {
    let nibbler = reader(1024, Script::new().reads_slowly(90_000, 1, SECOND * 19 / 10));
    assert_eq!((nibbler.reason, nibbler.reset), (CloseReason::WriteTimeout, true));
    assert!(nibbler.elapsed <= 2 * SECOND * 5 / 4, "{:?}", nibbler.elapsed);
}

#[test]
fn a_peer_that_never_reads_costs_a_bounded_amount_of_memory_and_is_reset() {
    let limits = limits(|limits| limits.max_pending_output = 1000);
    let flood =
        (0..1000).fold(Script::new().limits(limits).never_reads(10), |script, _| script.send("line\n".repeat(100)));
    let transcript = converse(Lines, &flood);
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
    assert!(transcript.reset);
    assert!(transcript.pending_bytes_max <= 1000 + 500, "{} bytes", transcript.pending_bytes_max);
    assert_eq!(transcript.sent.len(), 10);
}

#[test]
fn a_slow_reader_gets_everything_although_its_output_was_full() {
    let limits = limits(|limits| limits.max_pending_output = 100);
    let input = "some line\n".repeat(2000);
    let transcript = converse(Lines, &Script::new().limits(limits).window(7).send(&input).fin());
    assert_eq!(transcript.sent, [input.as_bytes(), b"eof"].concat());
}

#[test]
fn over_the_total_limit_of_output_one_message_is_taken_at_a_time() {
    let lines = "line\n".repeat(10_000);
    let deaf = converse(Lines, &Script::new().pressed().never_reads(0).send(&lines));
    assert_eq!((deaf.reason, deaf.pending_bytes_max), (CloseReason::WriteTimeout, "line\n".len()));
    assert_eq!(
        deaf.stats.received_bytes, PRESSED_READ_BYTES as u64,
        "one small read, and none while anything is pending"
    );
    let slow = converse(Lines, &Script::new().pressed().window(7).send(&lines).fin());
    assert_eq!(slow.sent, [lines.as_bytes(), b"eof"].concat());
}

/// Answers each byte in two parts, the second at an event or after a job, and then waits.
struct Halves;

impl Halves {
    fn second(&mut self, (): (), _: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.push(b'+');
        Ok(Step::wait(Within::Nothing))
    }
}

impl StreamProtocol for Halves {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.push(input[0]);
        let step = if input[0] == b'j' { Step::job(|| (), Self::second) } else { Step::more() };
        Ok(step.consuming(1))
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        if matches!(event, Event::Room) { self.second((), rest, cx) } else { Ok(Step::finish()) }
    }
}

#[test]
fn a_wait_after_room_or_a_job_does_not_delay_input_that_has_arrived() {
    assert_eq!(converse(Halves, &Script::new().send("mjjm").fin()).sent, b"m+j+j+m+");
}
