//! Messages between connections, on the scripted wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::layer::{Frames, record};
use super::*;
use crate::limits::{GROUP_NAME_BYTES_MAX, GROUPS_PER_CONNECTION_MAX, MESSAGES_PER_SENDER_MAX};
use crate::protocol::{ConnectionId, NotSent, WhenFull, Within};
use crate::testing::{Transcript, converse_all, every_fault};

/// The numbers of all connections of a test, by index.
type Known = Arc<Mutex<HashMap<usize, ConnectionId>>>;

/// Does what each line says: `join G`, `strict G`, `leave G`, `cast G TEXT`, `post N TEXT`, `value N`, `job`, `full N`. Answers refusals,
/// and what it gets.
struct Member {
    index: usize,
    known: Known,
}

impl Member {
    fn obey(&self, line: &str, cx: &mut Context<'_>) -> Result<Step, NotSent> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let known = |name: &str| self.known.lock().expect("no panic")[&name.parse().expect("a number")];
        match verb {
            "join" => cx.join(name, WhenFull::Skip)?,
            "strict" => cx.join(name, WhenFull::Close)?,
            "leave" => cx.leave(name),
            "cast" => cx.cast(name, text)?,
            "post" => cx.post(known(name), text)?,
            "value" => cx.post_value(known(name), 7_u32)?,
            "full" => while cx.post(known(name), [0; 1000]).is_ok() {},
            "job" => return Ok(Step::job(|| (), Self::answer)),
            other => panic!("{other}"),
        }
        Ok(Step::again(0))
    }

    fn answer(&mut self, (): (), _: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(b"(answer)");
        Ok(Step::again(0))
    }
}

impl StreamProtocol for Member {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.known.lock().expect("no panic").insert(self.index, cx.id());
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(Step::wait(Within::Request)) };
        let line = String::from_utf8_lossy(&input[..end]).into_owned();
        let step = self.obey(&line, cx).unwrap_or_else(|why| {
            cx.out.extend_from_slice(format!("({why:?})").as_bytes());
            Step::again(0)
        });
        Ok(step.consuming(end + 1))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let text = match event {
            Event::Eof => return Ok(Step::finish()),
            Event::Missed(count) => format!("(missed {count})"),
            Event::Message(message) => {
                let from = message.sender().map_or_else(|| "outside".to_owned(), |id| id.to_string());
                let text = String::from_utf8_lossy(message.bytes()).into_owned();
                match message.value::<u32>() {
                    Ok(value) => format!("({from}: value {value})"),
                    Err(_) => format!("({from}: {text})"),
                }
            }
            _ => String::new(),
        };
        cx.out.extend_from_slice(text.as_bytes());
        Ok(Step::again(0))
    }
}

/// Plays the scripts and returns what each peer got.
fn play(scripts: &[Script]) -> Vec<Transcript> {
    let known = Known::default();
    converse_all(|index| Member { index, known: Arc::clone(&known) }, scripts)
}

fn heard(scripts: &[Script]) -> Vec<String> {
    play(scripts).iter().map(|one| String::from_utf8_lossy(&one.sent).into_owned()).collect()
}

fn peer() -> Script {
    Script::new()
}

const SECOND: Duration = Duration::from_secs(1);

/// Stays for some seconds.
fn listener() -> Script {
    peer().pause(5 * SECOND).fin()
}

#[test]
fn posts_arrive_in_order_and_name_their_sender() {
    let sends = peer().send("post 1 a\npost 1 b\nvalue 1\n").fin();
    assert_eq!(heard(&[sends, listener()]), ["", "(0.1: a)(0.1: b)(0.1: value 7)"]);
}

#[test]
fn a_message_to_oneself_comes_after_the_call_that_sent_it() {
    let twice = peer().send("post 0 late\ncast g early\npost 0 later\n").pause(SECOND).fin();
    assert_eq!(heard(&[twice]), ["(0.1: late)(0.1: later)"]);
}

#[test]
fn a_post_to_a_connection_that_has_ended_is_refused_as_gone() {
    let sends = peer().pause(SECOND).send("post 1 x\n").fin();
    assert_eq!(heard(&[sends, peer().fin()]), ["(Gone)", ""]);
}

#[test]
fn a_post_to_a_connection_that_is_closing_is_refused_as_gone() {
    let sends = peer()
        .pause(SECOND)
        .send(
            "cast g 0123456789
",
        )
        .pause(2 * SECOND)
        .send(
            "post 1 x
",
        )
        .fin();
    let closing = peer().send("join g\n").never_reads(4).pause(2 * SECOND).fin();
    let [sent, got] = &play(&[sends, closing])[..] else { panic!("two transcripts") };
    assert_eq!((&sent.sent[..], got.reason), (&b"(Gone)"[..], CloseReason::WriteTimeout));
    assert!(got.elapsed > 3 * SECOND, "it ended before the post");
}

#[test]
fn a_receiver_takes_as_much_as_its_output_and_then_is_full() {
    let sends = peer().send(format!("full 1\npost 1 {}\n", "x".repeat(1000))).fin();
    let [sent, got] = &play(&[sends, listener().never_reads(10)])[..] else { panic!("two transcripts") };
    assert_eq!(sent.sent, b"(Full)");
    assert!(got.stats.messages * 1000 <= Limits::default().max_pending_output as u64);
}

#[test]
fn a_cast_reaches_the_members_and_not_its_sender() {
    let [joins, outside] = [peer().send("join g\n"), peer()].map(|peer| peer.pause(SECOND));
    let leaves = peer().send("join g\nleave g\n");
    let scripts = [joins.clone().send("cast g hi\n").fin(), joins.pause(SECOND).fin(), leaves.fin(), outside.fin()];
    assert_eq!(heard(&scripts), ["", "hi", "", ""]);
}

#[test]
fn a_member_gets_no_cast_that_was_sent_before_it_joined() {
    let early = peer().send("cast g early\n").pause(SECOND).send("cast g late\n").fin();
    assert_eq!(heard(&[early, peer().send("join g\n").pause(3 * SECOND).fin()]), ["", "late"]);
}

#[test]
fn a_member_without_room_misses_casts_and_learns_how_many() {
    let limits = limits(|limits| limits.max_pending_output = 100);
    let text = "x".repeat(40);
    let casts = peer().pause(SECOND).send(format!("cast g {text}\n").repeat(6)).pause(9 * SECOND).fin();
    let slow = peer().send("join g\n").reads_slowly(10, 10, SECOND).pause(30 * SECOND).fin();
    let prompt = peer().send("join g\n").pause(5 * SECOND).fin();
    let [_, slow, prompt] = &play(&[casts, slow.limits(limits.clone()), prompt.limits(limits)])[..] else {
        panic!("three transcripts")
    };
    assert_eq!(prompt.sent, text.repeat(6).as_bytes());
    assert_eq!(slow.sent, format!("{}(missed 3)", text.repeat(3)).as_bytes());
    assert_eq!((slow.stats.messages, slow.stats.undelivered.count("no room")), (3, 3));
    assert!(slow.pending_bytes_max <= 100 + "(missed 3)".len(), "{}", slow.pending_bytes_max);
}

#[test]
fn a_strict_member_without_room_is_reset_as_a_slow_consumer() {
    let limits = limits(|limits| limits.max_pending_output = 100);
    let casts = peer().pause(SECOND).send("cast g 0123456789012345678901234567890123456789\n".repeat(9)).fin();
    let deaf = peer().send("strict g\n").never_reads(10).limits(limits);
    let deaf = &play(&[casts, deaf])[1];
    assert_eq!((deaf.reason, deaf.reset), (CloseReason::Refused("slow consumer"), true));
    assert_eq!(deaf.stats.undelivered.count("slow consumer"), 1);
}

#[test]
fn a_cast_in_the_middle_of_a_job_comes_after_its_answer() {
    let casts = peer().pause(SECOND).send("cast g news\n").fin();
    let works = peer().send("join g\njob\n").job_time(3 * SECOND).pause(5 * SECOND).fin();
    assert_eq!(heard(&[casts, works]), ["", "(answer)news"]);
}

#[test]
fn a_cast_passes_through_the_layer_of_its_receiver() {
    let casts = peer().pause(SECOND).send("cast g news\n").fin();
    let layered = peer().layer(|| Box::new(Frames::default())).send(record(b"join g\n")).pause(5 * SECOND).fin();
    assert!(play(&[casts, layered])[1].sent.starts_with(&record(b"news")));
}

#[test]
fn one_connection_has_a_bound_of_messages_under_way() {
    let most = usize::from(MESSAGES_PER_SENDER_MAX);
    let sends = peer().send("post 0 \n".repeat(most + 2)).fin();
    let refused = heard(&[sends]).concat().matches("(Full)").count();
    assert!(refused <= 2, "the budget of a visit is smaller");
}

#[test]
fn groups_of_a_connection_and_their_names_are_bounded() {
    let joins: String = (0..=GROUPS_PER_CONNECTION_MAX).map(|number| format!("join {number}\n")).collect();
    assert_eq!(heard(&[peer().send(joins).fin()]), ["(Full)"]);
    let long = |bytes| peer().send(format!("join {}\n", "x".repeat(bytes))).fin();
    assert_eq!(heard(&[long(GROUP_NAME_BYTES_MAX)]), [""]);
    assert_eq!(heard(&[long(GROUP_NAME_BYTES_MAX + 1)]), ["(Full)"]);
}

#[test]
fn other_threads_reach_a_connection_and_a_group() {
    let member = peer().send("join g\n").post("one").cast("g", "two").post("three").pause(SECOND).fin();
    assert_eq!(heard(&[member]), ["(outside: one)two(outside: three)"]);
}

#[test]
fn a_handle_closes_a_connection_after_its_output() {
    let closed = &play(&[peer().send("join g\n").cast("g", "last").close()])[0];
    assert_eq!((&closed.sent[..], closed.reason, closed.reset), (&b"last"[..], CloseReason::Asked, false));
}

#[test]
fn faults_of_the_socket_change_no_message() {
    let script = peer().send("join g\npost 0 hello\n").cast("g", "news").pause(SECOND).fin();
    every_fault(|| Member { index: 0, known: Known::default() }, &script);
}
