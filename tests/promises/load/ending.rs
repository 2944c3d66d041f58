//! The end of a run of `load`, and the files that it leaves.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Load, Outcome, load};
use crate::support::{Scratch, eventually, every_protocol, loopback, program, server};

/// Ends a run by a signal after requests have been answered.
fn interrupted(signal: Signal) -> (Option<i32>, Outcome) {
    let (server, address) = loopback("sum");
    let mut load = Load::start(&format!("sum tcp://{address} -c 2 -d 1h --assert p50<1ns"));
    eventually("requests are answered", || server.stats("sum-tcp").sent_bytes > 0);
    kill(Pid::from_raw(load.child.id() as i32), signal).unwrap();
    let status = load.child.wait().unwrap();
    (status.signal(), load.wait())
}

#[test]
fn results_are_reported_when_a_signal_ends_the_run() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (ended_by, outcome) = interrupted(signal);
        assert_eq!(ended_by, Some(signal as i32), "a script that is interrupted ends, too");
        assert!(outcome.number("/requests") > 0.0 && outcome.number("/errors/total") == 0.0, "{}", outcome.text);
        assert_eq!(outcome.json["interrupted"], true);
        assert!(outcome.text.contains("requests") && outcome.text.contains("ended early"), "{}", outcome.text);
        assert_eq!(outcome.errors, "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_sigint_that_is_ignored_from_the_start_does_not_end_the_run() {
    let (server, address) = loopback("sum");
    let line = format!("trap '' INT; exec {} sum tcp://{address} -c 2 -d 1s", program("load").display());
    let load = Command::new("sh").args(["-c", &line]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    eventually("requests are answered", || server.stats("sum-tcp").sent_bytes > 0);
    kill(Pid::from_raw(load.id() as i32), Signal::SIGINT).unwrap();
    let output = load.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("ended early"), "{}: {text}", output.status);
}

#[test]
fn an_unwritable_result_file_is_reported_before_the_run() {
    let (server, address) = loopback("sum");
    let output = Command::new(program("load"))
        .args(["sum", &format!("tcp://{address}"), "-d", "1h", "--json", "/nonexistent/result.json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/result.json"));
    assert_eq!(server.stats("sum-tcp").accepted, 0);
}

#[test]
fn a_run_that_fails_leaves_no_empty_result_and_keeps_an_older_one() {
    let scratch = Scratch::new();
    let result = scratch.path().join("result.json");
    let run = || {
        let command = &mut Command::new(program("load"));
        command.args(["sum", "tcp://127.0.0.1:1", "--json"]).arg(&result).output().unwrap().status.code()
    };
    assert_eq!(run(), Some(1));
    assert_eq!(scratch.names(), [""; 0]);
    fs::write(&result, "an older one").unwrap();
    assert_eq!(run(), Some(1));
    assert_eq!(scratch.contents("result.json"), b"an older one");
}

#[test]
fn max_files_ends_uploads_and_the_directory_option_removes_the_files() {
    for protocol in ["file", "file-sized"] {
        let received = Scratch::new();
        let server = server(&json!({ "listeners": every_protocol(&received) }));
        let address = server.address(&format!("{protocol}-tcp"));
        let arguments = format!("{protocol} tcp://{address} -c 3 -d 1h --size 100 --max-files 20");
        let outcome = load(&arguments);
        outcome.assert_good();
        assert_eq!(outcome.number("/requests"), 20.0);
        assert_eq!(received.names().len(), 20);
        let prefix = received.names()[0].rsplit_once('-').unwrap().0.to_owned();
        assert!(outcome.text.contains("--max-files") && outcome.text.contains(&prefix), "{}", outcome.text);

        let others = received.names();
        let outcome = load(&format!("{arguments} --directory {}", received.path().display()));
        outcome.assert_good();
        assert!(outcome.text.contains("20 files of this run were removed"), "{}", outcome.text);
        assert_eq!(received.names(), others, "the files of another run stay");
    }
}

#[test]
fn an_unreadable_directory_is_reported_before_the_run() {
    let received = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&received) }));
    let address = server.address("file-tcp");
    let outcome = load(&format!("file tcp://{address} -d 1h --directory /nonexistent"));
    assert!(outcome.code == Some(1) && outcome.errors.contains("/nonexistent"), "{}", outcome.errors);
    assert_eq!(outcome.json, Value::Null);
    assert_eq!(received.names(), [""; 0]);
}

/// A FIN would make the server keep half of the contents as a whole file.
#[test]
fn a_load_that_is_killed_leaves_no_half_of_a_file() {
    let received = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&received) }));
    let mut load = Load::start(&format!("file tcp://{} -c 1 -d 1h --size 1TiB", server.address("file-tcp")));
    eventually("a part has arrived", || server.stats("file-tcp").received_bytes > 1_000_000);
    load.child.kill().unwrap();
    load.child.wait().unwrap();
    // The first connection tests which address accepts.
    eventually("the connections have ended", || server.stats("file-tcp").closed.total() == 2);
    assert_eq!(received.names(), [""; 0]);
}

#[test]
fn help_lists_all_that_can_be_asserted() {
    let (_server, address) = loopback("sum");
    let outcome = load(&format!("sum tcp://{address} -c 1 -d 50ms"));
    assert!(outcome.text.contains(": 1 connection, "), "{}", outcome.text);
    let help = Command::new(program("load")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, help) = help.split_once("--assert <").unwrap();
    let members = |name: &str| -> Vec<String> { outcome.json[name].as_object().unwrap().keys().cloned().collect() };
    let kinds = members("errors").into_iter().filter(|kind| kind != "total");
    for name in
        kinds.chain(members("latency_us")).chain(["rate", "requests", "lines", "missed", "errors"].map(String::from))
    {
        let is_listed = help.lines().any(|line| line.split_whitespace().next() == Some(&name));
        assert!(is_listed, "{name}: {help}");
    }
    let unknown = load(&format!("sum tcp://{address} --assert p98<1ms"));
    assert!(unknown.errors.contains("p999") && unknown.errors.contains("unasked"), "{}", unknown.errors);
}
