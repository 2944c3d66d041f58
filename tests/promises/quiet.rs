//! The loop is quiet: no system call while it is idle, and no needless one while it serves.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Client, Scratch, Strace, eventually, every_protocol, listener, listener_with, may_open, strace_works, watch_for,
};

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
fn only_a_peer_that_is_still_there_after_its_first_visit_is_registered() {
    if !strace_works() {
        return;
    }
    let server = Strace::start(&[], &json!({ "listeners": [listener("sum", "tcp")] }));
    let address = server.process.address("sum-tcp");
    server.process.pause();
    (0..5).for_each(|_| drop(Client::connect(address)));
    server.process.resume();
    eventually("they are closed", || server.process.counters()[0].contains("accepted 5, open 0"));
    // Only connections are registered for urgent data.
    let registered =
        || server.lines().iter().filter(|line| line.begins("epoll_ctl") && line.text.contains("EPOLLPRI")).count();
    assert_eq!(registered(), 0);
    let mut client = Client::connect(address);
    client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    assert_eq!(registered(), 1);
}

#[test]
fn two_thousand_idle_members_of_a_chat_make_no_system_call() {
    const ROOMS: usize = 100;
    const MEMBERS_EACH: usize = 20;
    if !strace_works() || !may_open((ROOMS * MEMBERS_EACH + 1000) as u64) {
        return;
    }
    let limits = json!({ "limits": { "max_connections": ROOMS * MEMBERS_EACH, "idle_timeout": "1h" } });
    let server = Strace::example("chat", &json!({ "listeners": [listener_with("chat", &limits)] }));
    let mut rooms: Vec<Vec<Client>> = Vec::new();
    for room in 0..ROOMS {
        let mut members: Vec<Client> = Vec::new();
        for number in 0..MEMBERS_EACH {
            let name = format!("m{room}x{number}");
            let mut client = Client::connect(server.process.address("chat-tcp"));
            let news = format!("{name} is in room{room}\n");
            client.send(format!("{name}\n/join room{room}\n"));
            client.expect(format!("What is your name (1 to 20 letters or digits)?\n{name} is in hall\n{news}"));
            members.iter_mut().for_each(|other| other.expect(&news));
            members.push(client);
        }
        rooms.push(members);
    }
    eventually("every thread waits", || server.is_at_rest());
    let (before, ticks) = (server.lines(), server.process.processor_ticks());
    watch_for(Duration::from_secs(1));
    let after = server.lines();
    assert_eq!(after.len(), before.len(), "{:#?}", &after[before.len()..]);
    assert_eq!(server.process.processor_ticks(), ticks);
    rooms[7][0].send("hello\n");
    rooms[7][1].expect("m7x0: hello\n");
}

#[test]
fn a_loop_that_looks_before_it_sleeps_sleeps_when_nothing_comes() {
    if !strace_works() {
        return;
    }
    let server = Strace::start(&[], &json!({ "listeners": [listener("sum", "tcp")], "busy_poll": "20ms" }));
    let mut client = Client::connect(server.process.address("sum-tcp"));
    eventually("every thread waits", || server.is_at_rest());
    let looks = || server.lines().iter().filter(|line| line.text.ends_with("[], 1024, 0) = 0")).count();
    let ask = |client: &mut Client| client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    eventually("the loop looks before it sleeps", || {
        ask(&mut client);
        looks() > 100
    });
    eventually("every thread waits", || server.is_at_rest());
    let (before, ticks) = (server.lines().len(), server.process.processor_ticks());
    watch_for(Duration::from_secs(1));
    assert_eq!((server.lines().len(), server.process.processor_ticks()), (before, ticks));
    ask(&mut client);
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
