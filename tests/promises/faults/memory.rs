//! The bounds of memory in `docs/reliability.md`, one by one, each with only hostile clients.

use std::{fs, mem};

use reactor::Config;
use serde_json::json;

use crate::support::{
    Client, Fault, Process, SUM, Scratch, Trial, ask, deaf_clients, eventually, faults_work, listener,
    send_until_all_are_stuck,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// As docs/reliability.md states them.
const BULK_BUFFER_BYTES: usize = 256 * KIB;
const BULK_BUFFERS_MAX: usize = 128;
const PRESSED_READ_BYTES: usize = 4 * KIB;
const READ_BYTES: usize = 64 * KIB;
const WORKERS: usize = 4;

/// Bytes of a connection that keeps neither input nor output.
const CONNECTION_BYTES: usize = KIB;

/// A message of `uppercase` grows to three times its input, at worst.
const GROWTH: usize = 3;

#[test]
fn a_connection_between_two_requests_costs_no_more_than_a_kibibyte() {
    const PEERS: usize = 2000;
    let server = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
    let address = server.address("sum-tcp");
    ask(address, &[SUM.0]);
    let before = server.resident_bytes();
    let mut peers: Vec<_> = (0..PEERS).map(|_| Client::connect(address)).collect();
    for peer in &mut peers {
        peer.ask(SUM.0, SUM.1);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown <= PEERS * CONNECTION_BYTES, "{} bytes each", grown / PEERS);
}

#[test]
fn the_total_output_stays_within_its_limit_however_many_never_read() {
    const PEERS: usize = 200;
    const TOTAL: usize = 8 * MIB;
    let config = json!({ "listeners": [listener("uppercase", "tcp")], "max_pending_output_total": "8MiB" });
    let server = Process::start(&config);
    let address = server.address("uppercase-tcp");
    ask(address, &["before"]);
    let before = server.resident_bytes();
    let peers = deaf_clients(&server, "uppercase-tcp", PEERS);
    let grown = server.resident_bytes().saturating_sub(before);
    let last_visit = Config::without_listeners().limits.max_pending_output + GROWTH * READ_BYTES;
    let pending = TOTAL + last_visit + PEERS * GROWTH * PRESSED_READ_BYTES;
    assert!(grown >= TOTAL / 2, "the limit has not been reached: {grown} bytes");
    assert!(grown <= PEERS * CONNECTION_BYTES + 2 * pending, "{grown} bytes");
    assert_eq!(ask(address, &["one more"]), b"ONE MORE");
    drop(peers);
}

/// Back-pressure covers every call of a protocol: the results of jobs wait for room as bytes do.
#[test]
fn a_download_that_is_not_read_holds_two_parts_beside_its_output() {
    const PEERS: usize = 200;
    const PART: usize = 64 * KIB;
    let directory = Scratch::new();
    fs::File::create(directory.path().join("large")).unwrap().set_len(1 << 30).unwrap();
    let server = Process::example("download", directory, &["download=tcp://127.0.0.1:0"]);
    let address = server.address("download-tcp");
    assert_eq!(ask(address, &["missing\n"]), b"error: there is no such file\n");
    let begin = || {
        let mut client = Client::connect_with_little_room(address);
        client.send("large\n");
        client
    };
    let nothing_moves = || {
        let (mut before, mut same) = (u64::MAX, 0);
        eventually("no more bytes are sent", || {
            let sent = server.counter("download-tcp", "bytes out");
            same = if sent == mem::replace(&mut before, sent) { same + 1 } else { 0 };
            same == 100
        });
    };
    let empty = server.resident_bytes();
    let first = begin();
    nothing_moves();
    let before = server.resident_bytes();
    assert!(before.saturating_sub(empty) <= 4 * MIB, "the first: {} bytes", before - empty);
    let others: Vec<_> = (0..PEERS).map(|_| begin()).collect();
    nothing_moves();
    let grown = server.resident_bytes().saturating_sub(before);
    let each = Config::without_listeners().limits.max_pending_output + 2 * PART;
    // Blocks end at pages, and the allocator has some bytes of its own.
    assert!(grown <= PEERS * (each + each / 16), "{} KiB each", grown / PEERS / KIB);
    for client in others.into_iter().chain([first]) {
        client.reset();
    }
}

#[test]
fn uploads_stay_within_their_buffers_however_many_wait_for_a_stuck_disk() {
    if !faults_work() {
        return;
    }
    const PEERS: usize = 200;
    let trial = Trial::start(&[listener("file-sized", "tcp")]);
    let begin = |name: String, size: usize| {
        let mut client = Client::connect(trial.address("file-sized-tcp"));
        client.ask(format!("{name}\n{size}\n"), "OK\nOK\n");
        client
    };
    let mut peers: Vec<_> = (0..PEERS).map(|number| begin(format!("peer-{number}"), 1 << 30)).collect();
    let mut blockers: Vec<_> = (0..WORKERS).map(|number| begin(format!("blocker-{number}"), 1)).collect();
    let before = trial.resident_bytes();
    let fault = Fault::on(&trial, &["fsync:delay_enter=60000000"]);
    for blocker in &mut blockers {
        blocker.send("x");
    }
    send_until_all_are_stuck(&trial, "file-sized-tcp", &mut peers);
    let grown = trial.resident_bytes().saturating_sub(before);
    // Without a buffer, an upload keeps at most the rest of the read that brought its name.
    let kept = CONNECTION_BYTES + READ_BYTES + KIB;
    let all_lent = format!("upload buffers lent {BULK_BUFFERS_MAX} of {BULK_BUFFERS_MAX}");
    eventually("the pool is used up", || trial.log().contains(&all_lent));
    assert!(grown <= BULK_BUFFERS_MAX * BULK_BUFFER_BYTES + PEERS * kept, "{grown} bytes");
    drop(fault);
    for client in peers.into_iter().chain(blockers) {
        client.reset();
    }
    trial.end();
}
