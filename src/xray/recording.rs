//! A recording: what was on the tape at some moment, and the names to read it with.

use std::collections::HashSet;
use std::time::SystemTime;

use super::record::{Record, What};
use crate::peer::Peer;
use crate::token::Token;

/// What a loop did last, copied out of its recorder, so that any thread can look at it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// The wall clock when the recording began: time 0 of the records.
    pub began: SystemTime,
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// How many older ones were overwritten: the recorder keeps
    /// `XRAY_RECORDS_MAX` of `src/limits.rs`.
    pub overwritten: u64,
    /// What is served, in the order of the configuration.
    pub endpoints: Vec<Served>,
    /// The connections that were open at the end, oldest first: some were accepted before the oldest record that is left.
    pub connections: Vec<Open>,
}

impl Recording {
    /// Who was under back-pressure already when the oldest record was made: whose first word of it is that it is over, or
    /// who has none of it and still is.
    pub(super) fn full_before(&self) -> HashSet<Token> {
        let (mut before, mut told) = (HashSet::new(), HashSet::new());
        for Record { who, what, .. } in &self.records {
            match what {
                What::Full { .. } => {
                    told.insert(*who);
                }
                What::Relieved { .. } if told.insert(*who) => {
                    before.insert(*who);
                }
                _ => {}
            }
        }
        let still = self.connections.iter().filter(|open| open.full).map(|open| open.who);
        before.extend(still.filter(|who| !told.contains(who)));
        before
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Whose records are its own.
    pub who: Token,
    /// Who is at the other end.
    pub peer: Peer,
    /// Which of [`Recording::endpoints`] accepted it.
    pub endpoint: u16,
    /// Whether it was under back-pressure.
    pub full: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xray::tests::sample;

    #[test]
    fn whose_first_word_of_back_pressure_is_its_end_was_under_it_before() {
        let mut recording = sample::recording();
        let is_begin = |record: &Record| matches!(record.what, What::Full { .. });
        let begin = recording.records.iter().position(is_begin).expect("a slow reader");
        let (slow, early) = (recording.records[begin].who, recording.connections[0].who);
        assert_eq!(recording.full_before(), HashSet::from([early]));
        recording.records.drain(..=begin);
        assert_eq!(recording.full_before(), HashSet::from([early, slow]));
    }
}
