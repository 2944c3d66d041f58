//! What the system counts of the process. Runs on a worker, because files are read.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Nanoseconds of a clock tick in `/proc` (`proc_pid_stat(5)`), a hundredth of a second on Linux (`time(7)`: `USER_HZ`).
const TICK_NANOSECONDS: u64 = 10_000_000;

/// The numbers that Prometheus knows of each process, as far as the system reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Time of all cores, of user and system.
    pub(super) cpu_nanoseconds: Option<u64>,
    /// Memory that is not swapped out.
    pub(super) resident_bytes: Option<u64>,
    /// Open descriptors.
    pub(super) open_descriptors: Option<u64>,
    /// The limit of open descriptors.
    pub(super) descriptors_max: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Self {
            cpu_nanoseconds: ticks(&read("stat")).and_then(|ticks| ticks.checked_mul(TICK_NANOSECONDS)),
            resident_bytes: resident_kib(&read("status")).and_then(|kib| kib.checked_mul(1024)),
            open_descriptors: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            descriptors_max: getrlimit(Resource::Nofile).current,
        }
    }
}

/// Returns `utime` and `stime` together, the fields 14 and 15. The second field is the name, which may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, from_the_third) = stat.rsplit_once(')')?;
    let mut fields = from_the_third.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    fields.next()??.checked_add(fields.next()??)
}

/// Returns the number of kB, which are KiB (`proc_pid_status(5)`).
fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 141 15 16";
        assert_eq!(ticks(stat), Some(141 + 15));
        assert_eq!((ticks("7 (a) R 1"), ticks("")), (None, None));
        assert_eq!(resident_kib("VmPeak:\t 9 kB\nVmRSS:\t    7512 kB\n"), Some(7512));
        assert_eq!(resident_kib("VmRSS: x kB"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_reports_all_of_it() {
        let process = Process::read();
        assert!(process.cpu_nanoseconds.is_some() && process.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(process.open_descriptors > Some(2), "{process:?}");
    }
}
