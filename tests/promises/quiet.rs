//! The loop is quiet: no system call while it is idle, and no needless one while it serves.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Scratch, Strace, eventually, every_protocol, listener, strace_works, watch_for};

#[test]
fn an_idle_server_makes_no_system_call() {
    if !strace_works() {
        return;
    }
    let directory = Scratch::new();
    let server = Strace::start(&[], &json!({ "listeners": every_protocol(&directory) }));
    let mut client = Client::connect(server.process.address("uppercase-tcp"));
    client.ask("hello", "HELLO");
    eventually("every thread waits", || server.is_at_rest());
    let before = server.lines();
    assert!(before.iter().any(|line| line.begins("sendto")), "the trace does not show the answer");
    watch_for(Duration::from_secs(1));
    let after = server.lines();
    assert_eq!(after.len(), before.len(), "{:#?}", &after[before.len()..]);
}

#[test]
fn a_request_costs_one_read_one_write_and_one_wait() {
    const REQUESTS: usize = 1000;
    if !strace_works() {
        return;
    }
    let server = Strace::start(&[], &json!({ "listeners": [listener("sum", "tcp")] }));
    let mut client = Client::connect(server.process.address("sum-tcp"));
    let mut ask = || client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    ask();
    eventually("every thread waits", || server.is_at_rest());
    let before = server.lines().len();
    for _ in 0..REQUESTS {
        ask();
    }
    eventually("every thread waits", || server.is_at_rest());
    let lines = server.lines().split_off(before);
    for call in ["recvfrom", "sendto", "epoll_wait"] {
        let count = lines.iter().filter(|line| line.begins(call)).count();
        assert_eq!(count, REQUESTS, "{call}");
    }
    // The first line may be the end of the previous wait.
    let others: Vec<_> = lines
        .iter()
        .filter(|line| !["recvfrom", "sendto", "epoll_wait"].iter().any(|call| line.begins(call)))
        .collect();
    let of_the_loop: Vec<_> = others.iter().filter(|line| line.thread == server.process.id()).collect();
    assert!(of_the_loop.iter().all(|line| line.text.contains("epoll_wait resumed")), "{of_the_loop:#?}");
}
