use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::limits::Limits;
use crate::protocol::{CloseReason, Credentials};
use crate::testing::{Script, Transcript, converse, every_fault, same_for_every_split};

fn visitor() -> Visitor {
    Visitor { hosts: Arc::default(), reader: Reader::default(), is_local: true, take: None }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The status lines of all answers.
fn statuses(transcript: &Transcript) -> Vec<String> {
    let sent = String::from_utf8_lossy(&transcript.sent);
    sent.lines().filter(|line| line.starts_with("HTTP/1.1 ")).map(|line| line["HTTP/1.1 ".len()..].to_owned()).collect()
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_split() {
    let paths = ["/healthz", "/readyz", "/nothing", "/healthz"];
    let requests = paths.map(get).concat();
    let transcript = same_for_every_split(visitor, requests.as_bytes());
    assert_eq!(statuses(&transcript), ["200 OK", "200 OK", "404 Not Found", "200 OK"]);
    assert_eq!((transcript.reason, transcript.stats.refused.count("Not Found")), (CloseReason::Eof, 1));
}

#[test]
fn no_fault_at_any_call_changes_the_answers() {
    for window in [1, 100, usize::MAX] {
        every_fault(visitor, &Script::new().send(get("/readyz")).send_fin(get("/healthz")).window(window));
    }
}

#[test]
fn the_connection_closes_after_an_answer_when_either_side_wants_it() {
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned();
    let job = "GET /readyz HTTP/1.0\r\n\r\n".to_owned();
    for first in [last, job] {
        let transcript = converse(visitor(), &Script::new().send(first + &get("/healthz")));
        assert_eq!((statuses(&transcript), transcript.reason), (vec!["200 OK".to_owned()], CloseReason::Finished));
    }
    let smuggled = "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    let transcript = converse(visitor(), &Script::new().send(smuggled.to_owned() + &get("/healthz")));
    assert_eq!(
        (statuses(&transcript), transcript.reason),
        (vec!["400 Bad Request".to_owned()], CloseReason::Refused("Bad Request"))
    );
}

#[test]
fn a_request_that_does_not_come_in_time_is_answered_and_silence_is_not() {
    let limits = Limits { request_timeout: Some(Duration::from_secs(5)), ..Limits::default() };
    let slow = converse(visitor(), &Script::new().limits(limits.clone()).send("GET /"));
    assert_eq!((statuses(&slow), slow.reason), (vec!["408 Request Timeout".to_owned()], CloseReason::RequestTimeout));
    let silent = converse(visitor(), &Script::new().limits(limits));
    assert_eq!((&silent.sent[..], silent.reason), (&b""[..], CloseReason::Idle));
}

#[test]
fn what_follows_the_request_for_a_recording_is_not_answered_in_its_place() {
    let limits = Limits { lifetime: Some(Duration::from_secs(5)), ..Limits::default() };
    for rest in [String::new(), get("/healthz"), "GET /".to_owned()] {
        let recording = Visitor { take: Some((Form::Text, Manner::LAST)), ..visitor() };
        let transcript = converse(recording, &Script::new().limits(limits.clone()).send(&rest));
        assert_eq!((statuses(&transcript), transcript.reason), (vec![], CloseReason::Lifetime), "{rest}");
    }
}

#[test]
fn without_a_worker_the_answer_is_503() {
    let transcript = converse(visitor(), &Script::new().send(get("/metrics")).jobs_taken(0));
    assert_eq!(
        (statuses(&transcript), transcript.reason),
        (vec!["503 Service Unavailable".to_owned()], CloseReason::NoWorker)
    );
}

#[test]
fn a_host_name_with_a_port_is_a_wrong_option() {
    let check = |hosts: &[&str]| {
        let options = Options { hosts: hosts.iter().map(ToString::to_string).collect() };
        Admin::check(&options).map_err(|errors| errors.into_iter().map(|error| error.path).collect::<Vec<_>>())
    };
    assert_eq!(check(&["a.example", "b_c"]), Ok(()));
    assert_eq!(check(&["a:80", "a", ""]), Err(vec!["hosts[0]".to_owned(), "hosts[2]".to_owned()]));
}

#[test]
fn the_loop_is_recorded_for_peers_on_this_machine_only() {
    let peers = [("127.0.0.1:1", true), ("[::1]:1", true), ("[::ffff:127.0.0.1]:1", true), ("192.0.2.1:1", false)];
    let peers = peers.map(|(address, is_local)| (Peer::from(address.parse::<SocketAddr>().unwrap()), is_local));
    for (peer, is_local) in peers.into_iter().chain([(Peer::from(Credentials::default()), true)]) {
        let protocol = Admin { hosts: Arc::default() }.connect(&peer).unwrap();
        let transcript = converse(protocol, &Script::new().send_fin(get("/xray?seconds=10")));
        // The test has no loop that could be recorded.
        let status = if is_local { "409 Conflict" } else { "403 Forbidden" };
        assert_eq!(statuses(&transcript), [status], "{peer}");
    }
}
