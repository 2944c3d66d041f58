//! Checks at the start whether threads can be started, because workers need them later.

use std::fs;
use std::path::Path;
use std::thread;

use log::warn;

/// Warns if no thread can be started. Starts a thread only if a limit is near: the server needs none before the first line of its
/// log, or the first job.
pub(super) fn warn_if_there_are_none() {
    if !is_limit_near() {
        return;
    }
    match thread::Builder::new().name("trial".to_owned()).spawn(|| ()) {
        Ok(trial) => drop(trial.join()),
        Err(error) => warn!(
            "no thread can be started: {error}; jobs such as uploads are refused until a thread can be started (see ulimit -u, pids.max)"
        ),
    }
}

/// Whether a limit of threads may have been reached, as far as it can be read: the limit of the control group (`cgroups(7)`),
/// or of the user, who has at most all threads of the machine (`getrlimit(2)`: `RLIMIT_NPROC`, `proc_loadavg(5)`).
fn is_limit_near() -> bool {
    is_limit_of_user_near().unwrap_or(false) || is_limit_of_group_near().unwrap_or(false)
}

fn is_limit_of_user_near() -> Option<bool> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nproc).current?;
    Some(threads_of_machine(&fs::read_to_string("/proc/loadavg").ok()?)? >= most)
}

/// Returns the number behind the slash in `0.20 0.18 0.12 1/80 11206`.
fn threads_of_machine(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn is_limit_of_group_near() -> Option<bool> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(group);
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // Without a limit the file contains the word "max".
    Some(number("pids.current")? >= number("pids.max")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_of_the_machine_are_read_from_its_load() {
        assert_eq!(threads_of_machine("0.20 0.18 0.12 1/80 11206\n"), Some(80));
        for strange in ["", "0.20 0.18 0.12", "0.20 0.18 0.12 80 11206", "0.20 0.18 0.12 1/x 11206"] {
            assert_eq!(threads_of_machine(strange), None, "{strange}");
        }
    }
}
