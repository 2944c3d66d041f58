//! Threads that cannot be started, or never finish.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Client, Fault, Process, Strace, Trial, eventually, faults_work, listener, listener_with, program, root_works,
    strace_works,
};

/// A user without other processes: the limit of processes counts all of a user's threads.
const USER: &str = "54321";

/// The answer to the client of an upload.
const NO_WORKER: &[u8] = b"error: the server cannot write files at the moment\n";

/// Becomes that user, with a limit of one thread, and then the server.
const WITHOUT_THREADS: &[&str] = &[
    "sh",
    "-c",
    "chown 54321 . && exec setpriv --reuid=54321 --regid=54321 --clear-groups prlimit --nproc=1:1 \"$@\"",
    "sh",
];

/// Whether that works here. Prints a message if not.
fn threads_can_be_forbidden() -> bool {
    let program = env!("CARGO_BIN_EXE_reactor");
    let mut trial = Command::new("setpriv");
    trial.args([&format!("--reuid={USER}"), "--clear-groups", "prlimit", "--nproc=1:1", program, "--version"]);
    let works = root_works() && trial.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success());
    if !works {
        assert!(std::env::var_os("CI").is_none(), "another user cannot run {program}");
        eprintln!("SKIPPED: another user cannot run {program}, so this test did nothing");
    }
    works
}

#[test]
fn without_any_thread_jobs_are_refused_and_the_log_is_still_written() {
    if !threads_can_be_forbidden() {
        return;
    }
    let trial = Trial::under(WITHOUT_THREADS, &[listener("file-sized", "tcp")]);
    eventually("it is logged at the start", || trial.log().contains("no thread can be started: "));
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    let peer = client.stream().local_addr().unwrap();
    client.send("a\n1\n");
    assert_eq!(client.rest(), NO_WORKER);
    let told = format!("file-sized-tcp: no worker takes a job, so {peer} is closed: no thread can be started: ");
    eventually("it is logged", || trial.log().contains(&told));
    drop(client);
    eventually("it is counted", || trial.counters().join("\n").contains("closed 1 (no worker 1)"));
    let process = trial.end();
    let before = process.log().len();
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log[before..].contains("closed 1 (no worker 1)"), "the last lines are missing: {log}");
    assert!(!log.contains("bug"), "{log}");
}

#[test]
fn with_threads_available_none_is_started_before_it_is_needed() {
    if !strace_works() {
        return;
    }
    let few = listener_with("file-sized", &json!({ "limits": { "max_connections": 10 } }));
    let server = Strace::start(&["-e", "trace=/^clone"], &json!({ "listeners": [few] }));
    assert_eq!(server.process.log(), "", "a line of the log may start a thread");
    assert_eq!(server.lines().iter().filter(|line| line.text.starts_with("clone")).count(), 0);
}

#[test]
fn jobs_are_refused_while_no_thread_can_be_had_and_done_afterwards() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&[listener("file-sized", "tcp")]);
    let fault = Fault::on(&trial, &["clone,clone3:error=EAGAIN"]);
    let mut refused = Client::connect(trial.address("file-sized-tcp"));
    refused.send("a\n1\n");
    assert_eq!(refused.rest(), NO_WORKER);
    eventually("it is logged", || trial.log().contains("no worker takes a job"));
    drop((fault, refused));
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    client.ask("a\n1\n", "OK\nOK\n");
    client.ask("x", "OK\n");
    drop(client);
    trial.end();
}

#[test]
fn a_worker_whose_wake_up_fails_wakes_the_loop_all_the_same_and_goes_on() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&[listener("file-sized", "tcp")]);
    // The first write of each new thread; a worker's first write is its first wake-up.
    let fault = Fault::on(&trial, &["write:error=EIO:when=1"]);
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    for _ in 0..3 {
        client.ask("a\n0\n", "OK\nOK\nOK\n");
        client = Client::connect(trial.address("file-sized-tcp"));
        std::fs::remove_file(trial.directory().path().join("received/a")).unwrap();
    }
    drop((fault, client));
    trial.end();
}

#[test]
fn jobs_that_hang_block_only_their_own_listener_and_are_logged() {
    if !faults_work() {
        return;
    }
    let files = |name: &str| json!({ "name": name, "protocol": "file-sized", "listen": "tcp://127.0.0.1:0" });
    let process = Process::start(&json!({ "listeners": [files("stuck"), files("free")], "workers": 2 }));
    let fault = Fault::on(&process, &["fsync:delay_enter=60000000"]);
    let upload = |listener: &str, name: &str| {
        let mut client = Client::connect(process.address(listener));
        client.ask(format!("{name}\n1\n"), "OK\nOK\n");
        client
    };
    let mut stuck = [upload("stuck", "a"), upload("stuck", "b")];
    for client in &mut stuck {
        client.send("x");
    }
    eventually("both workers hang", || process.threads_named("reactor-worker") == 2);
    let mut waiting = Client::connect(process.address("stuck"));
    waiting.send("c\n1\n");
    upload("free", "d");
    eventually("it is logged", || process.log().contains("stuck: a job has waited 2"));
    let log = process.log();
    assert!(log.contains(" s for a worker: 2 busy, 1 waiting"), "{log}");
    drop(fault);
    waiting.expect("OK\nOK\n");
}

/// The server of an example whose protocol has a bug.
#[test]
fn a_panic_is_logged_with_message_place_and_peer_at_a_limited_rate() {
    let become_it = format!("shift; exec {} \"$@\"", program("fragile").display());
    let prefix = ["sh", "-c", &become_it, "sh"];
    let process = Process::under(&prefix, &json!({ "listeners": [listener("hundred", "tcp")] }));
    let panic = || {
        let mut client = Client::connect(process.address("hundred-tcp"));
        let peer = client.stream().local_addr().unwrap();
        client.send("0\n");
        let _ = client.try_rest();
        peer
    };
    let peer = panic();
    let told = |log: &str| log.matches("protocol bug").count();
    eventually("it is logged", || told(&process.log()) == 1);
    let log = process.log();
    assert!(log.contains("hundred-tcp: protocol bug: it panicked at examples/book/fragile.rs:"), "{log}");
    assert!(log.contains(&format!(": attempt to divide by zero (peer {peer})\n")), "{log}");
    for _ in 0..50 {
        panic();
    }
    let counters = process.counters().join("\n");
    assert!(counters.contains("closed 51 (bug 51)"), "{counters}");
    assert_eq!(told(&process.log()), 20);
}
