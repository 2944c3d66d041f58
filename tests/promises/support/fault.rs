//! Faults of the kernel: a tracer makes system calls of a running server fail or wait, or kills it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Process, eventually};

/// Time for the tracer to detach from a running server. If it is killed before, a call that it has replaced and not
/// answered fails with `ENOSYS`.
const TO_DETACH: Duration = Duration::from_secs(20);

/// Makes system calls of a server fail until it is dropped.
pub(crate) struct Fault {
    strace: Child,
    process: u32,
}

impl Fault {
    /// Each injection is one of `strace(1)`: `accept4:error=EMFILE:when=1+2`, counted for each thread from here on.
    #[track_caller]
    pub(crate) fn on(process: &Process, injections: &[&str]) -> Self {
        Self::attach(process.id(), injections)
    }

    #[track_caller]
    fn attach(process: u32, injections: &[&str]) -> Self {
        let calls: Vec<_> = injections.iter().map(|injection| injection.split(':').next().unwrap()).collect();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-p", &process.to_string()]);
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for injection in injections {
            command.args(["-e", &format!("inject={injection}")]);
        }
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut fault = Self { strace, process };
        eventually("the tracer is attached", || {
            assert!(fault.strace.try_wait().unwrap().is_none(), "strace ended at once");
            is_traced(process)
        });
        fault
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // On SIGTERM the tracer detaches and leaves the server running. If it has killed the server it may wait for
        // ever.
        let _ = kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGTERM);
        let end = Instant::now() + TO_DETACH;
        while Instant::now() < end && is_alive(self.process) && matches!(self.strace.try_wait(), Ok(None)) {
            thread::park_timeout(Duration::from_millis(2));
        }
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Whether a process exists and is not a zombie (`proc_pid_stat(5)`: `state`).
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether every thread has a tracer (`proc_pid_status(5)`: `TracerPid`).
fn is_traced(process: u32) -> bool {
    let Ok(mut tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    tasks.all(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// Whether faults can be injected into a running process. If not, prints a message; with `CI` set, fails.
#[must_use]
pub(crate) fn faults_work() -> bool {
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let arguments = ["-qq", "-o", "/dev/null", "-p"];
    let tried = Command::new("strace").args(arguments).arg(sleeper.id().to_string()).stderr(Stdio::null()).spawn();
    let works = tried.is_ok_and(|mut strace| {
        let mut result = None;
        eventually("strace attaches or exits", || {
            result = strace.try_wait().unwrap().map(|_| false).or_else(|| is_traced(sleeper.id()).then_some(true));
            result.is_some()
        });
        let _ = strace.kill();
        let _ = strace.wait();
        result == Some(true)
    });
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    skip_unless(works, "strace is missing or may not attach to a running process")
}

/// Whether the user is root: only root may mount, forge packets and cut cables.
#[must_use]
pub(crate) fn root_works() -> bool {
    skip_unless(fs::metadata("/proc/self").unwrap().uid() == 0, "only root may do this")
}

fn skip_unless(works: bool, reason: &str) -> bool {
    if !works {
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        eprintln!("SKIPPED: {reason}, so this test did nothing");
    }
    works
}
