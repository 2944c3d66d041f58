//! The flight recorder's tape: the last records, in a fixed amount of memory.

use super::record::Record;

/// The last records, as many as it has room for; a new one takes the place of the oldest.
#[derive(Debug)]
pub(super) struct Ring {
    records: Vec<Record>,
    most: usize,
    /// Where the next one goes, once there are `most`: the place of the oldest.
    next: usize,
    overwritten: u64,
}

impl Ring {
    /// With room for `most` records, at least one. The memory is taken now, so that none is asked for later.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { records: Vec::with_capacity(most), most, next: 0, overwritten: 0 }
    }

    pub(super) fn push(&mut self, record: Record) {
        if self.records.len() < self.most {
            self.records.push(record);
            return;
        }
        self.records[self.next] = record;
        self.next = if self.next + 1 == self.most { 0 } else { self.next + 1 };
        self.overwritten += 1;
    }

    /// All that are left, the oldest first.
    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        let (newer, older) = self.records.split_at(self.next);
        older.iter().chain(newer)
    }

    /// How many are not left.
    pub(super) fn overwritten(&self) -> u64 {
        self.overwritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xray::record::{LOOP, What};

    #[test]
    fn the_last_records_are_left_in_order_and_the_others_are_counted() {
        let mut ring = Ring::new(4);
        for at in 0..11 {
            ring.push(Record { at, who: LOOP, what: What::Reap });
            let first = (at + 1).saturating_sub(4);
            assert_eq!(ring.overwritten(), first);
            assert!(ring.records().map(|record| record.at).eq(first..=at));
        }
    }
}
