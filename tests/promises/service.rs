//! Under a service manager: it learns the states of the server in their order, and cannot hold the server.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use serde_json::json;

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
        let address = format!("NOTIFY_SOCKET={}", self.directory.path().join("notify").display());
        let prefix = [&["env", &address], variables].concat();
        Process::under(&prefix, &json!({ "listeners": [listener("uppercase", "tcp"), listener("sum", "udp")] }))
    }

    /// The next message, its lines separated by spaces.
    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).replace('\n', " ")
    }
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
    // Without a connection the server ends in the turn in which the signal arrives.
    process.signal(Signal::SIGTERM);
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
