//! A recording: the contents of the recorder at one moment, and the names of its sockets.

use std::collections::HashSet;
use std::time::SystemTime;

use super::record::{Record, What};
use crate::peer::Peer;
use crate::token::Token;

/// The last actions of a loop, copied out of its recorder, so that any thread can read them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// The wall clock when the recording began: time 0 of the records.
    pub began: SystemTime,
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// The number of older records that were overwritten: the recorder keeps `XRAY_RECORDS_MAX` of `src/limits.rs`.
    pub overwritten: u64,
    /// The listeners and UDP sockets, in the order of the configuration.
    pub endpoints: Vec<Served>,
    /// The connections that were open at the end, oldest first. Some were accepted before the oldest record that is
    /// kept.
    pub connections: Vec<Open>,
}

impl Recording {
    /// Returns the connections that were already under back-pressure at the oldest record: their first record of
    /// back-pressure is its end, or they have no such record and are still under it.
    pub(super) fn full_before(&self) -> HashSet<Token> {
        let (mut before, mut seen) = (HashSet::new(), HashSet::new());
        for Record { who, what, .. } in &self.records {
            match what {
                What::Full { .. } => {
                    seen.insert(*who);
                }
                What::Relieved { .. } if seen.insert(*who) => {
                    before.insert(*who);
                }
                _ => {}
            }
        }
        let still = self.connections.iter().filter(|open| open.full).map(|open| open.who);
        before.extend(still.filter(|who| !seen.contains(who)));
        before
    }
}

/// A listener or a UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Its token in the records.
    pub who: Token,
    /// The name in the configuration.
    pub name: String,
    /// The name of the protocol.
    pub protocol: String,
    /// The address: `tcp://127.0.0.1:5656`.
    pub url: String,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Its token in the records.
    pub who: Token,
    /// The peer.
    pub peer: Peer,
    /// Its listener, as an index into [`Recording::endpoints`].
    pub endpoint: u16,
    /// Whether the connection was under back-pressure.
    pub full: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xray::tests::sample;

    #[test]
    fn a_connection_whose_back_pressure_only_ends_was_under_it_before() {
        let mut recording = sample::recording();
        let is_begin = |record: &Record| matches!(record.what, What::Full { .. });
        let begin = recording.records.iter().position(is_begin).expect("a slow reader");
        let (slow, early) = (recording.records[begin].who, recording.connections[0].who);
        assert_eq!(recording.full_before(), HashSet::from([early]));
        recording.records.drain(..=begin);
        assert_eq!(recording.full_before(), HashSet::from([early, slow]));
    }
}
