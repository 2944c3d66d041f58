//! The real server, and the checker's output without a verdict.

use crate::checker::{Report, check, run};
use crate::server::{Output, Server};

#[track_caller]
fn meets_every_demand(protocol: &str, scheme: &str) {
    let server = Server::real(protocol, scheme, Output::Unread);
    let Report { code, text } = check(&server, &["--full", "--timeout", "50s"]);
    assert_eq!(code, 0, "{protocol} over {scheme}: {text}");
    assert!(text.ends_with(" met, 0 missed\n") && !text.contains("not tried"), "{text}");
}

// Each with a full pipe for its log, which one piece of the museum cannot bear.

#[test]
fn sums_over_tcp_meet_every_demand() {
    meets_every_demand("sum", "tcp");
}

#[test]
fn sums_over_udp_meet_every_demand() {
    meets_every_demand("sum", "udp");
}

#[test]
fn upper_case_meets_every_demand() {
    meets_every_demand("uppercase", "tcp");
}

#[test]
fn the_greeting_and_the_time_meet_every_demand() {
    meets_every_demand("greeting", "tcp");
    meets_every_demand("time", "tcp");
}

#[test]
fn without_pid_only_demands_visible_from_outside_are_tried() {
    let server = Server::real("sum", "tcp", Output::Read);
    let [protocol, url] = server.spoken();
    let Report { code, text } = run(&[protocol, url, "--only", "answers,rest", "--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("ok      answers") && text.contains("rest          not tried: needs --pid"), "{text}");
}

#[test]
fn a_wrong_answer_is_reported_with_sent_got_and_expected() {
    // The server speaks another protocol than the checker.
    let server = Server::real("greeting", "tcp", Output::Read);
    let [_, url] = server.spoken();
    let Report { code, text } = run(&["sum", url, "--only", "answers", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with(&format!("the server at {url} does not answer as expected")), "{text}");
    assert!(text.contains(r#"sent      {"A":"#), "{text}");
    assert!(text.contains("got       This is"), "{text}");
    assert!(text.contains(r#"expected  {"Sum":"#), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let Report { code, text } = run(&["sum", "tcp://127.0.0.1:1", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn every_demand_is_listed_and_an_unknown_name_is_wrong_usage() {
    let Report { code, text } = run(&["--list"]);
    assert_eq!(code, 0, "{text}");
    for name in ["answers", "late-reader", "exit", "descriptors", "silence", "half"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {text}");
    }
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--only", "nothing"]).code, 2);
    assert_eq!(run(&["time", "udp://127.0.0.1:1"]).code, 2);
    assert_eq!(run(&["sum"]).code, 2);
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--directory", "received"]).code, 2);
}
