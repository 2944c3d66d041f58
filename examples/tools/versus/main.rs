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
//! Every number is a median over the rounds. In each round every server gets the same load, and the next round takes
//! them in the opposite order, so that changes on the machine affect all of them. A ratio is computed within a round;
//! beside its median are the lowest and the highest. The ratios refer to the first row, and where it comes a second
//! time, as *again*, its ratio shows the noise.
//!
//! Each server has core 0 to itself and the client core 1. Where the server is not busy all the time, the client
//! limited the rate: then compare the processor time for each request, not the rate.
//!
//! In the tables of `growth`, which `--svg` also draws, the processor time excludes connecting and closing, so that
//! many connections do not cost more only for being opened.
//!
//! To judge the `p99` of a server, use a machine that does nothing else.
//!
//! # What it needs
//!
//! Linux with two cores, `taskset` and `chrt` (util-linux); for single tables `strace`, the `nc` of OpenBSD, `strip`,
//! 15,100 file descriptors and 3 GiB in `/dev/shm`. A missing one is reported, and the other tables are measured.

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
