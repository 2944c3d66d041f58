//! The rules of the driver, each with the smallest protocol that shows it.

mod back_pressure;
mod layer;
pub(crate) mod opening;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::opening::Opened;
use super::{Connection, Ended};
use crate::budget::Budget;
use crate::clock::Still;
use crate::kernel::{Readiness, Transport};
use crate::limits::{
    BULK_BUFFER_BYTES, BULK_BUFFERS_PER_CONNECTION_MAX, Limits, PRESSED_READ_BYTES, UNCONSUMED_BYTES_MAX,
};
use crate::protocol::Place;
use crate::protocol::{
    CloseReason, Context, Event, ProtocolError, Reply, Sink, Site, Step, Stored, StreamProtocol, Within,
};
use crate::stats::Stats;
use crate::testing::{Edges, Script, converse, every_fault, every_split};
use crate::time::Time;
use crate::token::Token;
use crate::visit::{Lent, Moment, Mood, Status, Visit};

const SECOND: Duration = Duration::from_secs(1);

/// Answers each line with itself; `quit` finishes, `bad` is an error, `panic` panics, `job` is answered by a worker,
/// a line is a request.
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
            Event::Room => unreachable!("never too much to say"),
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

/// A peer that has sent something, and takes nothing before it is told to.
struct Gate {
    arriving: &'static [u8],
    open: bool,
    taken: Vec<u8>,
}

impl Transport for Gate {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        match std::mem::take(&mut self.arriving) {
            [] => Err(io::ErrorKind::WouldBlock.into()),
            arriving => io::Write::write(&mut buffer, arriving),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open { io::Write::write(&mut self.taken, bytes) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        true
    }
}

#[test]
fn a_connection_that_was_cut_sends_nothing_even_if_its_peer_reads_again() {
    let (limits, origin) = (Limits::default(), Instant::now());
    let now = Time::since(origin, origin);
    let gate = Gate { arriving: b"pending\n", open: false, taken: Vec::new() };
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let mut connection = Connection::new(Opened::at_once(gate, &address.into()), Box::new(Lines), &limits, now);
    let (mut lent, mut stats) = (Lent::new(Budget::new(now, None)), Stats::default());
    let (moment, clock) = (Moment::new(origin, origin), Still(origin, SystemTime::UNIX_EPOCH));
    let site = Site { name: String::new(), address };
    let mut visit = Visit::new(
        &mut lent,
        &moment,
        Place { id: Token { slot: 0, generation: 1 }.into(), site: &site, clock: &clock },
        (&mut stats, &limits),
        Mood::default(),
    );
    assert_eq!(connection.drive(&mut visit).status, Status::Waiting);
    assert_eq!(connection.pending_bytes(), b"pending\n".len());

    connection.line.transport_mut().open = true;
    connection.note_ready(Readiness { writable: true, ..Readiness::default() });
    connection.cut(CloseReason::Shutdown, visit.buffers);
    assert_eq!(connection.drive(&mut visit).status, Status::Closed);
    let Ended { transport, reason, .. } = connection.end();
    assert_eq!((transport.taken, reason), (Vec::new(), CloseReason::Shutdown));
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
fn lingering_ends_at_its_deadline_however_much_the_peer_goes_on_sending() {
    let steady = (0..100).fold(Script::new().send("quit\n"), |script, _| script.pause(SECOND / 2).send("x"));
    let transcript = converse(Lines, &steady);
    assert_eq!(transcript.elapsed, 2 * SECOND);
    assert_eq!(transcript.reason, CloseReason::Finished);
}

#[test]
fn a_panic_ends_its_own_connection_as_a_bug() {
    let transcript = converse(Lines, &Script::new().send("a\n").send("panic\n"));
    assert_eq!((&transcript.sent[..], transcript.reason), (&b"a\n"[..], CloseReason::Bug("it panicked")));
    let transcript = converse(Lines, &Script::new().send("broken job\n"));
    assert_eq!(transcript.reason, CloseReason::Bug("a job panicked"));
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

#[test]
fn waiting_for_the_peer_to_read_does_not_count_against_its_request() {
    let mut limits = limits(|limits| limits.max_pending_output = 10);
    limits.request_timeout = Some(SECOND);
    limits.write_timeout = 9 * SECOND;
    let script = Script::new().limits(limits).never_reads(0).send("a long line\nand a beginning");
    assert_eq!(converse(Lines, &script).reason, CloseReason::WriteTimeout);
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
    assert_eq!(transcript.reason, CloseReason::RequestTimeout, "nobody finishes it here, so its own deadline ends it");
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

/// Breaks a rule.
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

/// Takes `name\n`, then bytes until EOF or `at_most`, on a sink that may fail.
struct Upload {
    at_most: u64,
    written: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

struct Paper(Arc<Mutex<Vec<u8>>>, usize);

impl Sink for Paper {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.0.lock().expect("no panic");
        if written.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.extend_from_slice(bytes);
        Ok(())
    }
}

impl StreamProtocol for Upload {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(Step::wait(Within::Request));
        };
        let paper = Paper(Arc::clone(&self.written), self.room);
        Ok(Step::bulk(paper, self.at_most, Self::stored).consuming(end + 1))
    }
}

impl Upload {
    fn stored(&mut self, stored: Stored<Paper>, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        stored.result.map_err(|_| ProtocolError::new("disk", "disk full\n"))?;
        cx.out.extend_from_slice(format!("{} stored, {} left\n", stored.bytes, rest.len()).as_bytes());
        Ok(Step::again(0))
    }
}

fn upload(at_most: u64, room: usize) -> (Upload, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::new(Mutex::new(Vec::new()));
    (Upload { at_most, written: Arc::clone(&written), room }, written)
}

#[test]
fn bulk_data_arrives_whole_and_in_order_whatever_its_size() {
    for size in [0, 1, 65_535, 65_536, 262_143, 262_144, 262_145, 3_000_000] {
        let contents: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
            let (protocol, written) = upload(u64::MAX, usize::MAX);
            let script = Script::new().edges(edges).send("name\n").send(&contents).fin();
            assert_eq!(converse(protocol, &script).sent, format!("{size} stored, 0 left\n").as_bytes());
            assert!(*written.lock().expect("no panic") == contents, "{size} bytes, {edges:?}");
        }
    }
}

#[test]
fn bulk_data_arrives_whole_however_few_buffers_others_leave() {
    let contents = vec![7; 5 * BULK_BUFFER_BYTES + 1];
    for buffers in 1..=BULK_BUFFERS_PER_CONNECTION_MAX {
        let (protocol, written) = upload(u64::MAX, usize::MAX);
        let script = Script::new().buffers(buffers).job_time(SECOND).send("name\n").send(&contents).fin();
        assert_eq!(converse(protocol, &script).reason, CloseReason::Eof);
        assert!(*written.lock().expect("no panic") == contents, "{buffers} buffers");
    }
}

#[test]
fn bulk_data_ends_at_its_length_and_the_rest_is_delivered() {
    every_split(b"name\n0123456789name\nabcdefghij", |chunks| {
        let (protocol, written) = upload(10, usize::MAX);
        let transcript = converse(protocol, &Script::new().send_all(chunks).fin());
        assert_eq!(*written.lock().expect("no panic"), b"0123456789abcdefghij");
        assert_eq!(transcript.sent.iter().filter(|byte| **byte == b'\n').count(), 2);
    });
}

#[test]
fn bulk_data_survives_every_harmless_fault() {
    let script = Script::new().send("name\nsome ").send("contents").send_fin("!").window(5);
    every_fault(|| upload(u64::MAX, usize::MAX).0, &script);
    every_fault(|| upload(4, usize::MAX).0, &Script::new().send("name\nsomename\nmore").fin());
}

#[test]
fn while_a_worker_writes_the_next_bytes_are_read_within_bounds() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let script = Script::new().job_time(SECOND).send("name\n").send("first").send(vec![7; 4 * BULK_BUFFER_BYTES]);
    let transcript = converse(protocol, &script.cut());
    let room = BULK_BUFFERS_PER_CONNECTION_MAX * BULK_BUFFER_BYTES;
    let read = transcript.stats.received_bytes as usize;
    assert!((room - BULK_BUFFER_BYTES..=room + b"name\n".len()).contains(&read), "{read} bytes");
    assert_eq!(*written.lock().expect("no panic"), b"first", "the job that was out ends, and no other begins");
}

/// Waits for the FIN, then stores all but the first byte.
struct Late(Arc<Mutex<Vec<u8>>>);

impl StreamProtocol for Late {
    fn on_bytes(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Request))
    }

    fn on_event(&mut self, event: Event, _rest: &[u8], _cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => Ok(Step::bulk(Paper(Arc::clone(&self.0), usize::MAX), u64::MAX, Self::stored).consuming(1)),
            _ => Ok(Step::finish()),
        }
    }
}

impl Late {
    fn stored(&mut self, _: Stored<Paper>, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::finish())
    }
}

#[test]
fn what_came_before_the_fin_is_stored_although_storing_began_after_it() {
    every_split(b"name", |chunks| {
        let written = Arc::new(Mutex::new(Vec::new()));
        converse(Late(Arc::clone(&written)), &Script::new().send_all(chunks).fin());
        assert_eq!(*written.lock().expect("no panic"), b"ame");
    });
}

#[test]
fn when_the_disk_fails_the_peer_can_read_why_although_it_goes_on_sending() {
    let (protocol, _) = upload(u64::MAX, 100);
    let script = (0..50).fold(Script::new().send("name\n"), |script, _| script.send([7; 50]));
    let transcript = converse(protocol, &script.fin());
    assert_eq!(transcript.sent, b"disk full\n");
    assert!(!transcript.reset);
}

#[test]
fn silence_in_the_middle_of_contents_is_idle() {
    let (protocol, _) = upload(u64::MAX, usize::MAX);
    let transcript = converse(protocol, &Script::new().send("name\nabc").pause(29 * SECOND).send("d"));
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Idle, 59 * SECOND));
}

/// Tells silence after a tenth of a second.
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
fn silence_is_told_once_nothing_has_arrived_for_long_enough() {
    let script = Script::new().send("ab").pause(SECOND / 11).send("c").pause(SECOND / 9).send("d").pause(SECOND).fin();
    assert_eq!(converse(Silence, &script).sent, b"abc|d|");
}

#[test]
fn a_disk_that_took_long_is_no_silence_of_the_peer() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let script = Script::new().job_time(31 * SECOND).send("name\nbefore ").pause(45 * SECOND).send("after").fin();
    assert_eq!(converse(protocol, &script).reason, CloseReason::Eof);
    assert_eq!(*written.lock().expect("no panic"), b"before after");
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
