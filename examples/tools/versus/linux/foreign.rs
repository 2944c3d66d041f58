//! Foreign load: the time for which the cores of a run worked for programs that do not belong to the run.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::failure::{Context as _, Failure, Result};

/// A run with more foreign load than this share of a core is disturbed.
pub(crate) const FOREIGN_MAX: f64 = 0.12;

/// The unit of `/proc/stat`: `proc_stat(5)`, `USER_HZ`, which is 100 for every architecture that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// The cores that a run may use.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cores {
    /// Core 0 of the server and core 1 of the load.
    Two,
    All,
}

/// The state of the clocks at the beginning of a run.
pub(crate) struct Watch {
    cores: Cores,
    since: Instant,
    idle: Idle,
    own: Duration,
}

/// The idle time of some cores.
#[derive(Debug, PartialEq)]
struct Idle {
    cores: u32,
    time: Duration,
}

impl Watch {
    pub(crate) fn start(cores: Cores) -> Result<Self> {
        Ok(Self { cores, since: Instant::now(), idle: idle(cores)?, own: own_time()? })
    }

    /// Returns the foreign load since the start, in cores.
    pub(crate) fn foreign(&self) -> Result<f64> {
        let (span, idle, own) = (self.since.elapsed(), idle(self.cores)?, own_time()?);
        Ok(foreign(span, idle.cores, idle.time.saturating_sub(self.idle.time), own.saturating_sub(self.own)))
    }
}

/// The part of the time of `cores` cores that was neither idle nor used by our processes. Time that a hypervisor took
/// from a busy core counts as foreign, too.
fn foreign(span: Duration, cores: u32, idle: Duration, own: Duration) -> f64 {
    let foreign = (span * cores).saturating_sub(idle).saturating_sub(own);
    foreign.as_secs_f64() / span.as_secs_f64()
}

fn idle(cores: Cores) -> Result<Idle> {
    let path = "/proc/stat";
    let text = fs::read_to_string(path).context(path)?;
    match idle_in(&text, cores) {
        Some(idle) => Ok(idle),
        None => Failure::because(format!("{path} does not have the cores of the run")),
    }
}

/// Reads the fields `idle` and `iowait` of each core.
fn idle_in(text: &str, cores: Cores) -> Option<Idle> {
    let mut sum = Idle { cores: 0, time: Duration::ZERO };
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let number = fields.next()?.strip_prefix("cpu").map(str::parse::<u32>);
        let Some(Ok(number)) = number else { continue };
        if cores == Cores::Two && number > 1 {
            continue;
        }
        let ticks: u32 = fields.skip(3).take(2).map(|field| field.parse::<u32>().ok()).sum::<Option<_>>()?;
        sum = Idle { cores: sum.cores + 1, time: sum.time + TICK * ticks };
    }
    (sum.cores >= if cores == Cores::Two { 2 } else { 1 }).then_some(sum)
}

/// Returns the processor time of this process and of its children, those that have ended included. A child that ends
/// between two readings moves from one summand to the other.
fn own_time() -> Result<Duration> {
    let path = "/proc/thread-self/children";
    let children = fs::read_to_string(path).context(path)?;
    let mut time = used(UsageWho::RUSAGE_SELF)? + used(UsageWho::RUSAGE_CHILDREN)?;
    for child in children.split_whitespace() {
        let child = child.parse().context(path)?;
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(child)).and_then(ClockId::now);
        time += Duration::from(clock.context("cannot learn the processor time of a child")?);
    }
    Ok(time)
}

pub(crate) fn used(by: UsageWho) -> Result<Duration> {
    let usage: Usage = getrusage(by).context("cannot learn the processor time")?;
    Ok(Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  9 9 9 900 90 0 9 9 0 0\n\
                        cpu0 1 1 1 100 20 0 1 1 0 0\n\
                        cpu1 1 1 1 300 10 0 1 1 0 0\n\
                        cpu2 1 1 1 500 60 0 1 1 0 0\n\
                        intr 12345 1 2\n";

    #[test]
    fn idle_time_counts_the_cores_of_the_run_alone() {
        let idle = |cores, millis| Some(Idle { cores, time: Duration::from_millis(millis) });
        assert_eq!(idle_in(STAT, Cores::Two), idle(2, 4300));
        assert_eq!(idle_in(STAT, Cores::All), idle(3, 9900));
        assert_eq!(idle_in("cpu 1 1 1 1 1\ncpu0 1 1 1 100 20\n", Cores::Two), None, "a machine of one core");
    }

    #[test]
    fn what_is_neither_idle_nor_ours_is_foreign() {
        let millis = Duration::from_millis;
        assert_eq!(foreign(millis(1000), 2, millis(500), millis(1300)), 0.2);
        assert_eq!(foreign(millis(500), 2, millis(250), millis(500)), 0.5);
        assert_eq!(foreign(millis(1000), 2, millis(1000), millis(1010)), 0.0, "the kernel rounds");
    }

    #[test]
    fn neither_a_thread_of_this_process_nor_an_idle_core_is_foreign() {
        let watch = Watch::start(Cores::All).unwrap_or_else(|_| panic!("no /proc/stat"));
        let own = watch.own;
        while watch.since.elapsed() < Duration::from_millis(50) {}
        let now = own_time().unwrap_or_else(|_| panic!("no clock"));
        assert!(now - own > Duration::ZERO, "the time of this process grows: {own:?} {now:?}");
    }
}
