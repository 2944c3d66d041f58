//! Under a service manager: it learns the states of the server in their order, and cannot hold the server.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Process, Scratch, listener};

/// A socket as `NOTIFY_SOCKET` names it.
struct Manager {
    socket: UnixDatagram,
    directory: Scratch,
}

impl Manager {
    fn new() -> Self {
        let directory = Scratch::new();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    /// A server that this manager starts, ready, with more variables.
    fn start(&self, variables: &[&str]) -> Process {
        let listeners = json!([listener("uppercase", "tcp"), listener("sum", "udp")]);
        self.start_with(variables, &json!({ "listeners": listeners }))
    }

    /// The same with a configuration.
    fn start_with(&self, variables: &[&str], config: &Value) -> Process {
        let address = format!("NOTIFY_SOCKET={}", self.directory.path().join("notify").display());
        Process::under(&[&["env", &address], variables].concat(), config)
    }

    /// The next message, its lines separated by spaces.
    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).replace('\n', " ")
    }

    /// The next message with a state.
    fn state(&self) -> String {
        std::iter::from_fn(|| Some(self.message())).find(|message| !message.starts_with("STATUS=")).unwrap()
    }

    /// The next state is that a reload has begun since the time `asked`.
    #[track_caller]
    fn hears_of_a_reload(&self, asked: i64) {
        let told = self.state();
        let stamp = told.strip_prefix("RELOADING=1 MONOTONIC_USEC=").unwrap_or_else(|| panic!("{told}"));
        let stamp = stamp.parse().unwrap();
        assert!((asked..=now()).contains(&stamp), "asked at {asked}, begun at {stamp}");
    }

    /// Removes what has arrived.
    fn drain(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 8]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// The time of the system in microseconds, as `MONOTONIC_USEC` has it.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn a_manager_learns_the_states_in_their_order() {
    let manager = Manager::new();
    let process = manager.start(&[]);
    assert_eq!(manager.message(), "READY=1 STATUS=0 connections, 2 listeners, accepting");
    let mut client = Client::connect(process.address("uppercase-tcp"));
    client.ask("a\n", "A\n");
    assert_eq!(manager.message(), "STATUS=1 connection, 2 listeners, accepting");
    process.signal(Signal::SIGTERM);
    let told = manager.message();
    assert!(told.starts_with("STOPPING=1 EXTEND_TIMEOUT_USEC=10000000 STATUS="), "{told}");
    drop(client);
    assert!(process.wait().0.success());
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "it is the last message");
}

#[test]
fn a_manager_whose_queue_is_full_holds_neither_start_nor_client() {
    let manager = Manager::new();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    filler.connect(manager.directory.path().join("notify")).unwrap();
    while filler.send(b"X=1").is_ok() {}
    let process = manager.start(&["WATCHDOG_USEC=2000"]);
    let mut client = Client::connect(process.address("uppercase-tcp"));
    for _ in 0..100 {
        client.ask("a\n", "A\n");
    }
    let first = std::iter::from_fn(|| Some(manager.message())).find(|message| message != "X=1");
    assert_eq!(first.as_deref(), Some("READY=1 STATUS=0 connections, 2 listeners, accepting"));
    process.signal(Signal::SIGTERM);
    drop(client);
    assert!(process.wait().0.success());
}

#[test]
fn the_watchdog_is_fed_while_nothing_happens() {
    let manager = Manager::new();
    let process = manager.start(&["WATCHDOG_USEC=20000"]);
    let fed = std::iter::from_fn(|| Some(manager.message())).filter(|message| message == "WATCHDOG=1");
    assert_eq!(fed.take(20).count(), 20);
    // Without a connection the server ends in the turn in which the signal arrives, so that turn must find room in the queue.
    process.pause();
    manager.drain();
    process.signal(Signal::SIGTERM);
    process.resume();
    assert!(process.wait().0.success());
    let last = std::iter::from_fn(|| Some(manager.message())).find(|message| message.starts_with("STOPPING=1 "));
    assert_eq!(last.as_deref(), Some("STOPPING=1 EXTEND_TIMEOUT_USEC=10000000 STATUS=0 connections, stopping"));
}

#[test]
fn a_manager_that_is_not_there_changes_nothing() {
    let process = Process::under(
        &["env", "NOTIFY_SOCKET=/nowhere/notify", "WATCHDOG_USEC=20000"],
        &json!({ "listeners": [listener("uppercase", "tcp")] }),
    );
    Client::connect(process.address("uppercase-tcp")).ask("a\n", "A\n");
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert!(status.success());
    assert!(log.contains("cannot notify the service manager at /nowhere/notify: No such file"), "{log}");
}

#[test]
fn a_manager_learns_of_each_reload_and_why_one_has_failed() {
    let manager = Manager::new();
    let process = manager.start(&[]);
    assert!(manager.state().starts_with("READY=1 "));
    let asked = now();
    process.signal(Signal::SIGHUP);
    manager.hears_of_a_reload(asked);
    assert_eq!(manager.state(), "READY=1 STATUS=reloaded");
    fs::write(process.directory().path().join("reactor.json"), "{").unwrap();
    let asked = now();
    process.signal(Signal::SIGHUP);
    manager.hears_of_a_reload(asked);
    let told = manager.state();
    assert!(told.starts_with("READY=1 STATUS=reload failed: reactor.json:1:"), "{told}");
    let status = std::iter::from_fn(|| Some(manager.message())).find(|message| message.contains("2 listeners"));
    assert!(status.as_ref().is_some_and(|it| it.contains("; the last reload failed: reactor.json:1:")), "{status:?}");
    Client::connect(process.address("uppercase-tcp")).ask("a\n", "A\n");
}

#[test]
fn however_many_sighups_come_each_reload_that_begins_also_ends() {
    let manager = Manager::new();
    let process = manager.start(&[]);
    assert!(manager.state().starts_with("READY=1 "));
    let asked = now();
    (0..200).for_each(|_| process.signal(Signal::SIGHUP));
    fs::write(process.directory().path().join("reactor.json"), "{").unwrap();
    process.signal(Signal::SIGHUP);
    for number in 1.. {
        manager.hears_of_a_reload(asked);
        let told = manager.state();
        assert!(told.starts_with("READY=1 STATUS=reload"), "{number}: {told}");
        if told.contains("reload failed: reactor.json:1:") {
            break;
        }
    }
}

#[test]
fn a_manager_does_not_wait_for_a_reload_that_is_not_possible() {
    let manager = Manager::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
    command.args(["--listen", "uppercase=tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", manager.directory.path().join("notify"));
    let process = Process::of(command, Scratch::new());
    assert!(manager.state().starts_with("READY=1 "));
    let asked = now();
    process.signal(Signal::SIGHUP);
    manager.hears_of_a_reload(asked);
    let told = manager.state();
    assert!(told.starts_with("READY=1 STATUS=reload failed: there is nothing to reload"), "{told}");
}

#[test]
fn a_manager_learns_of_a_stop_when_its_delay_begins() {
    let manager = Manager::new();
    let config = json!({ "listeners": [listener("uppercase", "tcp")], "shutdown_delay": "1h" });
    let process = manager.start_with(&[], &config);
    assert!(manager.state().starts_with("READY=1 "));
    process.signal(Signal::SIGTERM);
    assert!(manager.state().starts_with("STOPPING=1 EXTEND_TIMEOUT_USEC=10000000 STATUS="));
    let mut client = Client::connect(process.address("uppercase-tcp"));
    client.ask("a\n", "A\n");
    drop(client);
    process.signal(Signal::SIGTERM);
    assert!(process.wait().0.success());
}
