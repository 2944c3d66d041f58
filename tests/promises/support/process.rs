//! The real command, in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Scratch, eventually};

/// A running `reactor`, ended when it goes out of scope. Its working directory is its own.
pub(crate) struct Process {
    child: Child,
    addresses: Vec<(String, SocketAddr)>,
    log: Option<JoinHandle<String>>,
    directory: Scratch,
}

impl Process {
    /// `reactor -c FILE`, ready.
    #[track_caller]
    pub(crate) fn start(config: &Value) -> Self {
        Self::under(&[], config)
    }

    /// The same at the end of another command line, which must become `reactor` by `exec`.
    #[track_caller]
    pub(crate) fn under(prefix: &[&str], config: &Value) -> Self {
        let directory = Scratch::new();
        fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
        Self::spawn(prefix, &["-c", "reactor.json"], directory)
    }

    /// `reactor --listen PROTOCOL=URL ...`, ready.
    #[track_caller]
    pub(crate) fn listen(listeners: &[&str]) -> Self {
        let arguments: Vec<_> = listeners.iter().flat_map(|listener| ["--listen", listener]).collect();
        Self::spawn(&[], &arguments, Scratch::new())
    }

    #[track_caller]
    fn spawn(prefix: &[&str], arguments: &[&str], directory: Scratch) -> Self {
        let line: Vec<_> = prefix.iter().chain(&[env!("CARGO_BIN_EXE_reactor")]).chain(arguments).collect();
        let mut child = Command::new(line[0])
            .args(&line[1..])
            .current_dir(directory.path())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, addresses: Vec::new(), log: Some(log), directory };
        for line in stdout.lines().map(Result::unwrap) {
            if line == "ready" {
                return process;
            }
            let fields: Vec<_> = line.split(' ').collect();
            let &["listening", name, _protocol, url] = &fields[..] else { panic!("an unexpected line: {line}") };
            let (_, address) = url.split_once("://").unwrap();
            process.addresses.push((name.to_owned(), address.parse().unwrap()));
        }
        panic!("it never was ready: {}", process.log.take().unwrap().join().unwrap());
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Where it was started.
    pub(crate) fn directory(&self) -> &Scratch {
        &self.directory
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; gives how it ended, and its log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        eventually("the process ends", || !self.is_running());
        let log = self.log.take().unwrap().join().unwrap();
        (self.child.wait().unwrap(), log)
    }

    /// Memory in use, in bytes (`proc_pid_status(5)`: `VmRSS`).
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Processor time used, in clock ticks, of which there are a hundred in a second (`proc_pid_stat(5)`: `utime` and
    /// `stime`).
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Descriptors that it holds.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(Ok(log)) = self.log.take().map(JoinHandle::join)
            && thread::panicking()
        {
            eprintln!("the log of the server:\n{log}");
        }
    }
}
