//! The promises of the server, tried on real sockets, real files and real processes: one module for each promise, each
//! test a claim.
//!
//! They are one program, so that shared code is compiled and linked once. Some of them run alone with `cargo test
//! --test promises last_reply::`.
//!
//! No test sleeps and hopes: it waits for the event itself, and fails after [`PATIENCE`](support::PATIENCE).

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod support;
#[path = "../timed/mod.rs"]
mod timed;

mod admin;
mod admission;
mod clients;
mod context;
mod crowd;
mod embedding;
mod fairness;
// It reads `/proc` and injects faults with `strace`, also into the calls of epoll.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod faults;
mod hang_up;
mod hostile_peers;
mod last_reply;
mod load;
// It reads `/proc`, and mounts a file system.
#[cfg(target_os = "linux")]
mod logs;
mod messages;
mod old_clients;
// It passes sockets as systemd does, and reads `/proc`.
#[cfg(target_os = "linux")]
mod passed;
mod proxied;
// It counts the system calls of epoll.
#[cfg(not(mio_unsupported_force_poll_poll))]
mod quiet;
mod readme;
mod relay;
mod reload;
// macOS has the option, but does not spread connections.
#[cfg(not(target_vendor = "apple"))]
mod reuse_port;
mod rotation;
mod service;
mod shutdown;
// It reads `/proc`.
#[cfg(target_os = "linux")]
mod soak;
// It injects faults with `strace`.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod splice;
// It reads `/proc` and starts the server under `prlimit`.
#[cfg(target_os = "linux")]
mod start;
mod transcripts;
mod udp;
// It needs abstract names, and reads `/proc`.
#[cfg(target_os = "linux")]
mod unix;
mod uploads;
mod why;
mod xray;
