//! Signals that were already ignored when this process started.

use std::ffi::c_int;
use std::fs;

/// Whether this process ignores a signal.
///
/// Called before a handler is installed, it shows what the parent wanted: `exec` leaves an ignored signal ignored
/// (`execve(2)`). A shell without job control ignores SIGINT for what it starts in the background (POSIX, *Asynchronous
/// Lists*), so that a Ctrl-C for another program does not end it; `nohup` does the same with SIGHUP. A handler would
/// undo that.
///
/// Reads `/proc` (`proc_pid_status(5)`: `SigIgn`). Without `/proc`, as on macOS and the BSDs, no signal counts as
/// ignored.
pub fn is_ignored(signal: c_int) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    mask.is_some_and(|mask| (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1)
}
