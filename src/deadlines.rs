//! The deadlines of slots: cheap to postpone, exact, bounded in memory.

#![warn(clippy::missing_docs_in_private_items)]

use crate::time::Time;

/// At most one deadline for each slot, in a binary heap that records the position of each slot.
///
/// Nearly every message moves a deadline, and nearly always into the future. Rule 8: that costs nothing here. The slot
/// keeps its position, sometimes fires too early, and is then armed for its true deadline. Only an earlier deadline
/// moves at once, in O(log n). Neither allocates, and a slot is never in the heap twice.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// The times of the heap. Two vectors take a quarter less memory than one of pairs.
    times: Vec<Time>,
    /// The slot of each time.
    slots: Vec<u32>,
    /// The position of each slot in the heap, or [`ABSENT`].
    places: Vec<u32>,
}

/// The position of a slot that has no deadline.
const ABSENT: u32 = u32::MAX;

impl Deadlines {
    /// Makes sure that `slot` fires at `at` or before. [`Time::NEVER`] arms nothing.
    #[inline]
    pub(crate) fn arm(&mut self, slot: u32, at: Time) {
        // The position of an absent slot is beyond the heap.
        let place = self.places.get(slot as usize).map_or(ABSENT, |place| *place);
        if self.times.get(place as usize).is_none_or(|known| at < *known) {
            self.arm_earlier(slot, at);
        }
    }

    /// Moves the deadline of `slot` to `at`, or adds it. Not inlined: rare on the hot path.
    fn arm_earlier(&mut self, slot: u32, at: Time) {
        if at == Time::NEVER {
            return;
        }
        let index = slot as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, ABSENT);
        }
        if self.places[index] == ABSENT {
            self.places[index] = self.slots.len() as u32;
            self.times.push(at);
            self.slots.push(slot);
            self.rise(self.slots.len() - 1);
        } else {
            let place = self.places[index] as usize;
            if at < self.times[place] {
                self.times[place] = at;
                self.rise(place);
            }
        }
    }

    /// Removes the deadline of `slot`, if it has one.
    pub(crate) fn disarm(&mut self, slot: u32) {
        if let Some(&place) = self.places.get(slot as usize)
            && place != ABSENT
        {
            self.remove(place as usize);
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.times.first().copied()
    }

    /// Removes and returns a slot whose deadline is at or before `now`. Its owner checks what has expired, and arms the
    /// next deadline.
    pub(crate) fn pop(&mut self, now: Time) -> Option<u32> {
        self.next().filter(|at| *at <= now)?;
        Some(self.remove(0))
    }

    /// Returns the number of slots that have a deadline.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns when `slot` fires; [`Time::NEVER`] if it has no deadline.
    pub(crate) fn at(&self, slot: u32) -> Time {
        let place = self.places.get(slot as usize).filter(|place| **place != ABSENT);
        place.map_or(Time::NEVER, |place| self.times[*place as usize])
    }

    /// Removes the deadline at a position. Returns its slot.
    fn remove(&mut self, place: usize) -> u32 {
        self.times.swap_remove(place);
        let removed = self.slots.swap_remove(place);
        self.places[removed as usize] = ABSENT;
        if let Some(moved) = self.slots.get(place) {
            self.places[*moved as usize] = place as u32;
            self.rise(place);
            self.sink(place);
        }
        removed
    }

    /// Moves a deadline towards the root until its parent is not later.
    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.times[parent] <= self.times[place] {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    /// Moves a deadline towards the leaves until its children are not earlier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(left_time) = self.times.get(left) else { break };
            let child = if self.times.get(left + 1).is_some_and(|right| right < left_time) { left + 1 } else { left };
            if self.times[place] <= self.times[child] {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }

    /// Exchanges two positions of the heap.
    fn swap(&mut self, a: usize, b: usize) {
        self.times.swap(a, b);
        self.slots.swap(a, b);
        self.places[self.slots[a] as usize] = a as u32;
        self.places[self.slots[b] as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::*;

    fn at(milliseconds: u64) -> Time {
        let origin = Instant::now();
        Time::since(origin, origin + Duration::from_millis(milliseconds))
    }

    #[test]
    fn slots_fire_in_the_order_of_their_deadlines() {
        let mut deadlines = Deadlines::default();
        for (slot, time) in [(0, 30), (1, 10), (2, 20), (3, 40)] {
            deadlines.arm(slot, at(time));
        }
        assert_eq!(deadlines.next(), Some(at(10)));
        let order: Vec<u32> = std::iter::from_fn(|| deadlines.pop(at(30))).collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(deadlines.next(), Some(at(40)));
    }

    #[test]
    fn an_earlier_deadline_counts_at_once_a_later_one_when_the_first_expires() {
        let mut deadlines = Deadlines::default();
        deadlines.arm(7, at(20));
        deadlines.arm(7, at(50));
        assert_eq!(deadlines.next(), Some(at(20)));
        deadlines.arm(7, at(10));
        assert_eq!(deadlines.next(), Some(at(10)));
        assert_eq!(deadlines.len(), 1);
    }

    #[test]
    fn a_slot_that_is_disarmed_never_fires() {
        let mut deadlines = Deadlines::default();
        deadlines.arm(1, at(10));
        deadlines.arm(2, at(10));
        deadlines.disarm(1);
        deadlines.disarm(1);
        deadlines.disarm(99);
        assert_eq!(deadlines.pop(at(99)), Some(2));
        assert_eq!(deadlines.pop(at(99)), None);
    }

    #[test]
    fn any_mixture_of_operations_agrees_with_a_sorted_map() {
        let mut deadlines = Deadlines::default();
        let mut model: BTreeMap<u32, Time> = BTreeMap::new();
        let mut random = 88_172_645_463_325_252_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let slot = (random >> 8) as u32 % 40;
            let time = at(random >> 20 & 0xff);
            match random % 4 {
                0 | 1 => {
                    deadlines.arm(slot, time);
                    model.entry(slot).and_modify(|known| *known = time.min(*known)).or_insert(time);
                }
                2 => {
                    deadlines.disarm(slot);
                    model.remove(&slot);
                }
                _ => match deadlines.pop(time) {
                    Some(slot) => {
                        let earliest = *model.values().min().expect("something was due");
                        assert_eq!(model.remove(&slot), Some(earliest));
                    }
                    None => assert!(model.values().all(|known| *known > time)),
                },
            }
            assert_eq!(deadlines.next(), model.values().min().copied());
            assert_eq!(deadlines.len(), model.len());
        }
    }
}
