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
//! Every number is a median over the rounds. In each round every server gets the same load, and the next round takes them
//! in the opposite order, so that whatever changes on the machine meanwhile meets them all. A ratio is computed within a
//! round; beside its median stand the lowest and the highest. The first row is what the ratios refer to, and where it
//! comes a second time, as *again*, its ratio shows what is only noise.
//!
//! Each server has core 0 to itself and the client core 1. Where the server is not busy all the time, it was the client
//! that limited the rate: then the processor time for each request tells more than the rate does.
//!
//! In the tables of `growth`, which `--svg` also draws, connecting and closing is taken out of the processor time, so that
//! many connections do not cost more only for being made.
//!
//! A server whose `p99` is to be judged needs a machine that does nothing else.
//!
//! # What it needs
//!
//! Linux with two cores, `taskset` and `chrt` (util-linux); for single tables `strace`, the `nc` of OpenBSD, `strip`,
//! 15,100 file descriptors and 3 GiB in `/dev/shm`. What lacks is said, and the rest goes on.

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
    eprintln!("the peers are for Linux, and so is what measures them");
    std::process::exit(1);
}
