//! SIGHUP: it reads the configuration again or, on a terminal, stops gracefully; it never ends the server in another way.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{Client, Process, Scratch, eventually, listener};

/// The command with one listener of `uppercase`, whose standard error is `stderr`.
fn command(directory: &Scratch, stderr: impl Into<Stdio>) -> Child {
    let config = json!({ "listeners": [listener("uppercase", "tcp")] });
    fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_reactor"))
        .args(["-c", "reactor.json"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Sends SIGHUP. A process that has ended is still there for its parent.
fn hang_up(child: &Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
}

/// Waits until the server says that it is ready; false if it ends before.
fn becomes_ready(child: &mut Child) -> bool {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.any(|line| line == "ready")
}

/// Whether the process handles SIGHUP (`proc_pid_status(5)`: `SigCgt`, whose lowest bit is signal 1).
#[cfg(target_os = "linux")]
fn handles_sighup(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1
}

#[test]
fn on_a_terminal_sighup_stops_gracefully_however_often_it_comes() {
    let terminal = openpty(None, None).unwrap();
    let directory = Scratch::new();
    let mut server = command(&directory, terminal.slave);
    assert!(becomes_ready(&mut server));
    for _ in 0..3 {
        hang_up(&server);
    }
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_that_closes_stops_its_server_although_it_cannot_log_any_more() {
    let terminal = openpty(None, None).unwrap();
    let directory = Scratch::new();
    let mut server = command(&directory, terminal.slave);
    assert!(becomes_ready(&mut server));
    drop(terminal.master);
    hang_up(&server);
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_terminal_sighup_does_not_end_the_server() {
    let mut process = Process::start(&json!({ "listeners": [listener("uppercase", "tcp")] }));
    let mut client = Client::connect(process.address("uppercase-tcp"));
    for number in 1..=3 {
        process.signal(Signal::SIGHUP);
        eventually("it reloads", || process.log().matches("reload: done").count() == number);
        client.ask("a", "A");
    }
    assert!(process.is_running());
}

#[cfg(target_os = "linux")]
#[test]
fn a_sighup_while_the_server_starts_is_not_its_end() {
    for _ in 0..5 {
        let directory = Scratch::new();
        let mut server = command(&directory, Stdio::null());
        // The command handles the signal from its first step on: long before it is ready.
        eventually("it handles SIGHUP", || handles_sighup(&server));
        (0..100).for_each(|_| hang_up(&server));
        assert!(becomes_ready(&mut server));
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_sighup_that_nohup_had_ignored_stays_ignored() {
    let config = json!({ "listeners": [listener("uppercase", "tcp")] });
    let process = Process::under(&["nohup"], &config);
    process.signal(Signal::SIGHUP);
    assert_eq!(process.counter("uppercase-tcp", "open"), 0, "the next signal arrives");
    assert!(!process.log().contains("reload"), "{}", process.log());
}
