//! Pairs the read that brought a request with the write that sent its answer.

use std::collections::HashMap;

use super::kind::Kind;
use super::record::{Record, What};
use crate::token::Token;

/// The positions of two records: the read that brought a request, and the write that sent the first bytes of its
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) read: usize,
    pub(super) write: usize,
}

/// The reads of one connection whose requests have no written answer yet.
#[derive(Default)]
struct Requests {
    /// The last read that brought bytes.
    read: Option<usize>,
    /// The reads to which the protocol has appended an answer that has not been written.
    answered: Vec<usize>,
}

/// Returns all requests whose read and write are both recorded, in the order of the writes.
pub(super) fn answers(records: &[Record]) -> Vec<Answered> {
    let mut answers = Vec::new();
    let mut requests: HashMap<Token, Requests> = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        match (Kind::of(&record.what), record.what) {
            (Kind::Read, _) => requests.entry(record.who).or_default().read = Some(place),
            (Kind::Protocol, What::Asked { output: 1.., .. }) => {
                let requests = requests.entry(record.who).or_default();
                requests.answered.extend(requests.read.take());
            }
            (Kind::Write | Kind::Short, _) => {
                let requests = requests.entry(record.who).or_default();
                answers.extend(requests.answered.drain(..).map(|read| Answered { read, write: place }));
            }
            (Kind::Closed, _) => drop(requests.remove(&record.who)),
            _ => {}
        }
    }
    answers
}
