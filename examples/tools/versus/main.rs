//! Compares the reactor with other servers: the same load, the same machine, turn by turn.
//!
//! ```sh
//! cargo run --release --example versus
//! cargo run --release --example versus -- --only uppercase,udp --rounds 5
//! cargo run --release --example versus -- --only growth --svg plots
//! ```
//!
//! # How to read the tables
//!
//! Only ratios within one table are comparable, because the speed of a machine changes within seconds. Every run of a
//! server is directly between two runs of the floor, the first row. Its ratio is its result divided by the mean of those
//! two. The table has the median of the ratios and, in brackets, the lowest and the highest. The next round takes the
//! servers in the opposite order.
//!
//! *The same again* is a second process of the floor, measured like every other server. Its ratio shows what 1.00 means
//! on this machine: a smaller difference is noise.
//!
//! *pairs* is the number of runs that the figures of a row come from. *dropped* is the number of runs that were dropped
//! because other programs used more than 12 % of a core during them or during the floors beside them. Such a run is
//! repeated, three times at most. With fewer than three undisturbed runs a row uses the disturbed ones too, and is
//! marked as disturbed. (If the kernel does not count interrupts as time of a process, `CONFIG_IRQ_TIME_ACCOUNTING`,
//! then their time counts as foreign, and every run is disturbed.)
//!
//! Each server has core 0 to itself and the client core 1. *load busy* is how busy the client's thread was. Above 90 %
//! the client was the bottleneck, and the row has a mark: then compare the processor time for each request, not the
//! rate.
//!
//! In the tables of `growth`, which `--svg` also draws, the processor time excludes connecting and closing, so that
//! many connections do not cost more only for being opened.
//!
//! To judge the `p99` of a server, use a machine that does nothing else.
//!
//! `knee` compares no servers: it checks that `load find` finds the knee of a server for which it is known.
//!
//! # What it needs
//!
//! Linux with two cores and `/proc/thread-self/children`, `taskset` and `chrt` (util-linux); for single tables `strace`,
//! the `nc` of OpenBSD, `strip`, 15,100 file descriptors, 3 GiB in `/dev/shm` and 2 GiB in `TMPDIR`. A missing one is
//! reported, and the other tables are measured. `haproxy` and `socat` take part in `relay` if they are installed.

#[cfg(target_os = "linux")]
#[path = "../../client/failure.rs"]
mod failure;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    failure::finish(linux::run())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the peers and their measurements need Linux");
    std::process::exit(1);
}
