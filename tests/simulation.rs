//! The whole server on a simulated kernel: what nobody thought of testing.
//!
//! - `REACTOR_SEED=7 cargo test --test simulation` plays one seed again;
//! - `REACTOR_SEEDS=100000 cargo test --release --test simulation` plays as many fresh seeds, and `REACTOR_SEEDS=10m`
//!   as many as fit into that time. They begin at the time of the clock, so no run repeats another.

use std::env;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use reactor::testing::{Report, simulate};

/// Seeds that every run of the tests plays.
const SEEDS: Range<u64> = 1..301;

/// How many fresh seeds to play.
#[derive(Clone, Copy)]
enum Swarm {
    Seeds(u64),
    For(Duration),
}

impl FromStr for Swarm {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Seeds).or_else(|_| humantime::parse_duration(text).map(Self::For))
    }
}

impl Swarm {
    fn play(self) {
        let start = Instant::now();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let first = now.as_nanos() as u64;
        println!("fresh seeds from {first}");
        let goes_on = |seed: &u64| match self {
            Self::Seeds(count) => seed - first < count,
            Self::For(span) => start.elapsed() < span,
        };
        let played = (first..).take_while(goes_on).map(play).count();
        println!("{played} seeds in {:.0?}, and nothing found", start.elapsed());
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not what was expected")))
}

fn play(seed: u64) -> Report {
    simulate(seed)
        .unwrap_or_else(|failure| panic!("{failure}\nplay it again: REACTOR_SEED={seed} cargo test --test simulation"))
}

#[test]
fn no_seed_breaks_an_invariant_or_leaves_an_honest_client_waiting() {
    if let Some(seed) = variable("REACTOR_SEED") {
        println!("{:#?}", play(seed));
    } else if let Some(swarm) = variable::<Swarm>("REACTOR_SEEDS") {
        swarm.play();
    } else {
        for seed in SEEDS {
            play(seed);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..20 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
}

/// Tells how much of what the simulation is for really happens.
#[test]
fn the_default_seeds_see_every_kind_of_trouble() {
    let reports: Vec<_> = (1..60).map(play).collect();
    let sum = |count: fn(&Report) -> usize| reports.iter().map(count).sum::<usize>();
    assert!(sum(|report| report.served) > 100, "honest clients are served");
    assert!(sum(|report| report.excused) > 20, "and hit");
    assert!(sum(|report| report.crashes as usize) > 0, "the power is lost");
    println!("{} turns, {} calls", sum(|r| r.turns as usize), sum(|r| r.calls as usize));
}
