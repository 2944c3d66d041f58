use std::time::Duration;

use clap::ValueEnum;

use crate::ramp::Ramp;
use crate::random::Random;

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

/// The times at which the requests of an open loop are due.
pub(crate) struct Arrivals {
    /// Requests a second, unless there is a ramp.
    rate: u64,
    ramp: Option<Ramp>,
    /// Requests before the next one.
    taken: u64,
    /// Of Poisson arrivals.
    walk: Option<Walk>,
}

/// Where the next request is on an axis on which one request comes in each unit, on the mean.
struct Walk {
    random: Random,
    place: f64,
}

impl Arrivals {
    pub(crate) fn new(rate: u64, ramp: Option<Ramp>, spread: Spread, seed: u64) -> Self {
        let walk = (spread == Spread::Poisson).then(|| {
            let mut walk = Walk { random: Random::new(seed), place: 0.0 };
            walk.advance();
            walk
        });
        Self { rate, ramp, taken: 0, walk }
    }

    /// Returns when the next request is due, after the start.
    pub(crate) fn due(&self) -> Duration {
        let place = self.walk.as_ref().map_or(self.taken as f64, |walk| walk.place);
        let seconds = match (&self.ramp, &self.walk) {
            (None, None) => return span_of(self.taken, self.rate),
            (None, Some(_)) => place / self.rate as f64,
            (Some(ramp), _) => ramp.time(place),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Goes on to the request after the next one.
    pub(crate) fn advance(&mut self) {
        self.taken += 1;
        if let Some(walk) = &mut self.walk {
            walk.advance();
        }
    }

    /// Returns the number of requests, from the next one on, that are due in a span from the start. Of Poisson arrivals it is the
    /// mean, since their times are not known before.
    pub(crate) fn left(&self, span: Duration) -> u64 {
        let seconds = span.as_secs_f64();
        let all = self.ramp.as_ref().map_or(seconds * self.rate as f64, |ramp| ramp.count(seconds));
        match (&self.walk, &self.ramp) {
            (None, None) => {
                let all = (span.as_nanos() * u128::from(self.rate)).div_ceil(1_000_000_000) as u64;
                all.saturating_sub(self.taken)
            }
            _ if self.due() >= span => 0,
            (None, Some(_)) => (all.ceil() as u64).saturating_sub(self.taken).max(1),
            (Some(walk), _) => 1 + (all - walk.place).max(0.0) as u64,
        }
    }
}

impl Walk {
    /// Adds a distance that is distributed exponentially: the inverse of its distribution function, at a random number above zero.
    fn advance(&mut self) {
        self.place -= self.random.uniform().ln();
    }
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
        let mut arrivals = Arrivals::new(1000, None, spread, seed);
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

    /// From nothing to 1000 a second within a second: 500 requests, a quarter of them in the first half.
    #[test]
    fn a_ramp_makes_requests_more_and_more_frequent() {
        let second = Duration::from_secs(1);
        for (spread, tolerance) in [(Spread::Even, 1), (Spread::Poisson, 80)] {
            let mut arrivals = Arrivals::new(1000, "0..1k/1s".parse().ok(), spread, 3);
            let mut count = |until| {
                let mut count = 0_i32;
                while arrivals.due() < until {
                    assert!(arrivals.left(until) >= 1);
                    arrivals.advance();
                    count += 1;
                }
                assert_eq!(arrivals.left(until), 0);
                count
            };
            let (first, then, later) = (count(second / 2), count(second), count(second * 2));
            for (count, due) in [(first, 125), (then, 375), (later, 1000)] {
                assert!((count - due).abs() <= tolerance, "{count} {due}");
            }
        }
    }

    #[test]
    fn no_request_is_left_of_a_ramp_whose_last_one_is_due_at_the_end() {
        let mut ramp = Arrivals::new(100, "0..100/300ms".parse().ok(), Spread::Even, 0);
        for _ in 0..15 {
            ramp.advance();
        }
        assert_eq!(ramp.left(Duration::from_millis(300)), 0);
    }

    #[test]
    fn requests_that_are_left_are_counted_from_the_next_one_on() {
        let second = Duration::from_secs(1);
        let mut even = Arrivals::new(1000, None, Spread::Even, 0);
        assert_eq!(even.left(second), 1000);
        (0..999).for_each(|_| even.advance());
        assert_eq!(even.left(second), 1);
        even.advance();
        assert_eq!(even.left(second), 0);

        let mut poisson = Arrivals::new(1000, None, Spread::Poisson, 0);
        assert!((950..=1001).contains(&poisson.left(second)), "{}", poisson.left(second));
        while poisson.due() < second {
            assert!(poisson.left(second) >= 1);
            poisson.advance();
        }
        assert_eq!(poisson.left(second), 0);
    }
}
