//! The recorder's ring buffer: the last records, in a fixed amount of memory.

use super::record::Record;

/// The last `most` records; when the ring is full, a new record replaces the oldest.
#[derive(Debug)]
pub(super) struct Ring {
    records: Vec<Record>,
    /// The number of records that the ring has room for.
    most: usize,
    /// The index of the oldest record once the ring is full: the next record replaces it.
    next: usize,
    /// The number of records that were overwritten.
    overwritten: u64,
}

impl Ring {
    /// Allocates room for `most` records, at least one. No later call allocates.
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

    /// Returns the records that are kept, the oldest first.
    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        let (newer, older) = self.records.split_at(self.next);
        older.iter().chain(newer)
    }

    /// The number of records that were overwritten.
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
