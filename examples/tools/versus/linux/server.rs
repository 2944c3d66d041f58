//! A server in its own process, and the kernel's numbers about it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::failure::{Context as _, Failure, Result};

/// The prefix of a server's command line that reserves core 0 for it.
pub(crate) const PINNED: &[&str] = &["taskset", "-c", "0"];

/// A server, ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Its addresses, in the order of its listeners.
    pub(crate) urls: Vec<String>,
    /// Kept open: a server may print more.
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the server on core 0 and waits until it has printed its addresses.
    pub(crate) fn start(line: &[String]) -> Result<Self> {
        Self::under(PINNED, line)
    }

    /// Starts the server at the end of another command line, which must become the server by `exec`.
    pub(crate) fn under(prefix: &[&str], line: &[String]) -> Result<Self> {
        let words: Vec<_> = prefix.iter().copied().chain(line.iter().map(String::as_str)).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context(words[0])?;
        let Some(stdout) = child.stdout.take() else { return Failure::because("it has no output") };
        let mut server = Self { child, urls: Vec::new(), stdout: BufReader::new(stdout) };
        server.learn_urls().context(format_args!("{} does not start", words.join(" ")))?;
        Ok(server)
    }

    /// A peer prints one address; the reactor prints one for each listener, then `ready`.
    fn learn_urls(&mut self) -> std::result::Result<(), &'static str> {
        loop {
            let mut line = String::new();
            if !self.stdout.read_line(&mut line).is_ok_and(|count| count > 0) {
                return Err("the server ended");
            }
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["listening", .., url] => self.urls.push(url.to_owned()),
                ["ready"] => return Ok(()),
                [url] => {
                    self.urls.push(url.to_owned());
                    return Ok(());
                }
                _ => return Err("the server printed something else"),
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let (_, address) = self.url().split_once("://").unwrap_or_default();
        address.parse().context("not an address")
    }

    /// Processor time of all its threads so far, those that have ended included.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(self.pid()).and_then(ClockId::now);
        Ok(clock.context("cannot learn the processor time")?.into())
    }

    /// Bytes of memory that only this process has, and would free: `proc_pid_smaps(5)`, `Private_Dirty`.
    pub(crate) fn private_bytes(&self) -> Result<u64> {
        self.kibibytes("smaps_rollup", "Private_Dirty:")
    }

    /// Bytes of memory in use now: `proc_pid_status(5)`, `VmRSS`.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.kibibytes("status", "VmRSS:")
    }

    /// The most bytes of memory that have been in use: `proc_pid_status(5)`, `VmHWM`.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.kibibytes("status", "VmHWM:")
    }

    fn kibibytes(&self, file: &str, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = fs::read_to_string(&path).context(&path)?;
        let value =
            text.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        match value {
            Some(value) => Ok(value * 1024),
            None => Failure::because(format!("{path} has no {field}")),
        }
    }

    /// Stops the server as Ctrl-Z does: all that is sent meanwhile arrives at once.
    pub(crate) fn pause(&self) -> Result<()> {
        kill(self.pid(), Signal::SIGSTOP).context("cannot pause the server")?;
        match waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).context("cannot pause the server")? {
            WaitStatus::Stopped(..) => Ok(()),
            _ => Failure::because("the server ended"),
        }
    }

    pub(crate) fn resume(&self) -> Result<()> {
        kill(self.pid(), Signal::SIGCONT).context("cannot resume the server")
    }

    /// The number of its open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.child.id());
        Ok(fs::read_dir(&path).context(&path)?.count())
    }

    /// Asks the server to end, and waits until it has ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill(self.pid(), Signal::SIGTERM).context("cannot stop the server")?;
        self.child.wait().context("cannot stop the server")?;
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
