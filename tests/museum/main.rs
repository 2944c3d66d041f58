//! The museum still fails: each piece of `examples/tools/broken` misses the demand of `examples/tools/check` that it is
//! about, in its own way, and meets the others. The real server meets all demands, so the checker is right.
//!
//! The solutions of "Build your own reactor" pass their steps, and miss the next one.
//!
//! A run that must miss gets little time, because a slow machine can only make it miss; a run that must meet gets much.

// The pieces rely on the edges of epoll, and the checker reads `/proc`.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod causes;
mod checker;
mod files;
mod real;
mod server;
mod steps;

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use self::checker::{Report, check};
use self::server::{Output, Server, program};

/// How a piece fails.
struct Failure {
    piece: &'static str,
    /// The demand that it misses, and alternatives, one of which the report contains.
    demand: &'static str,
    words: &'static [&'static str],
    /// Demands that it may miss for the same reason.
    also: &'static [&'static str],
    /// Further options of the checker.
    options: &'static [&'static str],
    /// Its exit code, if it exits then.
    ends: Option<i32>,
}

/// Declares a test for each piece, and a list of them.
macro_rules! museum {
    ($($name:ident: $piece:literal misses $demand:literal told $words:expr, also $also:expr $(, with $option:literal)? $(, ends $code:literal)?;)*) => {
        const PIECES: &[&str] = &[$($piece),*];

        $(#[test]
        fn $name() {
            let ends = [$($code)?].first().copied();
            let options = &[$($option)?];
            still_fails(&Failure { piece: $piece, demand: $demand, words: &$words, also: &$also, options, ends });
        })*
    };
}

const SILENCE: &str = "then a timeout";

museum! {
    one_answer_closes_although_its_client_has_more_to_ask:
        "one-answer" misses "answers" told ["nothing, then"],
        also ["steady", "glued", "split", "burst", "late-reader", "half-close", "silent"];
    one_at_a_time_serves_no_other_client_while_one_is_silent:
        "one-at-a-time" misses "silent" told [SILENCE], also ["many", "stuck-reader", "deaf", "threads", "rest", "crowd"];
    busy_uses_the_processor_without_a_client:
        "busy" misses "rest" told ["no client is connected"], also ["full"];
    writable_for_ever_uses_the_processor_while_a_client_is_silent:
        "writable-for-ever" misses "rest" told ["a client is connected and silent"], also ["full"];
    waits_after_budget_sleeps_over_what_has_arrived:
        "waits-after-budget" misses "burst" told [SILENCE], also ["late-reader", "half-close", "garbage"];
    one_accept_leaves_clients_in_the_queue:
        "one-accept" misses "crowd" told [SILENCE], also ["many", "descriptors", "full"];
    read_is_message_depends_on_how_requests_are_cut:
        "read-is-message" misses "split" told ["Error"],
        also ["glued", "burst", "late-reader", "half-close", "refusal", "silent", "deaf", "firehose"];
    torn_letters_depends_on_where_letters_are_cut:
        "torn-letters" misses "torn" told [r"STRA\xc3"], also ["exit"], with "--full";
    short_write_loses_what_the_kernel_did_not_take:
        "short-write" misses "half-close" told ["from byte", "then the end"], also ["late-reader", "deaf"];
    forgotten_rest_never_sends_what_is_pending:
        "forgotten-rest" misses "late-reader" told [SILENCE], also ["half-close"];
    write_all_serves_no_other_client_while_one_does_not_read:
        "write-all" misses "deaf" told [SILENCE], also ["stuck-reader", "rest"];
    hoarder_takes_what_it_cannot_send:
        "hoarder" misses "deaf" told ["64 MiB were taken"], also [];
    hang_up_closes_at_the_fin_of_its_client:
        "hang-up" misses "fin" told ["nothing, then"], also ["half-close"];
    last_words_forgets_what_is_pending_at_fin:
        "last-words" misses "half-close" told ["then the end"], also [];
    closes_over_input_destroys_answers_that_are_on_their_way:
        "closes-over-input" misses "refusal" told ["then a reset", "while it sent the rest, a reset", "then the end"], also ["firehose"];
    exits_on_reset_ends_with_its_client:
        "exits-on-reset" misses "reset" told ["one client was reset"], also ["stuck-reader", "deaf", "heir", "rest"], ends 1;
    interrupted_ends_when_it_is_continued:
        "interrupted" misses "stopped" told ["stopped and continued"], also ["crowd"], ends 1;
    dies_of_emfile_exits_when_out_of_descriptors:
        "dies-of-emfile" misses "descriptors" told ["got  "], also ["full"], ends 1;
    sleeps_after_emfile_never_accepts_the_waiting_clients:
        "sleeps-after-emfile" misses "descriptors" told [SILENCE], also ["full"];
    reused_token_sends_an_answer_to_another_client:
        "reused-token" misses "heir" told ["another one asks"], also ["reset", "stuck-reader", "deaf", "rest"];
    chatty_serves_no_client_while_its_output_is_not_read:
        "chatty" misses "steady" told [SILENCE], also [];
    short_buffer_answers_the_beginning_of_a_datagram:
        "short-buffer" misses "whole" told [r#"{"Sum":2}"#], also [];
    empty_datagram_exits_at_an_empty_datagram:
        "empty-datagram" misses "empty" told ["refused"], also [], ends 0;
    answers_rubbish_answers_an_answer:
        "answers-rubbish" misses "silence" told ["Error"], also ["whole", "large", "empty"];
}

/// The demand is missed, and every other one is met.
#[track_caller]
fn still_fails(failure: &Failure) {
    thread::scope(|scope| {
        scope.spawn(|| misses(failure));
        scope.spawn(|| meets_the_others(failure));
    });
}

fn misses(&Failure { piece, demand, words, options, ends, .. }: &Failure) {
    // Its output is not read, which one of the pieces cannot bear.
    let mut server = Server::start(piece, Output::Unread);
    let Report { code, text } = check(&server, &[&["--timeout", "4s", "--only", demand], options].concat());
    assert!(code == 1 && text.contains(&format!("MISSED  {demand} ")), "{piece}: {code}\n{text}");
    assert!(words.iter().any(|word| text.contains(word)), "{piece}: {text}");
    match ends {
        Some(code) => assert_eq!(server.wait(), code, "{piece}"),
        None => assert!(server.is_running(), "{piece}"),
    }
}

fn meets_the_others(&Failure { piece, demand, also, options, .. }: &Failure) {
    let mut server = Server::start(piece, Output::Read);
    let left_out = [&[demand], also].concat().join(",");
    let Report { code, text } = check(&server, &[&["--timeout", "50s", "--skip", &left_out], options].concat());
    assert_eq!(code, 0, "{piece}: {text}");
    assert!(server.is_running(), "{piece}");
}

#[test]
fn the_servers_without_a_fault_meet_every_demand() {
    for piece in ["right", "right-udp"] {
        let Report { code, text } = check(&Server::start(piece, Output::Read), &["--timeout", "50s"]);
        assert_eq!(code, 0, "{piece}: {text}");
    }
}

#[test]
fn the_small_reactor_in_python_meets_every_demand() {
    if !steps::is_here("python3", "--version") {
        return;
    }
    let server = Server::spawn(Command::new("python3").args(["examples/book/right.py", "0"]), Output::Read);
    let Report { code, text } = check(&server, &["--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn every_piece_of_the_museum_is_tried() {
    let help = Command::new(program("broken")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'));
    let listed: BTreeSet<_> = listed.map(|(name, _)| name).collect();
    assert_eq!(listed, PIECES.iter().copied().chain(["right", "right-udp"]).collect());
}
