//! When a connection was accepted, without a byte in it to tell.

use std::time::Duration;

use crate::time::Time;

/// The times at which some generations were handed out.
///
/// An idle connection has no room for the time at which it was accepted. But it has a generation, generations are handed
/// out in order, and so the times of a few of them tell those of all the others: to the second at first, to a sixteenth of
/// the age later. What is kept grows with the logarithm of the time: 600 for ten years.
#[derive(Debug, Default)]
pub(crate) struct Births {
    /// In the order of their times.
    known: Vec<(u32, Time)>,
}

/// How far apart the times are that are kept of the last few seconds.
const STEP: Duration = Duration::from_secs(1);

/// The part of an age by which it may be wrong.
const PART: u32 = 16;

impl Births {
    /// Notes that `generation` was handed out `now`.
    pub(crate) fn note(&mut self, generation: u32, now: Time) {
        if self.known.last().is_none_or(|(_, last)| last.after(STEP) <= now) {
            self.thin_out(now);
            self.known.push((generation, now));
        }
    }

    /// How old the owner with this `generation` is, at most a second or a sixteenth less than that.
    pub(crate) fn age(&self, generation: u32, now: Time) -> Duration {
        // Generations wrap round, so what counts is how far one lies behind the newest.
        let newest = self.known.last().map_or(0, |(newest, _)| *newest);
        let behind = |generation: u32| newest.wrapping_sub(generation) as i32;
        let later = self.known.partition_point(|(known, _)| behind(*known) >= behind(generation));
        let before = self.known.get(later.saturating_sub(1));
        before.map_or(Duration::ZERO, |(_, at)| now.duration_from(*at))
    }

    /// Forgets those whose neighbours are close enough together by now.
    fn thin_out(&mut self, now: Time) {
        let mut kept = 1;
        for next in 2..self.known.len() {
            let ((_, before), (_, after)) = (self.known[kept - 1], self.known[next]);
            if after.duration_from(before) > now.duration_from(after) / PART {
                self.known[kept] = self.known[next - 1];
                kept += 1;
            }
        }
        if let [.., last] = self.known[..]
            && kept < self.known.len()
        {
            self.known[kept] = last;
            self.known.truncate(kept + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Plays a life, a birth every `step`, and compares each age at its end with the truth. Gives how many times were kept.
    fn worst(step: Duration, count: u32) -> usize {
        let origin = Instant::now();
        let at = |number: u32| Time::since(origin, origin + step * number);
        let first = u32::MAX - count / 2;
        let mut births = Births::default();
        for number in 0..count {
            births.note(first.wrapping_add(number), at(number));
        }
        let now = at(count);
        for number in 0..count {
            let (told, truth) = (births.age(first.wrapping_add(number), now), now.duration_from(at(number)));
            assert!(told >= truth, "{number}: {told:?} for {truth:?}");
            assert!(told <= truth + truth / PART + STEP, "{number}: {told:?} for {truth:?}");
        }
        births.known.len()
    }

    #[test]
    fn ages_are_right_to_a_second_or_a_sixteenth_and_few_times_tell_them() {
        assert!(worst(Duration::from_millis(10), 100_000) < 200);
        assert!(worst(Duration::from_secs(3600), 24 * 365 * 2) < 600);
    }

    #[test]
    fn the_first_of_a_crowd_is_as_old_as_it_is() {
        let origin = Instant::now();
        let mut births = Births::default();
        let start = Time::since(origin, origin);
        (0..1000).for_each(|generation| births.note(generation, start));
        assert_eq!(births.known.len(), 1);
        assert_eq!(births.age(999, start.after(STEP)), STEP);
    }
}
