//! The existing suite, built for the copy and run with a bug switched on.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bug::Catcher;

/// A bug that makes a test hang is not caught by that test.
const PATIENCE: Duration = Duration::from_secs(60);

const SEEDS: &str = "no_seed_breaks_an_invariant_or_leaves_an_honest_client_waiting";

/// The executables of the copy's tests, by target.
pub(crate) struct Suite {
    directory: PathBuf,
    executables: BTreeMap<String, PathBuf>,
}

/// The report of a failing test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caught {
    /// The seed and the turn, if the simulation failed.
    pub(crate) at: Option<(u64, u64)>,
    /// The failure message.
    pub(crate) what: String,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((seed, turn)) = self.at {
            write!(f, "seed {seed}, turn {turn}: ")?;
        }
        write!(f, "{:.150}", self.what)
    }
}

impl Suite {
    /// Builds the tests of the copy in `directory`.
    pub(crate) fn build(directory: &Path) -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["test", "--quiet", "--offline", "--locked", "--no-run", "--message-format=json-render-diagnostics"])
            .args(["--lib", "--test", "simulation", "--test", "promises", "--target-dir", "target"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .current_dir(directory)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the copy with the bugs cannot be built: {told}");
        let messages = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let executables = messages.filter_map(|line| {
            let message: Value = serde_json::from_slice(line).unwrap();
            let is_test = message["profile"]["test"] == true;
            let executable = message["executable"].as_str().filter(|_| is_test)?;
            Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
        });
        Self { directory: directory.to_owned(), executables: executables.collect() }
    }

    /// Runs the test that must catch `bug`. Returns `Ok` with its report if it failed, `Err` with its result otherwise.
    pub(crate) fn run(&self, catcher: Catcher, bug: Option<&str>) -> Result<Caught, String> {
        let (target, test) = match catcher {
            Catcher::Seeds => ("simulation", SEEDS),
            Catcher::Unit(test) => ("reactor", test),
            Catcher::Promise(test) => ("promises", test),
        };
        let mut command = Command::new(&self.executables[target]);
        command.args([test, "--exact", "--test-threads=1"]).current_dir(&self.directory).env_remove("REACTOR_PLANTED");
        for seeds in ["REACTOR_SEED", "REACTOR_SEEDS"] {
            command.env_remove(seeds);
        }
        command.env("RUST_BACKTRACE", "0");
        command.envs(bug.map(|bug| ("REACTOR_PLANTED", bug)));
        let log = self.directory.join("target/told").join(bug.unwrap_or("none")).with_extension("txt");
        let (code, told) = run(command, &log)?;
        assert!(told.contains("running 1 test\n"), "there is no test {test} in {target}");
        match code {
            Some(0) => Err("it passed".to_owned()),
            Some(101) if told.contains("test result: FAILED") => Ok(caught(&told)),
            _ => Err(format!("it broke off with {code:?}: {told}")),
        }
    }
}

/// Runs a command to its end, within bounds. Returns its exit code and its output, which is left in `log` as well.
fn run(mut command: Command, log: &Path) -> Result<(Option<i32>, String), String> {
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    let file = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait().unwrap()));
    let status = end.recv_timeout(PATIENCE).map_err(|_| {
        kill(pid, Signal::SIGKILL).unwrap();
        "it hangs".to_owned()
    })?;
    Ok((status.code(), String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()))
}

/// Finds in the output of a failing test where it failed and why.
fn caught(told: &str) -> Caught {
    let failure = told.lines().find_map(|line| {
        let (seed, rest) = line.strip_prefix("REACTOR_SEED=")?.split_once(": after ")?;
        let (turn, what) = rest.split_once(" turns: ")?;
        Some(Caught { at: Some((seed.parse().ok()?, turn.parse().ok()?)), what: what.to_owned() })
    });
    // The line after "thread ... panicked at FILE:LINE:COLUMN:" is the test's message.
    let said = || told.lines().skip_while(|line| !line.contains(" panicked at ")).nth(1).unwrap_or_default().to_owned();
    failure.unwrap_or_else(|| Caught { at: None, what: said() })
}
