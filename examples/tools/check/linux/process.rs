//! The server's process, as `/proc` shows it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::miss::Miss;
use crate::peer::left;

pub(crate) struct Process(i32);

/// Keeps the limit of descriptors lowered until it is dropped.
pub(crate) struct Lowered {
    process: i32,
    before: Rlimit,
}

impl Process {
    pub(crate) fn new(pid: i32) -> Self {
        Self(pid)
    }

    /// The time for which its threads ran or waited for a processor (`/proc/PID/task/TID/schedstat`, in nanoseconds). A
    /// busy loop shows here even if other processes keep it from running.
    pub(crate) fn wanted(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        let sum =
            |text: String| -> u64 { text.split_whitespace().take(2).filter_map(|ns| ns.parse::<u64>().ok()).sum() };
        Duration::from_nanos(texts.map(sum).sum())
    }

    /// `VmRSS` of proc_pid_status(5).
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0) * 1024
    }

    /// Waits until the first thread sleeps in the kernel, for `span` at most, since some never do.
    pub(crate) fn settle(&self, span: Duration) {
        let _ = self.reaches('S', "a process that sleeps", Instant::now() + span);
    }

    /// Stops the process, as Ctrl-Z does.
    pub(crate) fn stop(&self, deadline: Instant) -> Result<(), Miss> {
        self.signal(Signal::SIGSTOP)?;
        self.reaches('T', "a process that stops", deadline).inspect_err(|_| {
            let _ = self.proceed();
        })
    }

    pub(crate) fn proceed(&self) -> Result<(), Miss> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks the process to stop gracefully.
    pub(crate) fn terminate(&self) -> Result<(), Miss> {
        self.signal(Signal::SIGTERM)
    }

    /// `Threads` of proc_pid_status(5).
    pub(crate) fn threads(&self) -> usize {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap_or_default();
        line.trim().parse().unwrap_or(0)
    }

    fn signal(&self, signal: Signal) -> Result<(), Miss> {
        kill(Pid::from_raw(self.0), signal)
            .map_err(|error| self.miss(&error.to_string(), "permission to send it signals"))
    }

    /// The third field of proc_pid_stat(5).
    fn reaches(&self, state: char, expected: &str, deadline: Instant) -> Result<(), Miss> {
        loop {
            let stat = self.read("stat");
            let is = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if is == Some(state) {
                return Ok(());
            }
            if left(deadline).is_err() {
                return Err(self.miss(&format!("state {}", is.unwrap_or('?')), expected));
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Limits the process to `more` descriptors beyond those it has open.
    pub(crate) fn limit_descriptors(&self, more: u64) -> Result<Lowered, Miss> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count) as u64;
        let limits = self.read("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        let before = Rlimit { current: numbers.next().flatten(), maximum: numbers.next().flatten() };
        let lower = Rlimit { current: Some(open + more), maximum: before.maximum };
        match rustix::process::Pid::from_raw(self.0).map(|pid| prlimit(Some(pid), Resource::Nofile, lower)) {
            Some(Ok(_)) => Ok(Lowered { process: self.0, before }),
            Some(Err(error)) => Err(self.miss(&error.to_string(), "permission to set its limits")),
            None => Err(self.miss("no such process", "a process")),
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }

    fn miss(&self, got: &str, expected: &str) -> Miss {
        Miss::new(format!("to process {}", self.0), got, expected)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.process) {
            let _ = prlimit(Some(pid), Resource::Nofile, Rlimit { ..self.before });
        }
    }
}
