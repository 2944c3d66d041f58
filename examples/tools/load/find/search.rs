//! Which rate to try next. It measures nothing, so that the tests can search for a knee that they know.

use std::fmt::{self, Display, Formatter};

/// The search ends when the lowest rate that breaks is at most this part above the highest that holds: 2 %.
const PRECISION_PART: u64 = 50;

/// Far more than any search needs: from one to a hundred million a second the rate doubles 27 times.
const STEPS_MAX: u32 = 64;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// It breaks a condition, though the server keeps the rate or nearly keeps it: chance may be the reason.
    Doubtful,
    Breaks,
}

/// What a search has found: every rate that was tried holds up to `holds`, and breaks from `breaks` on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Knee {
    pub(crate) holds: Option<u64>,
    pub(crate) breaks: Option<u64>,
}

impl Display for Knee {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self { holds: None, breaks: None } => f.write_str("unknown: the search had only begun"),
            Self { holds: None, breaks: Some(rate) } => write!(f, "below {rate}/s: no rate that was tried holds"),
            Self { holds: Some(rate), breaks: None } => write!(f, "at least {rate}/s: no rate that was tried breaks"),
            Self { holds: Some(holds), breaks: Some(breaks) } => write!(f, "{holds}/s holds, {breaks}/s breaks"),
        }
    }
}

/// A search for the highest rate that holds: an exponential rise, or descent, and then a bisection.
pub(crate) struct Search {
    lowest: u64,
    from: u64,
    to: u64,
    holds: Option<u64>,
    breaks: Option<u64>,
    /// This rate is tried once more.
    again: Option<u64>,
    steps: u32,
}

impl Search {
    /// A search that begins with `from`, and tries no rate below `lowest` or above `to`.
    pub(crate) fn new(lowest: u64, from: u64, to: u64) -> Self {
        let lowest = lowest.clamp(1, to);
        Self { lowest, from: from.max(lowest), to, holds: None, breaks: None, again: None, steps: 0 }
    }

    /// Returns the rate to try next, or `None` if the search has ended.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.steps >= STEPS_MAX {
            return None;
        }
        self.again.or_else(|| match (self.holds, self.breaks) {
            (None, None) => Some(self.from),
            (Some(holds), None) => (holds < self.to).then(|| holds.saturating_mul(2).min(self.to)),
            (None, Some(breaks)) => (breaks > self.lowest).then(|| (breaks / 4).max(self.lowest)),
            (Some(holds), Some(breaks)) => {
                let is_wide = breaks - holds > (holds / PRECISION_PART).max(1);
                is_wide.then(|| holds + (breaks - holds) / 2)
            }
        })
    }

    /// Takes the result of the step at `rate`, which [`Search::next`] has asked for.
    pub(crate) fn tell(&mut self, rate: u64, verdict: Verdict) {
        self.steps += 1;
        let is_second = self.again.take().is_some();
        // All later steps are below the first rate that breaks, so that one must not be chance either.
        let is_first = self.breaks.is_none();
        match verdict {
            Verdict::Holds => self.holds = Some(rate),
            Verdict::Doubtful if !is_second => self.again = Some(rate),
            Verdict::Breaks if !is_second && is_first => self.again = Some(rate),
            Verdict::Doubtful | Verdict::Breaks => self.breaks = Some(rate),
        }
    }

    pub(crate) fn knee(&self) -> Knee {
        Knee { holds: self.holds, breaks: self.breaks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a measurement of the rate and the number of the step. Returns the knee, and the steps.
    fn find(mut search: Search, mut measure: impl FnMut(u64, u32) -> Verdict) -> (Knee, u32) {
        while let Some(rate) = search.next() {
            let verdict = measure(rate, search.steps);
            search.tell(rate, verdict);
        }
        (search.knee(), search.steps)
    }

    fn exact(knee: u64) -> impl FnMut(u64, u32) -> Verdict {
        move |rate, _| if rate <= knee { Verdict::Holds } else { Verdict::Breaks }
    }

    /// A number from 0 to 1 that belongs to this seed (Steele and others, "Fast splittable pseudorandom number
    /// generators", 2014).
    fn chance(seed: u64) -> f64 {
        let mut mix = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mix = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mix = (mix ^ (mix >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mix ^ (mix >> 31)) as f64 / u64::MAX as f64
    }

    const KNEES: [u64; 14] = [1, 2, 3, 10, 49, 51, 700, 999, 1000, 1001, 4242, 65_536, 999_999, 8_888_888];

    #[test]
    fn every_knee_is_found_within_two_percent_in_few_steps() {
        for knee in KNEES {
            for from in [1, 1000, 10_000_000] {
                let (found, steps) = find(Search::new(1, from, 10_000_000), exact(knee));
                let (holds, breaks) = (found.holds.unwrap(), found.breaks.unwrap());
                assert!(holds <= knee && knee < breaks, "{knee} {found:?}");
                assert!(breaks - holds <= (holds / 50).max(1), "{knee} {found:?}");
                assert!(steps <= 32, "{knee} from {from}: {steps} steps");
            }
        }
    }

    /// Near the knee a measurement is right only by chance: within 1 % of it either answer comes.
    #[test]
    fn two_noisy_searches_find_a_knee_within_five_percent_and_agree() {
        for knee in KNEES.into_iter().filter(|knee| *knee >= 100) {
            for seed in 0..100 {
                let [first, second] = [2 * seed, 2 * seed + 1].map(|seed| {
                    let (found, _) = find(Search::new(1, 1000, 10_000_000), |rate, step| {
                        let noise = 0.98 + 0.04 * chance(seed << 32 | u64::from(step) | rate << 8);
                        let over = rate as f64 / (knee as f64 * noise);
                        match over {
                            _ if over <= 1.0 => Verdict::Holds,
                            _ if over <= 1.05 => Verdict::Doubtful,
                            _ => Verdict::Breaks,
                        }
                    });
                    found.holds.unwrap() as f64
                });
                let ratio = |a: f64, b: f64| (a / b - 1.0).abs();
                assert!(ratio(first, knee as f64) <= 0.05, "{knee} {seed}: {first}");
                assert!(ratio(first, second) <= 0.05, "{knee} {seed}: {first} {second}");
            }
        }
    }

    #[test]
    fn a_step_that_breaks_once_by_chance_moves_no_knee() {
        for wrong in 0..12 {
            let mut measure = exact(4242);
            let mut is_first = true;
            let (found, _) = find(Search::new(1, 1000, 10_000_000), |rate, step| {
                let verdict = measure(rate, step);
                let is_wrong = step >= wrong && verdict == Verdict::Holds && std::mem::take(&mut is_first);
                if is_wrong { Verdict::Doubtful } else { verdict }
            });
            assert!((4158..=4242).contains(&found.holds.unwrap()), "{wrong} {found:?}");
        }
    }

    #[test]
    fn a_doubtful_step_is_repeated_only_once() {
        let mut search = Search::new(1, 1000, 10_000);
        search.tell(1000, Verdict::Doubtful);
        assert_eq!(search.next(), Some(1000));
        search.tell(1000, Verdict::Doubtful);
        assert_eq!((search.next(), search.knee().breaks), (Some(250), Some(1000)));
    }

    #[test]
    fn the_first_rate_that_breaks_must_break_twice() {
        let (found, _) = find(Search::new(1, 1000, 10_000_000), |rate, step| match step {
            1 => Verdict::Breaks,
            _ if rate <= 4242 => Verdict::Holds,
            _ => Verdict::Breaks,
        });
        assert!((4158..=4242).contains(&found.holds.unwrap()), "{found:?}");
        let mut search = Search::new(1, 1000, 10_000);
        search.tell(1000, Verdict::Breaks);
        search.tell(1000, Verdict::Breaks);
        search.tell(250, Verdict::Breaks);
        assert_eq!(search.next(), Some(62), "a later one need not");
    }

    #[test]
    fn a_search_stays_within_its_bounds() {
        let all_hold = find(Search::new(1, 1000, 5000), exact(u64::MAX));
        assert_eq!(all_hold, (Knee { holds: Some(5000), breaks: None }, 4));
        let none_holds = find(Search::new(10, 1000, 5000), exact(0));
        assert_eq!(none_holds.0, Knee { holds: None, breaks: Some(10) });
        let (_, steps) = find(Search::new(1, 1, u64::MAX), |_, _| Verdict::Holds);
        assert!(steps <= STEPS_MAX);
    }
}
