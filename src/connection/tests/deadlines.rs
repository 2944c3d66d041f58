//! Deadlines: when one closes a connection, or notifies its protocol.

use std::time::Duration;

use super::cut::{Gate, connection, visit};
use super::{Lines, SECOND, limits};
use crate::connection::Connection;
use crate::kernel::Readiness;
use crate::limits::QUIET_BYTES_MAX;
use crate::protocol::{CloseReason, Context, Event, Reply, Step, StreamProtocol, Within};
use crate::testing::{Script, converse};
use crate::visit::{Mood, Status};

#[test]
fn lingering_ends_at_its_deadline_however_much_the_peer_goes_on_sending() {
    let steady = (0..100).fold(Script::new().send("quit\n"), |script, _| script.pause(SECOND / 2).send("x"));
    let transcript = converse(Lines, &steady);
    assert_eq!(transcript.elapsed, 2 * SECOND);
    assert_eq!(transcript.reason, CloseReason::Finished);
}

#[test]
fn every_byte_renews_the_idle_deadline_and_expiry_asks_for_last_output() {
    let script = Script::new().send("a\n").pause(29 * SECOND).send("b\n").pause(29 * SECOND).send("c\n");
    let transcript = converse(Lines, &script);
    assert_eq!(transcript.sent, b"a\nb\nc\nclosing");
    assert_eq!(transcript.reason, CloseReason::Idle);
    assert_eq!(transcript.elapsed, (29 + 29 + 30) * SECOND);
}

#[test]
fn dripping_bytes_do_not_extend_the_time_for_a_request() {
    let drip = (0..100).fold(Script::new().send("a\n"), |script, _| script.pause(SECOND).send("x"));
    let transcript = converse(Lines, &drip);
    assert_eq!(transcript.reason, CloseReason::RequestTimeout);
    assert_eq!(transcript.elapsed, (1 + 30 + 2) * SECOND, "until its first byte, request_timeout, linger_timeout");
}

#[test]
fn each_request_has_its_own_time() {
    let slow = (0..10).fold(Script::new(), |script, _| script.send("x").pause(20 * SECOND).send("\ny"));
    let transcript = converse(Lines, &slow.send("\n").fin());
    assert_eq!(transcript.reason, CloseReason::Eof);
}

#[test]
fn a_lifetime_ends_even_a_busy_connection() {
    let limits = limits(|limits| limits.lifetime = Some(10 * SECOND));
    let busy = (0..100).fold(Script::new().limits(limits), |script, _| script.pause(SECOND).send("a\n"));
    let transcript = converse(Lines, &busy);
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Lifetime, (10 + 2) * SECOND));
}

#[test]
fn a_late_loop_asks_the_socket_before_it_believes_a_deadline() {
    let in_time = converse(Lines, &Script::new().send("a").pause(29 * SECOND).send("bc\n").fin());
    let late = converse(Lines, &Script::new().send("a").hold_up(31 * SECOND).send("bc\n").fin());
    assert_eq!((late.sent, late.reason), (in_time.sent, CloseReason::Eof));
    let silent = converse(Lines, &Script::new().send("a").hold_up(31 * SECOND).send(""));
    assert_eq!((silent.reason, silent.elapsed), (CloseReason::Idle, 31 * SECOND));
}

#[test]
fn waiting_for_the_peer_to_read_does_not_count_against_its_request() {
    let mut limits = limits(|limits| limits.max_pending_output = 10);
    limits.request_timeout = Some(SECOND);
    limits.write_timeout = 9 * SECOND;
    let script = Script::new().limits(limits).never_reads(0).send("a long line\nand a beginning");
    assert_eq!(converse(Lines, &script).reason, CloseReason::WriteTimeout);
}

/// Appends `|` after a tenth of a second of silence.
struct Silence;

impl StreamProtocol for Silence {
    fn on_bytes(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> Reply {
        Ok(Step::wait_quiet(Within::Request, SECOND / 10))
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        if matches!(event, Event::Quiet) {
            cx.out.extend_from_slice(rest);
            cx.out.push(b'|');
            return Ok(Step::again(rest.len()));
        }
        Ok(Step::finish())
    }
}

#[test]
fn silence_is_reported_once_nothing_has_arrived_for_long_enough() {
    let script = Script::new().send("ab").pause(SECOND / 11).send("c").pause(SECOND / 9).send("d").pause(SECOND).fin();
    assert_eq!(converse(Silence, &script).sent, b"abc|d|");
}

#[test]
fn a_peer_that_reads_slowly_does_not_outlive_its_lifetime_by_much() {
    let mut limits = limits(|limits| limits.lifetime = Some(10 * SECOND));
    limits.write_timeout = 5 * SECOND;
    let script = Script::new().limits(limits).never_reads(3).send("a long line\nand another\n").fin();
    let transcript = converse(Lines, &script);
    assert_eq!(transcript.reason, CloseReason::WriteTimeout);
    assert!(transcript.elapsed <= 15 * SECOND, "{:?}", transcript.elapsed);
}

/// Appends `|` each tenth of a second until a byte stops it, and answers bytes.
struct Ticker;

impl Ticker {
    fn next(cx: &Context<'_>) -> Step {
        Step::wait(Within::Nothing).until(cx.now + SECOND / 10)
    }
}

impl StreamProtocol for Ticker {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        Ok(Self::next(cx))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let step = Step::again(1);
        cx.out.push(input[0]);
        Ok(match input[0] {
            b's' => step.until(None),
            b'm' => step.until(cx.now + SECOND),
            b'p' => step.until(cx.now - SECOND),
            b'j' => Step::run(|| ()).consuming(1).until(cx.now),
            _ => step,
        })
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        if !matches!(event, Event::Timer) {
            return Ok(Step::finish());
        }
        cx.out.push(b'|');
        Ok(Self::next(cx))
    }
}

#[test]
fn a_timer_fires_once_each_time_it_is_set_whatever_the_peer_sends() {
    let chatty = (0..5).fold(Script::new(), |script, _| script.pause(SECOND / 26).send("x"));
    assert_eq!(converse(Ticker, &chatty.pause(SECOND / 50).fin()).sent, b"xx|xxx|");
    assert_eq!(converse(Ticker, &Script::new().pause(SECOND / 2 + SECOND / 20).fin()).sent, b"|||||");
}

#[test]
fn a_timer_can_be_moved_and_stopped() {
    let moved = Script::new().send("m").pause(SECOND / 2).send("x").pause(SECOND / 2).pause(SECOND / 20).fin();
    assert_eq!(converse(Ticker, &moved).sent, b"mx|");
    assert_eq!(converse(Ticker, &Script::new().send("s").pause(9 * SECOND).fin()).sent, b"s");
}

#[test]
fn a_timer_that_is_due_already_fires_in_a_later_turn_and_after_a_job() {
    assert_eq!(converse(Ticker, &Script::new().send("px").pause(SECOND / 20).fin()).sent, b"px|");
    assert_eq!(converse(Ticker, &Script::new().send("j").pause(SECOND / 20).fin()).sent, b"j|");
}

/// Makes a connection of a [`Ticker`] that has set its timer and waits.
fn ticking() -> Connection<Gate> {
    let mut connection = connection(Gate { arriving: b"", open: true, taken: Vec::new() }, Ticker);
    visit(Duration::ZERO, Mood::default(), |visit| connection.open(visit));
    let left = visit(Duration::ZERO, Mood::default(), |visit| connection.drive(visit));
    assert_eq!(left.status, Status::Waiting);
    connection
}

#[test]
fn a_timer_that_fires_before_input_was_delivered_does_not_delay_it() {
    const INPUT: &[u8] = &[b'x'; QUIET_BYTES_MAX];
    let mut connection = ticking();
    connection.line.transport.arriving = INPUT;
    connection.note_ready(Readiness { readable: true, ..Readiness::default() });
    // The read uses up the budget, so the timer is first, and the protocol waits for more bytes.
    let left = visit(SECOND / 5, Mood::default(), |visit| connection.drive(visit));
    assert_eq!(left.status, Status::Again);
    while visit(SECOND / 5, Mood::default(), |visit| connection.drive(visit)).status == Status::Again {}
    let taken = &connection.line.transport.taken;
    assert_eq!((&taken[..1], taken.len()), (&b"|"[..], 1 + INPUT.len()));
}

#[test]
fn a_stop_serves_what_has_arrived_also_while_a_timer_is_set() {
    let mut connection = ticking();
    connection.line.transport.arriving = b"x";
    let stopping = Mood { stopping: true, ..Mood::default() };
    let left = visit(Duration::ZERO, stopping, |visit| connection.drive(visit));
    assert_eq!(left.status, Status::Waiting);
    assert_eq!(connection.line.transport.taken, b"x");
}

#[test]
fn a_timer_does_not_keep_an_idle_connection_open() {
    /// Sets its timer and appends nothing.
    struct Mute;

    impl StreamProtocol for Mute {
        fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
            Ok(Ticker::next(cx))
        }

        fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(Step::finish())
        }

        fn on_event(&mut self, _: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
            Ok(Ticker::next(cx))
        }
    }

    let transcript = converse(Mute, &Script::new().pause(90 * SECOND));
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Idle, (30 + 2) * SECOND));
}

#[test]
fn a_timer_waits_for_room() {
    let limits = limits(|limits| limits.max_pending_output = 3);
    let deaf = Script::new().limits(limits).never_reads(0).pause(2 * SECOND);
    assert_eq!(converse(Ticker, &deaf).pending_bytes_max, 3);
}
