//! Code that the tests of the promises share.

mod canary;
mod client;
mod deaf;
mod ended;
mod fault;
mod network;
#[cfg(target_os = "linux")]
mod passing;
mod process;
mod random;
mod scratch;
mod server;
mod strace;
mod trial;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

pub(crate) use self::canary::Canary;
pub(crate) use self::client::{Client, ask};
pub(crate) use self::deaf::{deaf_clients, send_until_all_are_stuck};
pub(crate) use self::ended::Ended;
pub(crate) use self::fault::{Fault, faults_work, root_works};
pub(crate) use self::network::in_own_network;
#[cfg(target_os = "linux")]
pub(crate) use self::passing::passing;
pub(crate) use self::process::{Process, number_after};
pub(crate) use self::random::Random;
pub(crate) use self::scratch::Scratch;
pub(crate) use self::server::{Server, loopback, server};
pub(crate) use self::strace::{Line, Strace, strace_works};
pub(crate) use self::trial::{SUM, Trial, assert_rest};

/// The time limit of every wait: far more than any needs, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds, for changes without an event: a process that ends, a file that appears, a counter.
/// All other waits read from a socket.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits for `span`. Only for claims that nothing happens during a span of time.
pub(crate) fn watch_for(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// How long a soak takes: as long as `REACTOR_SOAK` says, or `default`.
pub(crate) fn soak(default: Duration) -> Duration {
    env::var("REACTOR_SOAK").map_or(default, |text| humantime::parse_duration(&text).unwrap())
}

/// The program of an example; `cargo test` builds it.
pub(crate) fn program(example: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_reactor")).parent().unwrap().join("examples");
    let program = directory.join(example);
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}

/// A socket that does not listen, and its address, which refuses connections. While the socket is open no other test
/// gets the port.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Whether this process may have that many descriptors; prints a message if not.
#[must_use]
pub(crate) fn may_open(count: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    if hard < count {
        assert!(env::var_os("CI").is_none(), "only {hard} descriptors are allowed (ulimit -Hn)");
        eprintln!("SKIPPED: only {hard} descriptors are allowed (ulimit -Hn), so this test did nothing");
    }
    hard >= count
}

/// A listener on a free port of this machine, with default options; its name is `PROTOCOL-SCHEME`.
pub(crate) fn listener(protocol: &str, scheme: &str) -> Value {
    json!({ "protocol": protocol, "listen": format!("{scheme}://127.0.0.1:0") })
}

/// A listener over TCP with more members: limits, options.
pub(crate) fn listener_with(protocol: &str, members: &Value) -> Value {
    let mut listener = listener(protocol, "tcp");
    for (name, value) in members.as_object().unwrap() {
        listener[name] = value.clone();
    }
    listener
}

/// Every protocol of the crate over TCP, and `sum` over UDP, with files going to `directory`.
pub(crate) fn every_protocol(directory: &Scratch) -> Value {
    let options = json!({ "options": { "directory": directory.path(), "existing": "replace" } });
    json!([
        listener("sum", "tcp"),
        listener("sum", "udp"),
        listener("uppercase", "tcp"),
        listener_with("file", &options),
        listener_with("file-sized", &options),
        listener("time", "tcp"),
        listener("greeting", "tcp"),
    ])
}
