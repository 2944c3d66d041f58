//! The system calls of a server, as `strace(1)` prints them.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{Process, Scratch, eventually};

/// Whether `strace` is usable. If not, prints a message; with `CI` set, fails, since a promise must be tested
/// somewhere.
#[must_use]
pub(crate) fn strace_works() -> bool {
    let tried = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        assert!(std::env::var_os("CI").is_none(), "strace is missing or may not trace");
        eprintln!("SKIPPED: strace is missing or may not trace, so this test did nothing");
    }
    works
}

/// A traced server.
pub(crate) struct Strace {
    pub(crate) process: Process,
    directory: Scratch,
}

impl Strace {
    /// The real command under `strace` with some `options`. With `-D` the server stays our child, and the tracer is the
    /// server's.
    #[track_caller]
    pub(crate) fn start(options: &[&str], config: &Value) -> Self {
        Self::with(options, &[], config)
    }

    /// The real command under `strace`, with more arguments.
    #[track_caller]
    pub(crate) fn with(options: &[&str], arguments: &[&str], config: &Value) -> Self {
        Self::under(options, |prefix| Process::with(prefix, arguments, config))
    }

    /// The program of an example under `strace`.
    #[track_caller]
    pub(crate) fn example(name: &str, config: &Value) -> Self {
        Self::under(&[], |prefix| Process::example_under(prefix, name, config))
    }

    #[track_caller]
    fn under(options: &[&str], start: impl FnOnce(&[&str]) -> Process) -> Self {
        let directory = Scratch::new();
        let trace = directory.path().join("trace").into_os_string().into_string().unwrap();
        Self { process: start(&[&["strace", "-D", "-f", "-y", "-o", &trace], options].concat()), directory }
    }

    /// The lines written so far. The trace is live.
    pub(crate) fn lines(&self) -> Vec<Line> {
        read(&self.directory)
    }

    /// Waits until the server has ended, and returns the whole trace.
    #[track_caller]
    pub(crate) fn wait(self) -> Vec<Line> {
        let Self { process, directory } = self;
        let server = process.id();
        process.wait();
        let is_whole = || read(&directory).iter().any(|line| line.thread == server && line.text.starts_with("+++"));
        eventually("the trace ends with the exit of the server", is_whole);
        read(&directory)
    }

    /// Whether every thread of the server is blocked in a system call, and none is about to end.
    pub(crate) fn is_at_rest(&self) -> bool {
        if self.process.threads_named("log") > 0 {
            return false;
        }
        let last: HashMap<_, _> = self.lines().into_iter().map(|line| (line.thread, line.text)).collect();
        let waits = |call: &&String| ["epoll_wait(", "futex("].iter().any(|name| call.starts_with(name));
        let waiting = last.values().filter(|call| waits(call) && !call.contains(") = ")).count();
        // A wait of no time begins in the trace like any other.
        waiting == self.process.threads() && self.process.sleeps()
    }
}

/// The trace in `directory`.
fn read(directory: &Scratch) -> Vec<Line> {
    let trace = fs::read_to_string(directory.path().join("trace")).unwrap();
    let split = |line: &str| {
        let (thread, text) = line.split_once(' ')?;
        Some(Line { thread: thread.parse().ok()?, text: text.trim_start().to_owned() })
    };
    trace.lines().filter_map(split).collect()
}

/// A line of a trace: a call, or its beginning or its end, where calls of several threads overlap.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) thread: u32,
    /// Such as `fsync(7</received>) = 0`.
    pub(crate) text: String,
}

impl Line {
    /// Whether a call of this name begins here.
    pub(crate) fn begins(&self, name: &str) -> bool {
        self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
    }

    /// Whether a call of this name ends here with the plain result 0.
    pub(crate) fn completes(&self, name: &str) -> bool {
        (self.begins(name) || self.text.starts_with(&format!("<... {name} resumed>"))) && self.text.contains(" = 0")
    }
}
