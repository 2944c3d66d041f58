//! A recording: what was on the tape at some moment, and the names to read it with.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::record::Record;
use crate::kernel::Token;

/// What a loop did last, copied out of its recorder, so that any thread can look at it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// The wall clock when the recording began: time 0 of the records.
    pub began: SystemTime,
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// How many older ones were overwritten: the recorder keeps
    /// [`XRAY_RECORDS_MAX`](crate::limits::XRAY_RECORDS_MAX).
    pub overwritten: u64,
    /// What is served, in the order of the configuration.
    pub endpoints: Vec<Served>,
    /// The connections that were open at the end, oldest first: some were accepted before the oldest record that is left.
    pub connections: Vec<Open>,
}

/// A listener or a UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Whose records are its own.
    pub who: Token,
    /// Its name in the configuration.
    pub name: String,
    /// The name of its protocol.
    pub protocol: String,
    /// Where it listens: `tcp://127.0.0.1:5656`.
    pub url: String,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Whose records are its own.
    pub who: Token,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Which of [`Recording::endpoints`] accepted it.
    pub endpoint: u16,
}
