//! The catalogue of faults and attacks that have hit servers, tried on this one. The number in the name of a test is
//! the number of its case in `docs/reliability.md`, which lists all cases.
//!
//! A canary sends requests all the time while a fault lasts, and after the fault the server must be back at rest; see
//! [`Trial`](crate::support::Trial).

mod accept;
mod catalogue;
mod contents;
mod directories;
mod loop_;
mod memory;
mod names;
mod service;
mod sum;
mod tcp;
mod udp;
mod workers;
