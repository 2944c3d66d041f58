//! Runs in pairs: each run of a server directly between two runs of the floor.
//!
//! The speed of a machine changes within seconds, so a run is compared only with the runs beside it: its ratio is the
//! result of the run divided by the mean of the two floors around it. A run during which other programs used the cores
//! is dropped, and the whole pair is measured again.

use super::foreign::{Cores, FOREIGN_MAX, Watch};
use super::table::Row;
use crate::failure::{Result, tell};

/// How often a pair is measured again before it counts as disturbed.
const REPEATS_MAX: u32 = 3;
/// A row with fewer clean pairs than this also uses its disturbed ones, and is marked.
const CLEAN_MIN: usize = 3;

/// The results of a run: a number for each column, NaN where there is none.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) values: Vec<f64>,
    /// In cores.
    pub(crate) foreign: f64,
}

impl Run {
    pub(crate) fn is_clean(&self) -> bool {
        self.foreign <= FOREIGN_MAX
    }
}

/// A run of a server, and the runs of the floor before and after.
struct Pair {
    before: Run,
    run: Run,
    after: Run,
}

impl Pair {
    /// The foreign load of the most disturbed of the three runs.
    fn foreign(&self) -> f64 {
        [&self.before, &self.run, &self.after].map(|run| run.foreign).into_iter().fold(0.0, f64::max)
    }

    fn is_clean(&self) -> bool {
        self.foreign() <= FOREIGN_MAX
    }

    /// The ratio to the floor in each column.
    fn ratios(&self) -> Vec<f64> {
        let floors = self.before.values.iter().zip(&self.after.values).map(|(before, after)| before.midpoint(*after));
        self.run.values.iter().zip(floors).map(|(run, floor)| run / floor).collect()
    }
}

/// The pairs of one table. The first server is the floor.
pub(crate) struct Pairs {
    names: Vec<String>,
    /// All runs of the floor.
    floor: Vec<Run>,
    /// For each other server, the pairs of all rounds.
    others: Vec<Vec<Pair>>,
    /// For each server, the number of pairs that were measured again.
    dropped: Vec<u32>,
}

impl Pairs {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            floor: Vec::new(),
            others: names.iter().skip(1).map(|_| Vec::new()).collect(),
            dropped: vec![0; names.len()],
        }
    }

    /// Measures a pair of each server, in rising or falling order: floor, A, floor, B, floor. `measure` is called with
    /// the index of a server. A floor is the end of one pair and the beginning of the next.
    pub(crate) fn round(&mut self, is_rising: bool, mut measure: impl FnMut(usize) -> Result<Run>) -> Result<()> {
        let mut last = None;
        for step in 0..self.others.len() {
            let index = if is_rising { step } else { self.others.len() - 1 - step };
            let pair = self.pair(index + 1, last.take(), &mut measure)?;
            last = self.floor.last().cloned();
            self.others[index].push(pair);
        }
        Ok(())
    }

    /// Measures a pair until it is clean. At the limit of repeats the least disturbed one is used.
    fn pair(
        &mut self,
        index: usize,
        last: Option<Run>,
        measure: &mut impl FnMut(usize) -> Result<Run>,
    ) -> Result<Pair> {
        let mut best = self.attempt(index, last, measure)?;
        for _ in 0..REPEATS_MAX {
            if best.is_clean() {
                break;
            }
            self.dropped[index] += 1;
            let last = self.floor.last().cloned();
            let pair = self.attempt(index, last, measure)?;
            if pair.foreign() < best.foreign() {
                best = pair;
            }
        }
        Ok(best)
    }

    fn attempt(
        &mut self,
        index: usize,
        last: Option<Run>,
        measure: &mut impl FnMut(usize) -> Result<Run>,
    ) -> Result<Pair> {
        let before = match last.filter(Run::is_clean) {
            Some(floor) => floor,
            None => self.measure(0, measure)?,
        };
        Ok(Pair { before, run: self.measure(index, measure)?, after: self.measure(0, measure)? })
    }

    /// A run, and its place among the runs of the floor.
    fn measure(&mut self, index: usize, measure: &mut impl FnMut(usize) -> Result<Run>) -> Result<Run> {
        let run = measure(index)?;
        if index == 0 {
            self.floor.push(run.clone());
        }
        Ok(run)
    }

    /// The rows of the table. Disturbed pairs are left out, unless too few clean ones are left.
    pub(crate) fn rows(self) -> Vec<Row> {
        let mut names = self.names.into_iter();
        let floors = usable(self.floor, Run::is_clean);
        let floor = Row {
            name: names.next().unwrap_or_default(),
            rounds: floors.used.into_iter().map(|run| run.values).collect(),
            ratios: Vec::new(),
            pairs: None,
        };
        let others = names.zip(self.others).zip(self.dropped.into_iter().skip(1)).map(|((name, pairs), dropped)| {
            let usable = usable(pairs, Pair::is_clean);
            Row {
                name,
                ratios: usable.used.iter().map(Pair::ratios).collect(),
                pairs: Some(Quality {
                    used: usable.used.len(),
                    dropped: dropped + usable.left_out,
                    is_disturbed: usable.is_disturbed,
                }),
                rounds: usable.used.into_iter().map(|pair| pair.run.values).collect(),
            }
        });
        std::iter::once(floor).chain(others).collect()
    }
}

/// How good the pairs of a row are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quality {
    /// Pairs that the figures come from.
    pub(crate) used: usize,
    /// Pairs that were dropped for foreign load.
    pub(crate) dropped: u32,
    /// Too few pairs were clean, so disturbed ones were used.
    pub(crate) is_disturbed: bool,
}

struct Usable<T> {
    used: Vec<T>,
    left_out: u32,
    is_disturbed: bool,
}

/// The clean ones of `all`, or all of them if fewer than [`CLEAN_MIN`] are clean.
fn usable<T>(all: Vec<T>, is_clean: impl Fn(&T) -> bool) -> Usable<T> {
    let count = all.len();
    let clean = all.iter().filter(|one| is_clean(one)).count();
    if clean < CLEAN_MIN.min(count) {
        return Usable { used: all, left_out: 0, is_disturbed: true };
    }
    let used: Vec<_> = all.into_iter().filter(is_clean).collect();
    Usable { left_out: (count - used.len()) as u32, used, is_disturbed: false }
}

/// Compares servers in pairs over all rounds. `names[0]` is the floor.
pub(crate) fn paired(
    title: &str,
    rounds: u32,
    names: &[&str],
    cores: Cores,
    mut measure: impl FnMut(usize) -> Result<Vec<f64>>,
) -> Result<Vec<Row>> {
    let mut pairs = Pairs::new(names);
    for round in 0..rounds {
        tell(format_args!("{title}: round {} of {rounds}", round + 1));
        pairs.round(round % 2 == 0, |index| watched(cores, || measure(index)))?;
    }
    Ok(pairs.rows())
}

/// Measures, and learns the foreign load meanwhile.
pub(crate) fn watched(cores: Cores, measure: impl FnOnce() -> Result<Vec<f64>>) -> Result<Run> {
    let watch = Watch::start(cores)?;
    let values = measure()?;
    Ok(Run { values, foreign: watch.foreign()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: usize = 0;

    /// Plays runs, each with its server, its result and its foreign load; the servers must be asked in this order.
    fn play(names: &[&str], rounds: u32, runs: &[(usize, f64, f64)]) -> Vec<Row> {
        let mut runs = runs.iter();
        let mut pairs = Pairs::new(names);
        for round in 0..rounds {
            let played = pairs.round(round % 2 == 0, |index| {
                let (expected, value, foreign) = *runs.next().expect("one run more than expected");
                assert_eq!(index, expected);
                Ok(Run { values: vec![value], foreign })
            });
            assert!(played.is_ok());
        }
        assert_eq!(runs.next(), None, "one run fewer than expected");
        pairs.rows()
    }

    fn ratios(row: &Row) -> Vec<f64> {
        row.ratios.iter().map(|ratios| ratios[0]).collect()
    }

    fn quality(used: usize, dropped: u32, is_disturbed: bool) -> Option<Quality> {
        Some(Quality { used, dropped, is_disturbed })
    }

    #[test]
    fn a_ratio_is_a_run_over_the_mean_of_the_floors_around_it() {
        // The machine becomes twice as slow meanwhile; A costs 1.2 and B 0.5 of the floor.
        let first = [(FLOOR, 10.0, 0.0), (1, 12.6, 0.0), (FLOOR, 11.0, 0.0), (2, 5.75, 0.0), (FLOOR, 12.0, 0.0)];
        let second = [(FLOOR, 18.0, 0.0), (2, 9.5, 0.0), (FLOOR, 20.0, 0.0), (1, 25.2, 0.0), (FLOOR, 22.0, 0.0)];
        let rows = play(&["floor", "a", "b"], 2, &[first, second].concat());
        assert_eq!(ratios(&rows[1]), [1.2, 1.2]);
        assert_eq!(ratios(&rows[2]), [0.5, 0.5]);
        assert_eq!(rows[0].rounds.len(), 6);
        assert_eq!(rows[1].pairs, quality(2, 0, false));
    }

    #[test]
    fn a_disturbed_run_is_dropped_and_its_pair_measured_again() {
        let rows = play(
            &["floor", "a"],
            3,
            &[
                [(FLOOR, 10.0, 0.0), (1, 99.0, 0.13), (FLOOR, 10.0, 0.0), (1, 10.0, 0.12), (FLOOR, 10.0, 0.0)]
                    .as_slice(),
                // A disturbed floor is the beginning of no pair.
                &[(FLOOR, 10.0, 0.0), (1, 10.0, 0.0), (FLOOR, 99.0, 0.5)],
                &[(FLOOR, 20.0, 0.0), (1, 22.0, 0.0), (FLOOR, 20.0, 0.0)],
                &[(FLOOR, 10.0, 0.0), (1, 10.0, 0.0), (FLOOR, 10.0, 0.0)],
            ]
            .concat(),
        );
        assert_eq!(ratios(&rows[1]), [1.0, 1.1, 1.0]);
        assert_eq!(rows[1].pairs, quality(3, 2, false));
        assert!(rows[0].rounds.iter().all(|round| round[0] < 99.0), "a disturbed floor is left out");
    }

    #[test]
    fn repeats_have_a_bound_and_the_row_is_marked_if_too_few_pairs_are_clean() {
        // Each attempt needs a new floor: the one before was disturbed.
        let attempt = |value, foreign| [(FLOOR, 10.0, 0.0), (1, value, foreign), (FLOOR, 10.0, 0.9)];
        let attempts = [attempt(20.0, 0.95), attempt(30.0, 0.2), attempt(40.0, 0.95), attempt(50.0, 0.97)].concat();
        let rows = play(&["floor", "a"], 1, &attempts);
        assert_eq!(ratios(&rows[1]), [3.0], "the least disturbed one");
        assert_eq!(rows[1].pairs, quality(1, 3, true));
    }

    #[test]
    fn a_pair_that_stays_disturbed_is_left_out_if_three_are_clean() {
        let clean = [(FLOOR, 10.0, 0.0), (1, 11.0, 0.0), (FLOOR, 10.0, 0.0)];
        let disturbed = [(FLOOR, 10.0, 0.0), (1, 20.0, 0.3), (FLOOR, 10.0, 0.3)].repeat(4);
        let rows = play(&["floor", "a"], 3, &[&clean[..], &disturbed, &clean].concat());
        assert_eq!(ratios(&rows[1]), [1.1, 2.0, 1.1], "two are too few");
        assert_eq!(rows[1].pairs, quality(3, 3, true));
        let rows = play(&["floor", "a"], 4, &[&clean[..], &disturbed, &clean, &clean].concat());
        assert_eq!(ratios(&rows[1]), [1.1; 3]);
        assert_eq!(rows[1].pairs, quality(3, 4, false));
    }
}
