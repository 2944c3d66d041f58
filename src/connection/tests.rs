//! The rules of the connection, each with the smallest protocol that shows it.

mod back_pressure;
mod bulk;
mod cut;
mod deadlines;
mod layer;
mod messages;
pub(crate) mod opening;
mod relay;
mod splice;

use std::time::Duration;

use super::Connection;
use crate::limits::{Limits, UNCONSUMED_BYTES_MAX};
use crate::protocol::{CloseReason, Context, Event, ProtocolError, Reply, Step, StreamProtocol, Within};
use crate::testing::{Edges, Script, converse, every_fault, every_split};

const SECOND: Duration = Duration::from_secs(1);

/// Answers each line with itself. `quit` finishes, `bad` is an error, `panic` panics, `job` is answered by a worker.
#[derive(Default)]
struct Lines;

impl StreamProtocol for Lines {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(Step::wait(Within::Request));
        };
        let line = &input[..=end];
        match line {
            b"quit\n" => return Ok(Step::finish()),
            b"bad\n" => return Err(ProtocolError::new("bad line", "that was bad\n")),
            b"panic\n" => std::panic::resume_unwind(Box::new("on purpose")),
            b"job\n" => return Ok(Step::job(|| b"done\n", Self::say).consuming(line.len())),
            b"broken job\n" => {
                return Ok(Step::run(|| std::panic::resume_unwind(Box::new("on purpose"))).consuming(line.len()));
            }
            _ => cx.out.extend_from_slice(line),
        };
        Ok(Step::again(line.len()))
    }

    fn on_event(&mut self, event: Event, _rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => cx.out.extend_from_slice(b"eof"),
            Event::Closing => cx.out.extend_from_slice(b"closing"),
            Event::Quiet => cx.out.extend_from_slice(b"quiet"),
            Event::Room | Event::NoRelay | Event::Timer | Event::Message(_) | Event::Missed(_) => {
                unreachable!("never asked for")
            }
            Event::NoWorker => cx.out.extend_from_slice(b"busy"),
        };
        Ok(Step::again(0))
    }
}

impl Lines {
    fn say(&mut self, line: &[u8; 5], _: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(line);
        Ok(Step::again(0))
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_connection_that_holds_nothing_takes_64_bytes_with_its_descriptor() {
    assert_eq!(size_of::<Connection<std::os::fd::RawFd>>(), 64);
}

#[test]
fn every_message_of_one_read_is_answered_in_one_write() {
    let transcript = converse(Lines, &Script::new().send("a\nb\nc\n").fin());
    assert_eq!(transcript.writes[0], b"a\nb\nc\n");
    assert_eq!(transcript.sent, b"a\nb\nc\neof");
    assert_eq!(transcript.reason, CloseReason::Eof);
}

#[test]
fn segmentation_does_not_change_the_transcript() {
    every_split(b"one\ntwo\njob\nthree\nquit\nnever\n", |chunks| {
        let transcript = converse(Lines, &Script::new().send_all(chunks));
        assert_eq!(transcript.sent, b"one\ntwo\ndone\nthree\n");
        assert_eq!(transcript.reason, CloseReason::Finished);
    });
}

#[test]
fn no_fault_at_any_call_changes_what_the_peer_gets() {
    for window in [1, 3, usize::MAX] {
        let script = Script::new().send("one\ntwo\n").send("job\nthr").send_fin("ee\nrest").window(window);
        every_fault(|| Lines, &script);
        every_fault(|| Lines, &Script::new().send("a\nbad\nignored\n").send("more").fin().window(window));
    }
}

#[test]
fn bytes_that_come_with_the_fin_are_answered_before_it_counts() {
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        let script = Script::new().edges(edges);
        assert_eq!(converse(Lines, &script.clone().send_fin("a\nb\n")).sent, b"a\nb\neof");
        assert_eq!(converse(Lines, &script.send("x").send_fin("\n")).sent, b"x\neof");
    }
}

#[test]
fn what_arrives_between_the_first_read_and_the_registration_is_answered() {
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        let transcript = converse(Lines, &Script::new().early(b"a\n").send("b\n").fin().edges(edges));
        assert_eq!(transcript.replies[0], b"a\n", "without a step of the script, so by the edge of the registration");
        assert_eq!(transcript.sent, b"a\nb\neof");
    }
}

#[test]
fn where_a_short_read_proves_it_there_is_no_second_read() {
    let script = Script::new().send("a\n").send("b\n").send("c\n").fin();
    let frugal = converse(Lines, &script.clone().edges(Edges::ShortReads));
    let thorough = converse(Lines, &script.edges(Edges::WouldBlock));
    assert_eq!(frugal.sent, thorough.sent);
    assert!(frugal.calls + 3 <= thorough.calls, "{} and {} calls", frugal.calls, thorough.calls);
}

#[test]
fn an_error_is_sent_then_input_is_discarded_until_the_peer_has_read_it() {
    let transcript = converse(Lines, &Script::new().send("a\nbad\nb\n").send("c\n").fin());
    assert_eq!(transcript.sent, b"a\nthat was bad\n");
    assert_eq!(transcript.reason, CloseReason::Refused("bad line"));
    assert!(!transcript.reset);
}

#[test]
fn a_panic_ends_its_own_connection_as_a_bug() {
    let transcript = converse(Lines, &Script::new().send("a\n").send("panic\n"));
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"a\n"[..], CloseReason::Bug("panicked")));
    let transcript = converse(Lines, &Script::new().send("broken job\n"));
    assert_eq!(transcript.reason, CloseReason::Bug("a job panicked"));
}

#[test]
fn a_shutdown_closes_between_requests_after_reading_what_has_arrived() {
    let transcript = converse(Lines, &Script::new().send("a\n").stop());
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"a\nclosing"[..], CloseReason::Shutdown));
    assert_eq!(transcript.elapsed, Duration::ZERO);
}

#[test]
fn a_shutdown_lets_a_request_be_finished() {
    let limits = limits(|limits| limits.request_timeout = Some(20 * SECOND));
    let transcript = converse(Lines, &Script::new().limits(limits).send("a\nhalf").stop());
    assert_eq!(
        transcript.reason,
        CloseReason::RequestTimeout,
        "the peer does not finish it, so its own deadline ends it"
    );
}

#[test]
fn a_shutdown_waits_for_a_job_and_for_a_request_that_is_finished_in_time() {
    let script = Script::new().job_time(100 * SECOND).send("job\n").stop();
    let transcript = converse(Lines, &script);
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"done\nclosing"[..], CloseReason::Shutdown));
    assert_eq!(transcript.elapsed, 100 * SECOND, "no idleness while a job is awaited");
    let transcript = converse(Lines, &Script::new().send("ha").stop().pause(SECOND).send("lf\n").send("more\n"));
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"half\nclosing"[..], CloseReason::Shutdown));
}

#[test]
fn a_reply_goes_with_the_step_that_it_follows() {
    let script = Script::new().send("a\nb").pause(SECOND).send("\n").fin();
    let transcript = converse(Lines, &script);
    assert_eq!(transcript.replies, [&b""[..], b"a\n", b"", b"b\n", b"eof"]);
    assert_eq!(transcript.replies.concat(), transcript.sent);
}

#[test]
fn what_a_protocol_leaves_unconsumed_is_bounded() {
    let transcript = converse(Lines, &Script::new().send("x".repeat(2 * UNCONSUMED_BYTES_MAX)).fin());
    assert_eq!(transcript.reason, CloseReason::Refused("too long"));
}

/// Breaks a rule of the interface.
struct Broken(fn(usize) -> Step);

impl StreamProtocol for Broken {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        Ok((self.0)(input.len()))
    }
}

#[test]
fn a_protocol_that_breaks_the_rules_ends_only_its_own_connection() {
    for broken in [
        |_| Step::again(0),
        |length| Step::again(length + 1),
        |length| Step::wait(Within::Nothing).consuming(length + 1),
    ] {
        let transcript = converse(Broken(broken), &Script::new().send("a"));
        assert!(matches!(transcript.reason, CloseReason::Bug(_)), "{:?}", transcript.reason);
    }
}

#[test]
fn a_protocol_whose_job_is_rejected_may_append_output_but_no_other_job() {
    let script = Script::new().jobs_taken(1).send("job\na\njob\nb\njob\n").fin();
    let transcript = converse(Lines, &script);
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"done\na\nbusy"[..], CloseReason::NoWorker));
    assert!(!transcript.reset);
}

/// Panics when it is dropped.
struct Fragile;

impl StreamProtocol for Fragile {
    fn on_bytes(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> Reply {
        Ok(Step::finish())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn a_protocol_that_panics_when_it_is_dropped_ends_only_its_own_connection() {
    assert_eq!(converse(Fragile, &Script::new().send("a").fin()).reason, CloseReason::Finished);
}
