//! SIGHUP: it reads the configuration again or, on a terminal, stops gracefully; it never ends the server in another way.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::support::strace_works;
use crate::support::{Client, Process, Scratch, eventually, listener};

/// The command with one listener of `uppercase`, whose standard error is `stderr`.
fn command(directory: &Scratch, stderr: impl Into<Stdio>) -> Child {
    command_under(&[], directory, stderr)
}

/// The same at the end of another command line.
fn command_under(prefix: &[&str], directory: &Scratch, stderr: impl Into<Stdio>) -> Child {
    let config = json!({ "listeners": [listener("uppercase", "tcp")] });
    fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
    let line = [prefix, &[env!("CARGO_BIN_EXE_reactor"), "-c", "reactor.json"]].concat();
    Command::new(line[0])
        .args(&line[1..])
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

/// Whether the process has opened a socket (`proc_pid_fd(5)`).
#[cfg(target_os = "linux")]
fn has_a_socket(child: &Child) -> bool {
    let opened = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
    let mut targets = opened.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.to_string_lossy().starts_with("socket:"))
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
fn a_terminal_that_closes_stops_its_server_which_cannot_log_any_more() {
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
    if !strace_works() {
        return;
    }
    let directory = Scratch::new();
    // With `-D` the server stays our child.
    let slow = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=bind:delay_enter=500000"];
    let mut server = command_under(&slow, &directory, Stdio::null());
    // It opens the socket, and is then held for half a second before it binds the address.
    eventually("it opens a socket", || has_a_socket(&server));
    hang_up(&server);
    assert!(becomes_ready(&mut server));
    server.kill().unwrap();
    server.wait().unwrap();
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
