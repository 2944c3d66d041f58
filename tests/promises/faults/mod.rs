//! The catalogue of faults and attacks that servers have fallen to, tried on this one. The number in the name of a test
//! is that of the case in `docs/reliability.md`, which lists all of them.
//!
//! A canary asks all the time while a fault lasts, and when it is over the server must be back at rest; see
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
