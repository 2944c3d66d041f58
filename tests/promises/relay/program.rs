//! `examples/relay` as a process: what goes through it, what it costs, and what the access log says of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use super::{accept, other_server};
use crate::support::{Client, Process, Scratch, eventually, listener_with, program, refusing};

const MIB: usize = 1 << 20;

/// The example with these targets, limits and log.
fn example(targets: &[SocketAddr], limits: &Value, log: &Value) -> Process {
    let members = json!({ "options": { "targets": targets }, "limits": limits });
    let config = json!({ "listeners": [listener_with("relay", &members)], "log": log });
    let directory = Scratch::new();
    fs::write(directory.path().join("relay.json"), config.to_string()).unwrap();
    let mut command = Command::new(program("relay"));
    command.args(["-c", "relay.json"]);
    Process::of(command, directory)
}

/// An access log in a file.
fn access_log() -> Value {
    json!({ "format": "json", "access": "all", "file": "relay.log" })
}

/// The lines of the access log, by their peer.
fn access(process: &Process) -> BTreeMap<String, Value> {
    let log = fs::read_to_string(process.directory().path().join("relay.log")).unwrap_or_default();
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let access = lines.filter(|line| line["target"] == "reactor::access");
    access.map(|line| (line["peer"].as_str().unwrap().to_owned(), line)).collect()
}

/// A client of the example, and the other server's end.
fn joined(process: &Process, listener: &TcpListener) -> [TcpStream; 2] {
    let client = Client::connect(process.address("relay-tcp")).stream().try_clone().unwrap();
    [client, accept(listener)]
}

/// Sends `bytes` and a FIN from one end, and reads both at the other.
fn pass(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    thread::scope(|scope| {
        scope.spawn(move || {
            from.write_all(bytes).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        to.read_to_end(&mut received).unwrap();
        assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
    });
}

#[test]
fn the_access_log_agrees_with_both_ends_of_a_relay_to_the_byte() {
    let (_socket, refuses) = refusing();
    let (listener, address) = other_server();
    let process = example(&[refuses, address], &json!({}), &access_log());
    let [client, server] = joined(&process, &listener);
    let (request, answer) = (vec![b'q'; 3 * MIB + 1], vec![b'a'; MIB + 7]);
    // Each way, one direction is finished before the other begins.
    pass(&client, &server, &request);
    pass(&server, &client, &answer);
    eventually("each connection has its line", || access(&process).len() == 3);
    let mut lines = access(&process);
    let mut line = |peer: SocketAddr| {
        let line = lines.remove(&peer.to_string()).unwrap();
        ["reason", "who", "phase", "in", "out"].map(|field| line[field].to_string().replace('"', ""))
    };
    let sizes = [request.len(), answer.len()].map(|size| size.to_string());
    let of = |size: [&str; 2]| ["eof", "peer", "relaying", size[0], size[1]].map(str::to_owned);
    assert_eq!(line(client.local_addr().unwrap()), of([&sizes[0], &sizes[1]]));
    assert_eq!(line(address), of([&sizes[1], &sizes[0]]));
    assert_eq!(line(refuses)[2..], ["handshake", "0", "0"]);
}

#[test]
fn the_access_log_says_that_the_other_side_of_a_relay_has_ended() {
    let (listener, address) = other_server();
    let process = example(&[address], &json!({}), &access_log());
    let [mut client, mut server] = joined(&process, &listener);
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    Client::over(client.try_clone().unwrap()).reset();
    let peer = client.local_addr().unwrap().to_string();
    drop(client);
    eventually("both have their line", || access(&process).len() == 2);
    let lines = access(&process);
    let of = |peer: &str| ["reason", "who", "phase", "in", "out"].map(|field| lines[peer][field].clone());
    assert_eq!(of(&peer), [json!("reset"), json!("peer"), json!("relaying"), json!(5), json!(0)]);
    let other = of(&address.to_string());
    assert_eq!(other, [json!("other side"), json!("other"), json!("relaying"), json!(0), json!(5)]);
}

#[test]
fn readers_that_stop_hold_one_max_pending_output_at_each_side() {
    const RELAYS: usize = 16;
    let (listener, address) = other_server();
    let limits = json!({ "max_pending_output": "1MiB", "write_timeout": "10m" });
    let process = example(&[address], &limits, &json!({}));
    let pairs: Vec<_> = (0..RELAYS).map(|_| joined(&process, &listener)).collect();
    let mut ends: Vec<_> = pairs.into_iter().flatten().map(Client::over).collect();
    let before = process.resident_bytes();
    crate::support::send_until_all_are_stuck(&process, "relay-tcp", &mut ends);
    let grown = process.resident_bytes().saturating_sub(before);
    let bound = 2 * RELAYS * MIB;
    assert!(grown > bound / 2, "only {grown} bytes: nothing was stuck");
    // The rest is the loop's buffers, and what the allocator rounds up.
    assert!(grown < bound + bound / 4, "{grown} bytes for {RELAYS} relays");
}
