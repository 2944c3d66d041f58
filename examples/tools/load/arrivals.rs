use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

/// How the requests of an open loop are spread over the time.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// At equal distances
    Even,
    /// At random, as those of many users who do not know of each other: sometimes many together
    Poisson,
}

impl Spread {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Poisson => "poisson",
        }
    }
}

/// Returns a seed that differs from run to run. It is short, so that it can be typed.
pub(crate) fn fresh_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    mix(time) >> 32
}

/// The times at which the requests of an open loop are due.
pub(crate) struct Arrivals {
    /// Requests a second.
    rate: u64,
    /// Requests before the next one.
    taken: u64,
    /// Of Poisson arrivals.
    random: Option<Random>,
}

struct Random {
    state: u64,
    /// When the next request is due, in seconds after the start.
    due: f64,
}

impl Arrivals {
    pub(crate) fn new(rate: u64, spread: Spread, seed: u64) -> Self {
        let random = (spread == Spread::Poisson).then(|| {
            let mut random = Random { state: seed, due: 0.0 };
            random.advance(rate);
            random
        });
        Self { rate, taken: 0, random }
    }

    /// Returns when the next request is due, after the start.
    pub(crate) fn due(&self) -> Duration {
        match &self.random {
            None => span_of(self.taken, self.rate),
            Some(random) => Duration::try_from_secs_f64(random.due).unwrap_or(Duration::MAX),
        }
    }

    /// Goes on to the request after the next one.
    pub(crate) fn advance(&mut self) {
        self.taken += 1;
        if let Some(random) = &mut self.random {
            random.advance(self.rate);
        }
    }

    /// Returns the number of requests, from the next one on, that are due in a span from the start. Of Poisson arrivals it is the
    /// mean, since their times are not known before.
    pub(crate) fn left(&self, span: Duration) -> u64 {
        match &self.random {
            None => {
                let all = (span.as_nanos() * u128::from(self.rate)).div_ceil(1_000_000_000) as u64;
                all.saturating_sub(self.taken)
            }
            Some(_) => match span.checked_sub(self.due()) {
                None | Some(Duration::ZERO) => 0,
                Some(left) => 1 + (left.as_secs_f64() * self.rate as f64) as u64,
            },
        }
    }
}

impl Random {
    /// Adds a distance that is distributed exponentially: the inverse of its distribution function, at a random number above zero.
    fn advance(&mut self, rate: u64) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let uniform = ((mix(self.state) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.due -= uniform.ln() / rate as f64;
    }
}

/// The output function of SplitMix64 (Steele and others, "Fast splittable pseudorandom number generators", 2014).
fn mix(state: u64) -> u64 {
    let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Returns how long `count` requests take at this rate.
fn span_of(count: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(count) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(nanoseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first `count` times at which a request is due, at 1000 a second.
    fn times(spread: Spread, seed: u64, count: usize) -> Vec<f64> {
        let mut arrivals = Arrivals::new(1000, spread, seed);
        let next = || {
            let due = arrivals.due();
            arrivals.advance();
            due.as_secs_f64()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn even_arrivals_have_equal_distances() {
        assert_eq!(times(Spread::Even, 1, 4), [0.0, 0.001, 0.002, 0.003]);
    }

    /// Of an exponential distribution the standard deviation is the mean, and a part of 1/e is longer than the mean.
    #[test]
    fn poisson_arrivals_have_exponential_distances() {
        for seed in 0..5 {
            let times = times(Spread::Poisson, seed, 100_000);
            let distances: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let count = distances.len() as f64;
            let mean = distances.iter().sum::<f64>() / count;
            let variance = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>() / count;
            let long = distances.iter().filter(|distance| **distance > 0.001).count() as f64 / count;
            assert!((mean * 1000.0 - 1.0).abs() < 0.02, "{seed}: {mean}");
            assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{seed}: {variance}");
            assert!((long - (-1.0_f64).exp()).abs() < 0.01, "{seed}: {long}");
        }
    }

    #[test]
    fn a_seed_repeats_its_arrivals_and_another_seed_does_not() {
        assert_eq!(times(Spread::Poisson, 7, 1000), times(Spread::Poisson, 7, 1000));
        assert_ne!(times(Spread::Poisson, 7, 10), times(Spread::Poisson, 8, 10));
    }

    #[test]
    fn requests_that_are_left_are_counted_from_the_next_one_on() {
        let second = Duration::from_secs(1);
        let mut even = Arrivals::new(1000, Spread::Even, 0);
        assert_eq!(even.left(second), 1000);
        (0..999).for_each(|_| even.advance());
        assert_eq!(even.left(second), 1);
        even.advance();
        assert_eq!(even.left(second), 0);

        let mut poisson = Arrivals::new(1000, Spread::Poisson, 0);
        assert!((950..=1001).contains(&poisson.left(second)), "{}", poisson.left(second));
        while poisson.due() < second {
            assert!(poisson.left(second) >= 1);
            poisson.advance();
        }
        assert_eq!(poisson.left(second), 0);
    }
}
