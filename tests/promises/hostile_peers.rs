//! Hostile peers: the memory and the time of each is bounded, and all other clients are served meanwhile.

use std::io;
use std::net::SocketAddr;

use serde_json::json;

use crate::support::{
    Client, Process, Random, Scratch, ask, deaf_clients, eventually, every_protocol, listener, listener_with, loopback,
    server,
};

/// Expects that an honest client is served now.
#[track_caller]
fn an_honest_client_is_served(address: SocketAddr) {
    let mut client = Client::connect(address);
    for _ in 0..10 {
        client.ask("honest\n", "HONEST\n");
    }
}

#[test]
fn a_peer_that_never_reads_is_read_from_only_until_its_output_is_full() {
    let (server, address) = loopback("uppercase");
    let mut peer = Client::connect(address);
    let sent = peer.send_until_stuck(&vec![b'a'; 64 * 1024]) as u64;
    an_honest_client_is_served(address);
    let stats = server.stats("uppercase-tcp");
    let pending = stats.received_bytes - stats.sent_bytes;
    // `max_pending_output`, and the read that exceeded it.
    assert!((256 * 1024..(256 + 64) * 1024).contains(&pending), "{pending} bytes pending");
    // Once the peer reads it gets everything, in order.
    peer.finish();
    assert!(peer.rest() == vec![b'A'; sent as usize]);
}

#[test]
fn fifty_peers_that_never_read_cost_no_more_memory_than_their_output_may() {
    const PEERS: usize = 50;
    let server = Process::listen(&["uppercase=tcp://127.0.0.1:0"]);
    let address = server.address("uppercase-tcp");
    an_honest_client_is_served(address);
    let before = server.resident_bytes();
    let peers = deaf_clients(&server, "uppercase-tcp", PEERS);
    an_honest_client_is_served(address);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown > PEERS * 256 * 1024 / 2, "their output is not in memory: {grown} bytes");
    // A buffer that grows by doubling may be half empty.
    assert!(grown < PEERS * 2 * (256 + 64) * 1024, "{grown} bytes");
    assert_eq!(peers.len(), PEERS);
}

#[test]
fn a_peer_that_takes_nothing_for_the_write_timeout_is_reset() {
    // Long answers to single bytes, until one is pending: then all input has been read, so that a plain close would
    // send a FIN.
    const ANSWER: usize = 900 * 1024;
    let long_answer = json!({ "options": { "text": "x".repeat(ANSWER) }, "limits": { "write_timeout": "200ms" } });
    let config = json!({ "listeners": [listener_with("greeting", &long_answer), listener("uppercase", "tcp")] });
    let server = server(&config);
    let mut peer = Client::connect_with_little_room(server.address("greeting-tcp"));
    for asked in 1.. {
        peer.send("?");
        eventually("it is read", || server.stats("greeting-tcp").received_bytes == asked);
        if server.stats("greeting-tcp").sent_bytes < asked * ANSWER as u64 {
            break;
        }
    }
    an_honest_client_is_served(server.address("uppercase-tcp"));
    eventually("it is reset", || server.stats("greeting-tcp").closed.count("write timeout") == 1);
    assert_eq!(peer.try_rest().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn over_the_limit_of_output_the_slowest_readers_are_reset() {
    const PEERS: usize = 20;
    let config = json!({ "listeners": [listener("uppercase", "tcp")], "max_pending_output_total": "1MiB" });
    let server = Process::start(&config);
    let address = server.address("uppercase-tcp");
    let mut reader = Client::connect(address);
    let peers = deaf_clients(&server, "uppercase-tcp", PEERS);
    eventually("some are reset", || server.counter("uppercase-tcp", "closed") > 0);
    an_honest_client_is_served(address);
    reader.ask("still here\n", "STILL HERE\n");
    // Peers within the limit stay until their own deadline.
    assert!(server.counter("uppercase-tcp", "open") > 1, "{}", server.log());
    assert!(server.counters().iter().any(|line| line.contains("max_pending_output_total")));
    assert_eq!(peers.len(), PEERS);
}

#[test]
fn a_silent_peer_is_closed_after_the_idle_timeout() {
    let directory = Scratch::new();
    let limits = json!({ "limits": { "idle_timeout": "200ms" } });
    let mut config = json!({ "listeners": every_protocol(&directory) });
    config["limits"] = limits["limits"].clone();
    let server = server(&config);
    for name in ["sum-tcp", "uppercase-tcp", "file-tcp", "file-sized-tcp", "time-tcp", "greeting-tcp"] {
        let mut peer = Client::connect(server.address(name));
        an_honest_client_is_served(server.address("uppercase-tcp"));
        let told = peer.rest();
        assert_eq!(told.len(), if name == "time-tcp" { 28 } else { 0 }, "{name}");
        // Our FIN ends the server's lingering, too.
        drop(peer);
        eventually("it is closed", || server.stats(name).closed.count("idle") == 1);
    }
}

#[test]
fn a_request_that_arrives_too_slowly_is_closed_at_its_deadline() {
    let limits = json!({ "limits": { "request_timeout": "300ms", "idle_timeout": "30s" } });
    let server = server(&json!({ "listeners": [listener_with("sum", &limits), listener("uppercase", "tcp")] }));
    let mut peer = Client::connect(server.address("sum-tcp"));
    peer.send(r#"{"A":"#);
    // Only the end can come, since the request is never complete.
    eventually("it is closed", || {
        peer.send(" ");
        peer.has_answer()
    });
    an_honest_client_is_served(server.address("uppercase-tcp"));
    assert_eq!(peer.rest(), b"");
    drop(peer);
    eventually("it is counted", || server.stats("sum-tcp").closed.count("request timeout") == 1);
}

#[test]
fn a_reset_at_any_moment_ends_one_connection_and_nothing_else() {
    const ROUNDS: u64 = 100;
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let talks: [(&str, &[u8]); 6] = [
        ("sum-tcp", br#"{"A":7,"B":4}{"A":7,"#),
        ("uppercase-tcp", b"hello\nexit\nmore"),
        ("file-tcp", b"file\ncontents"),
        ("file-sized-tcp", b"sized\n1000\ncontents"),
        ("time-tcp", b"?"),
        ("greeting-tcp", b"hello socket"),
    ];
    for (name, talk) in talks {
        for seed in 0..ROUNDS {
            let mut random = Random::new(seed);
            let mut peer = Client::connect(server.address(name));
            peer.send(&talk[..random.below(talk.len() + 1)]);
            if random.below(2) == 0 && name != "time-tcp" {
                an_honest_client_is_served(server.address("uppercase-tcp"));
            }
            peer.reset();
        }
        // The honest clients are among the accepted ones.
        let has_ended = || {
            let stats = server.stats(name);
            stats.accepted >= ROUNDS && stats.accepted == stats.closed.total()
        };
        eventually(&format!("{name}: all have ended"), has_ended);
    }
    an_honest_client_is_served(server.address("uppercase-tcp"));
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn every_port_survives_input_of_other_protocols() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let client_hello =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03], &Random::new(1).bytes(512)[..]];
    let nonsense = [
        client_hello.concat(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        vec![0; 64 * 1024],
        Random::new(2).bytes(64 * 1024),
        b"[".repeat(64 * 1024),
        b"\n".repeat(64 * 1024),
    ];
    for name in ["sum-tcp", "uppercase-tcp", "file-tcp", "file-sized-tcp", "time-tcp", "greeting-tcp"] {
        for bytes in &nonsense {
            ask(server.address(name), &[bytes]);
            an_honest_client_is_served(server.address("uppercase-tcp"));
        }
    }
    assert_eq!(ask(server.address("sum-tcp"), &[&nonsense[1]]), b"{\"Error\":\"not JSON at byte 1\"}\n");
    // Only the SSH client has sent a valid file name.
    assert_eq!(directory.names(), ["SSH-2.0-OpenSSH_9.6"]);
}
