//! Build your own reactor: the solution of each step passes it, and misses the first demand of the next one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use crate::checker::{Report, run};
use crate::files::Scratch;
use crate::server::program;

/// The first demand of each step, which the solution of the step before misses, and a part of the cause that is named.
const FIRST: [(&str, &str); 12] = [
    ("first", ""),
    ("answers", "closes the connection after the first answer"),
    ("split", "what one read returns for one whole question"),
    ("garbage", "the mistake of one client for its own failure"),
    ("silent", "waits in a read for one client"),
    ("threads", "a thread for each client"),
    ("stuck-reader", "waits in a write for one client"),
    ("deaf", "its outbox has no bound"),
    ("descriptors", "when accept fails with EMFILE"),
    ("idle", "no deadline for a silent client"),
    ("firehose", "reads from one client until nothing is left"),
    ("term", "without a handler for SIGTERM"),
];

/// Returns a port that is free, and stays free until a server binds it: the kernel chooses no port below 32768 for a client
/// (ip(7), `ip_local_port_range`), and each call returns another one.
fn free_port() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize * 64;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).is_ok() {
            return port.to_string();
        }
    }
}

/// Runs the checker on a server that it starts on a free port; `command` has `PORT` in place of the port.
#[track_caller]
pub(crate) fn started(protocol: &str, command: &str, options: &[&str]) -> Report {
    let port = free_port();
    let command = command.replace("PORT", &port);
    run(&[&[protocol, &format!("tcp://127.0.0.1:{port}"), "--run", &command], options].concat())
}

#[track_caller]
fn passes(command: &str, step: usize) {
    let Report { code, text } = started("sum", command, &["--step", &step.to_string(), "--timeout", "50s"]);
    assert_eq!(code, 0, "{command}: {text}");
    assert!(text.ends_with(&format!("{step} of {step} steps passed\n")), "{text}");
}

/// The first demand of the step is missed, for the reason that the step is about.
#[track_caller]
fn misses(command: &str, step: usize) {
    let (demand, cause) = FIRST[step - 1];
    let options = ["--step", &step.to_string(), "--only", demand, "--timeout", "5s"];
    let Report { code, text } = started("sum", command, &options);
    assert_eq!(code, 1, "{command}: {text}");
    assert!(text.contains(&format!("MISSED  {demand} ")) && text.contains(cause), "{command}: {text}");
    assert!(text.ends_with(&format!("error: step {step} is not passed\n")), "{text}");
}

/// Whether this machine has what a language takes. Where `CI` is set, it must.
pub(crate) fn is_here(tool: &str, version: &str) -> bool {
    let is_here = Command::new(tool).arg(version).output().is_ok_and(|output| output.status.success());
    assert!(is_here || std::env::var_os("CI").is_none(), "{tool} is missing");
    if !is_here {
        eprintln!("SKIPPED: {tool} is missing, so the solutions that need it have not been tried");
    }
    is_here
}

/// The file of a solution, quoted for the shell.
fn file(name: &str) -> String {
    format!("'{}'", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/steps").join(name).display())
}

/// The command for the solution of a step in Python; `None` if this machine has no Python.
fn python(step: usize) -> Option<String> {
    is_here("python3", "--version").then(|| format!("python3 {} PORT", file(&format!("python/step{step:02}.py"))))
}

/// The command for the solution of the last step in a compiled language; `build` has `FILE` in place of the program.
#[track_caller]
fn built(language: &str, build: &str) -> String {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("step12-{language}"));
    let program = format!("'{}'", scratch.display());
    let built = Command::new("sh").arg("-c").arg(build.replace("FILE", &program)).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    format!("{program} PORT")
}

fn c(step: usize) -> Option<String> {
    assert_eq!(step, FIRST.len());
    static COMMAND: LazyLock<Option<String>> = LazyLock::new(|| {
        let build = format!("cc -std=c11 -Wall -Wextra -Werror -O2 -o FILE {}", file("c/step12.c"));
        is_here("cc", "--version").then(|| built("c", &build))
    });
    COMMAND.clone()
}

fn go(step: usize) -> Option<String> {
    assert_eq!(step, FIRST.len());
    static COMMAND: LazyLock<Option<String>> = LazyLock::new(|| {
        let build = format!("go vet {source} && go build -o FILE {source}", source = file("go/step12.go"));
        is_here("go", "version").then(|| built("go", &build))
    });
    COMMAND.clone()
}

/// The command for the solution of a step in Rust.
fn rust(step: usize) -> Option<String> {
    Some(format!("'{}' {step} PORT", program("steps").display()))
}

/// Declares a test for each step and language.
macro_rules! steps {
    ($($name:ident: $language:ident, $step:literal;)*) => {
        $(#[test]
        fn $name() {
            let Some(command) = $language($step) else { return };
            passes(&command, $step);
            if $step < FIRST.len() {
                misses(&command, $step + 1);
            }
        })*
    };
}

steps! {
    step_1_in_python_passes_and_misses_the_next_one: python, 1;
    step_2_in_python_passes_and_misses_the_next_one: python, 2;
    step_3_in_python_passes_and_misses_the_next_one: python, 3;
    step_4_in_python_passes_and_misses_the_next_one: python, 4;
    step_5_in_python_passes_and_misses_the_next_one: python, 5;
    step_6_in_python_passes_and_misses_the_next_one: python, 6;
    step_7_in_python_passes_and_misses_the_next_one: python, 7;
    step_8_in_python_passes_and_misses_the_next_one: python, 8;
    step_9_in_python_passes_and_misses_the_next_one: python, 9;
    step_10_in_python_passes_and_misses_the_next_one: python, 10;
    step_11_in_python_passes_and_misses_the_next_one: python, 11;
    step_12_in_python_passes_all: python, 12;
    step_1_in_rust_passes_and_misses_the_next_one: rust, 1;
    step_2_in_rust_passes_and_misses_the_next_one: rust, 2;
    step_3_in_rust_passes_and_misses_the_next_one: rust, 3;
    step_4_in_rust_passes_and_misses_the_next_one: rust, 4;
    step_5_in_rust_passes_and_misses_the_next_one: rust, 5;
    step_6_in_rust_passes_and_misses_the_next_one: rust, 6;
    step_7_in_rust_passes_and_misses_the_next_one: rust, 7;
    step_8_in_rust_passes_and_misses_the_next_one: rust, 8;
    step_9_in_rust_passes_and_misses_the_next_one: rust, 9;
    step_10_in_rust_passes_and_misses_the_next_one: rust, 10;
    step_11_in_rust_passes_and_misses_the_next_one: rust, 11;
    step_12_in_rust_passes_all: rust, 12;
    step_12_in_c_passes_all: c, 12;
    step_12_in_go_passes_all: go, 12;
}

#[test]
fn the_real_server_passes_all_steps() {
    let scratch = Scratch::new("steps");
    let config = scratch.path().join("reactor.json");
    let port = free_port();
    let limits = r#"{"idle_timeout": "2s", "request_timeout": "2s", "write_timeout": "2s"}"#;
    let listener = format!(r#"{{"listen": "tcp://127.0.0.1:{port}", "protocol": "sum", "limits": {limits}}}"#);
    fs::write(&config, format!(r#"{{"listeners": [{listener}]}}"#)).unwrap();
    let command = format!("'{}' -c '{}'", env!("CARGO_BIN_EXE_reactor"), config.display());
    let url = format!("tcp://127.0.0.1:{port}");
    let Report { code, text } = run(&["sum", &url, "--run", &command, "--all", "--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("12 of 12 steps passed\n"), "{text}");
    assert_eq!(text.matches("\nok      ").count(), 29, "a demand of a step has an unknown name: {text}");
}

/// The command for the solution of a step in Python with each of these texts replaced.
#[track_caller]
fn changed(scratch: &Scratch, step: usize, changes: &[(&str, &str)]) -> Option<String> {
    python(step)?;
    let solution = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/steps/python/step{step:02}.py"));
    let mut text = fs::read_to_string(solution).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "step {step} has no {from}");
        text = text.replace(from, to);
    }
    let file = scratch.path().join("changed.py");
    fs::write(&file, text).unwrap();
    Some(format!("python3 '{}' PORT", file.display()))
}

#[test]
fn a_number_or_nesting_that_ends_the_server_is_a_miss() {
    let scratch = Scratch::new("infinite");
    for error in ["OverflowError, ", ", RecursionError"] {
        let Some(command) = changed(&scratch, 4, &[(error, "")]) else { return };
        let Report { code, text } = started("sum", &command, &["--step", "4", "--only", "garbage", "--timeout", "50s"]);
        assert!(code == 1 && text.contains("MISSED  garbage "), "{text}");
        assert!(text.contains(&error.replace(", ", "")), "{text}");
    }
}

#[test]
fn a_number_that_fits_no_integer_is_refused_in_c_go_and_rust() {
    for command in [c(12), go(12), rust(12)].into_iter().flatten() {
        let port = free_port();
        let mut server =
            Command::new("sh").arg("-c").arg(format!("exec {}", command.replace("PORT", &port))).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut client = loop {
            match TcpStream::connect(&address) {
                Ok(client) => break client,
                Err(_) if server.try_wait().unwrap().is_none() => thread::yield_now(),
                Err(error) => panic!("{command}: {error}"),
            }
        };
        client.write_all(br#"{"A":99999999999999999999,"B":-1}"#).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let _ = server.kill();
        server.wait().unwrap();
        assert!(answer.starts_with("{\"Error\":"), "{command}: {answer}");
    }
}

#[test]
fn a_fair_server_on_ipv6_that_takes_ipv4_too_is_found_fair() {
    let scratch = Scratch::new("dual");
    let changes = [("listener = socket.socket()", "listener = socket.socket(socket.AF_INET6)"), ("127.0.0.1", "::")];
    let Some(command) = changed(&scratch, 11, &changes) else { return };
    let Report { code, text } = started("sum", &command, &["--step", "11", "--only", "firehose", "--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_busy_loop_while_no_descriptor_is_left_is_a_miss() {
    let scratch = Scratch::new("busy");
    let changes = [("PAUSE_MS if is_full else None", "None"), ("0 if is_full else select.POLLIN", "select.POLLIN")];
    let Some(command) = changed(&scratch, 9, &changes) else { return };
    let Report { code, text } =
        started("sum", &command, &["--step", "9", "--only", "descriptors,full", "--timeout", "5s"]);
    assert!(code == 1 && text.contains("ok      descriptors") && text.contains("MISSED  full "), "{text}");
    assert!(text.contains("each wait returns at once"), "{text}");
}

#[test]
fn a_server_that_has_died_is_called_dead_and_its_last_word_is_repeated() {
    let Some(command) = python(2) else { return };
    let Report { code, text } = started("sum", &command, &["--step", "3", "--timeout", "50s"]);
    assert!(code == 1 && text.contains("server    has ended (exit status: 1): json.decoder.JSONDecodeError"), "{text}");
    assert_eq!(text.matches("MISSED").count(), 1, "the first cause only: {text}");

    let Report { text, .. } = started("sum", &command, &["--only", "answers,split,glued,burst", "--timeout", "50s"]);
    assert!(text.contains("\n2 not tried: the server has ended (exit status: 1)"), "{text}");
}

#[test]
fn a_server_that_cannot_start_is_an_error_with_its_last_word() {
    let Report { code, text } = started("sum", "echo 'no such port' >&2", &["--step", "1", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the server has ended (exit status: 0): no such port\n"), "{text}");
}

#[test]
fn the_result_in_json_names_the_step_the_cause_and_the_page() {
    let Some(command) = python(1) else { return };
    let Report { code, text } = started("sum", &command, &["--all", "--json", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    let line = text.lines().next().unwrap();
    let grade: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&grade["steps"], &grade["passed"]), (&12.into(), &1.into()));
    assert_eq!((&grade["missed"]["step"], &grade["missed"]["demand"]), (&2.into(), &"answers".into()));
    assert!(grade["missed"]["page"].as_str().unwrap().starts_with("docs/build/02-"), "{line}");
    assert!(grade["missed"]["server"].is_null() && grade["met"] == serde_json::json!(["first"]), "{line}");
}

#[test]
fn a_step_that_cannot_be_tried_is_wrong_usage() {
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--step", "6"]).code, 2, "it needs a process");
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--step", "12", "--pid", "1"]).code, 2, "it needs a command");
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--step", "13"]).code, 2);
    assert_eq!(run(&["time", "tcp://127.0.0.1:1", "--step", "3"]).code, 2, "it has no framing");
    assert_eq!(run(&["sum", "udp://127.0.0.1:1", "--step", "3"]).code, 2, "it has no stream");
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--json"]).code, 2, "there is no step");
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--step", "1", "--only", "split"]).code, 2, "it is in step 3");
}
