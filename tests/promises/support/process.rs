//! The real command, in its own process.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Scratch, eventually, program};

/// So that measured memory is memory in use (mallopt(3)): one arena, and freed blocks go back to the kernel.
const FRUGAL: [&str; 3] = ["env", "MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=65536"];

/// A running `reactor` with its own working directory, ended when it is dropped.
pub(crate) struct Process {
    child: Child,
    addresses: Vec<(String, SocketAddr)>,
    /// Its log so far, and the thread that collects it.
    log: Arc<Mutex<String>>,
    collector: Option<JoinHandle<()>>,
    directory: Scratch,
}

impl Process {
    /// `reactor -c FILE`, ready.
    #[track_caller]
    pub(crate) fn start(config: &Value) -> Self {
        Self::under(&[], config)
    }

    /// `reactor` at the end of another command line, which must become `reactor` by `exec`.
    #[track_caller]
    pub(crate) fn under(prefix: &[&str], config: &Value) -> Self {
        Self::with(prefix, &[], config)
    }

    /// `reactor` with more arguments.
    #[track_caller]
    pub(crate) fn with(prefix: &[&str], arguments: &[&str], config: &Value) -> Self {
        let directory = Scratch::new();
        fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
        Self::spawn(prefix, &[&["-c", "reactor.json"], arguments].concat(), directory)
    }

    /// `reactor --listen PROTOCOL=URL ...`, ready.
    #[track_caller]
    pub(crate) fn listen(listeners: &[&str]) -> Self {
        Self::listen_in(Scratch::new(), &[env!("CARGO_BIN_EXE_reactor")], listeners)
    }

    /// The program of an example, in `directory`.
    #[track_caller]
    pub(crate) fn example(name: &str, directory: Scratch, listeners: &[&str]) -> Self {
        let program = program(name);
        Self::listen_in(directory, &[&FRUGAL[..], &[program.to_str().unwrap()]].concat(), listeners)
    }

    /// The program of an example, with a configuration, at the end of another command line.
    #[track_caller]
    pub(crate) fn example_under(prefix: &[&str], name: &str, config: &Value) -> Self {
        let directory = Scratch::new();
        fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
        let program = program(name);
        let line = [prefix, &FRUGAL, &[program.to_str().unwrap(), "-c", "reactor.json"]].concat();
        Self::run(&line, directory)
    }

    #[track_caller]
    fn listen_in(directory: Scratch, program: &[&str], listeners: &[&str]) -> Self {
        let arguments = listeners.iter().flat_map(|listener| ["--listen", listener]);
        let line: Vec<_> = program.iter().copied().chain(arguments).collect();
        Self::run(&line, directory)
    }

    #[track_caller]
    fn spawn(prefix: &[&str], arguments: &[&str], directory: Scratch) -> Self {
        let line: Vec<_> = prefix.iter().chain(&[env!("CARGO_BIN_EXE_reactor")]).chain(arguments).copied().collect();
        Self::run(&line, directory)
    }

    #[track_caller]
    fn run(line: &[&str], directory: Scratch) -> Self {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        Self::of(command, directory)
    }

    /// A command that becomes the server, in `directory`.
    #[track_caller]
    pub(crate) fn of(mut command: Command, directory: Scratch) -> Self {
        let mut child = command
            .current_dir(directory.path())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let collected = Arc::clone(&log);
        let collector = thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).unwrap() > 0 {
                collected.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, addresses: Vec::new(), log, collector: Some(collector), directory };
        for line in stdout.lines().map(Result::unwrap) {
            if line == "ready" {
                return process;
            }
            let fields: Vec<_> = line.split(' ').collect();
            let &["listening", name, _protocol, url] = &fields[..] else { panic!("an unexpected line: {line}") };
            // A Unix socket has no such address.
            let address = url.split_once("://").and_then(|(_, address)| address.parse().ok());
            process.addresses.extend(address.map(|address| (name.to_owned(), address)));
        }
        process.collector.take().unwrap().join().unwrap();
        panic!("it never was ready: {}", process.log());
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Its addresses, in the order in which it prints them.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|(_, address)| *address).collect()
    }

    /// Its working directory.
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

    /// Waits until it has ended; returns its status and its log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        eventually("the process ends", || !self.is_running());
        self.collector.take().unwrap().join().unwrap();
        (self.child.wait().unwrap(), self.log())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The current counters of every listener over TCP, from a line of the log.
    #[track_caller]
    pub(crate) fn counters(&self) -> Vec<String> {
        let before = self.log().len();
        self.signal(Signal::SIGUSR1);
        let lines = || -> Vec<String> { self.log()[before..].lines().map(str::to_owned).collect() };
        let is_told = |name: &str| lines().iter().any(|line| line.contains(&format!("] {name} ")));
        eventually("the counters are logged", || self.addresses.iter().all(|(name, _)| is_told(name)));
        lines().into_iter().filter(|line| line.contains(": accepted ")).collect()
    }

    /// A number of the counters of one listener, such as `open`.
    #[track_caller]
    pub(crate) fn counter(&self, name: &str, what: &str) -> u64 {
        let counters = self.counters();
        let line = counters.iter().find(|line| line.contains(&format!("] {name} "))).unwrap();
        number_after(line, what)
    }

    /// Stops the server as Ctrl-Z does, until [`Process::resume`]: all actions of peers meanwhile come in one batch.
    #[track_caller]
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        eventually("it is stopped", || self.state() == 'T' || self.state() == 't');
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// `proc_pid_stat(5)`: `state`.
    fn state(&self) -> char {
        let stat = self.proc("stat");
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }

    /// Names in the directory that the file protocols receive into by default.
    pub(crate) fn received(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("received")).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Memory in use, in bytes (`proc_pid_status(5)`: `VmRSS`).
    pub(crate) fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> usize {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// The most memory that has been in use, in bytes (`proc_pid_status(5)`: `VmHWM`).
    pub(crate) fn peak_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// Processor time used, in clock ticks of 10 ms (`proc_pid_stat(5)`: `utime` and `stime`).
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// The targets of the descriptors that it opened itself (`proc_pid_fd(5)`).
    pub(crate) fn opened(&self) -> Vec<String> {
        let own = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().map(|entry| entry.unwrap());
        let opened = own.filter_map(|entry| {
            // A descriptor may be closed meanwhile.
            let target = fs::read_link(entry.path()).ok()?;
            let is_standard = ["0", "1", "2"].iter().any(|standard| entry.file_name() == *standard);
            // This test has an inherited one as well.
            let inherited = fs::read_link(Path::new("/proc/self/fd").join(entry.file_name()));
            let is_own = !is_standard && inherited.ok().as_ref() != Some(&target);
            is_own.then(|| target.to_str().unwrap().to_owned())
        });
        let mut opened: Vec<_> = opened.collect();
        opened.sort();
        opened
    }

    /// The number of its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Whether every thread sleeps in the kernel (`proc_pid_stat(5)`): none runs, or waits for a tracer.
    pub(crate) fn sleeps(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let state = |thread: io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).ok()?;
            // The name of a thread may contain anything; the state follows its last parenthesis.
            stat.rsplit_once(") ")?.1.chars().next()
        };
        threads.map(state).all(|state| state == Some('S'))
    }

    /// The number of threads of this name. The log's thread runs only while there are lines to write, and for a while
    /// after.
    pub(crate) fn threads_named(&self, name: &str) -> usize {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let has_name = |thread: &io::Result<fs::DirEntry>| {
            let comm = fs::read_to_string(thread.as_ref().unwrap().path().join("comm"));
            comm.is_ok_and(|comm| comm.trim_end() == name)
        };
        threads.filter(has_name).count()
    }

    pub(crate) fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

/// The number that follows a word in a line of counters.
#[track_caller]
pub(crate) fn number_after(line: &str, word: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{word} ")).unwrap_or_else(|| panic!("no {word} in {line}"));
    rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(collector) = self.collector.take() {
            let _ = collector.join();
        }
        if thread::panicking() {
            eprintln!("the log of the server:\n{}", self.log());
        }
    }
}
