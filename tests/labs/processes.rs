//! The kernel's data about processes (`proc(5)`).

use std::fs;

/// The threads of a process group and of the shell that has started it, at one moment.
#[derive(Debug, PartialEq)]
pub(crate) struct Glance(Vec<Thread>);

#[derive(Debug, PartialEq)]
struct Thread {
    number: String,
    state: char,
    /// How often it was taken off a processor.
    switches: Vec<String>,
}

/// Reads every thread of two process groups.
pub(crate) fn glance(group: i32, shell: i32) -> Glance {
    let mut threads = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let in_group = stat_field(&stat, 2).and_then(|group| group.parse().ok());
        if in_group != Some(group) && in_group != Some(shell) {
            continue;
        }
        for task in fs::read_dir(path.join("task")).into_iter().flatten().flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            threads.push(Thread {
                number: task.file_name().to_string_lossy().into_owned(),
                state: stat_field(&stat, 0).and_then(|state| state.chars().next()).unwrap_or('?'),
                switches: status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect(),
            });
        }
    }
    Glance(threads)
}

impl Glance {
    /// Each thread waits, or is stopped by `strace` in a call that waits.
    pub(crate) fn is_asleep(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|thread| matches!(thread.state, 'S' | 'T' | 't' | 'Z'))
    }
}

/// A field of `/proc/PID/stat` behind the name of the program, which may contain anything; the first is the state.
fn stat_field(stat: &str, index: usize) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)
}
