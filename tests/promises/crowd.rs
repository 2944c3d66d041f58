//! Many clients at once, and few descriptors: all clients are served in the end.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Process, eventually, listener, listener_with, may_open, watch_for};

const REQUEST: &str = r#"{"A":7,"B":4}"#;
const ANSWER: &str = "{\"Sum\":11}\n";

#[test]
fn ten_thousand_connections_at_once_are_all_answered() {
    const CROWD: usize = 10_000;
    if !may_open(CROWD as u64 + 1000) {
        return;
    }
    let server = Process::start(&json!({ "listeners": [listener_with("sum", &json!({ "backlog": 4096 }))] }));
    let address = server.address("sum-tcp");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Client::connect(address)).collect();
    for round in 0..2 {
        for client in &mut crowd {
            client.send(REQUEST);
        }
        for client in &mut crowd {
            client.expect(ANSWER);
        }
        assert!(server.descriptors() > CROWD, "round {round}: not all are connected at once");
    }
}

/// An upload needs two descriptors. If other connections took each descriptor that is freed, it would never get them.
#[test]
fn short_of_descriptors_an_upload_is_served_when_its_turn_has_come() {
    let limited = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"];
    let listeners = json!({ "listeners": [listener("sum", "tcp"), listener("file-sized", "tcp")] });
    let server = Process::under(&limited, &listeners);
    let address = server.address("sum-tcp");
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(REQUEST);
    }
    clients[0].expect(ANSWER);
    eventually("accepting is paused", || server.counter("sum-tcp", "accept paused") > 0);
    let mut upload = Client::connect(server.address("file-sized-tcp"));
    upload.send("a\n1\nx");
    // The first clients close, one by one.
    for (left, client) in clients.into_iter().enumerate() {
        assert!(left < 10, "{left} descriptors were freed, and the upload got none");
        drop(client);
        eventually("it has closed", || server.counter("sum-tcp", "closed") as usize > left);
        if server.counter("file-sized-tcp", "accepted") == 1 {
            return upload.expect("OK\nOK\nOK\n");
        }
    }
}

#[test]
fn two_hundred_clients_are_served_with_thirty_two_descriptors() {
    let limited = ["sh", "-c", "ulimit -n 32; exec \"$@\"", "sh"];
    let mut server = Process::under(&limited, &json!({ "listeners": [listener("sum", "tcp")] }));
    let address = server.address("sum-tcp");
    // All clients are connected, in the accept queue at least, before the first is done; so from here on no new
    // connection causes an event.
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(REQUEST);
    }
    clients[0].expect(ANSWER);
    let ticks = server.processor_ticks();
    watch_for(Duration::from_millis(500));
    let spent = server.processor_ticks() - ticks;
    assert!(spent <= 5, "{spent} ticks of 50 without a client to serve: it spins");

    let mut clients = clients.into_iter();
    drop(clients.next());
    for mut client in clients {
        client.expect(ANSWER);
    }
    assert!(server.is_running() && server.processor_ticks() < 200);
    assert!(server.descriptors() <= 32);
}

#[test]
fn those_beyond_the_limit_of_connections_wait_and_are_not_turned_away() {
    let limits = json!({ "limits": { "max_connections": 3 } });
    let server = crate::support::server(&json!({ "listeners": [listener_with("sum", &limits)] }));
    let address = server.address("sum-tcp");
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(REQUEST);
    }
    for mut client in clients.drain(..3) {
        client.expect(ANSWER);
        let stats = server.stats("sum-tcp");
        assert!(stats.accepted - stats.closed.total() <= 3, "{stats:?}");
    }
    for mut client in clients {
        client.expect(ANSWER);
    }
    assert!(server.stats("sum-tcp").paused.count("max_connections") > 0);
}
