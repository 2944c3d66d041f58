//! The whole server on a simulated kernel: what nobody thought of testing.
//!
//! - `REACTOR_SEED=7 cargo test --test simulation` plays one seed again;
//! - `REACTOR_SEEDS=100000 cargo test --release --test simulation` runs as many fresh seeds.

use std::env;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use reactor::testing::{Report, simulate};

/// Seeds that every run of the tests plays.
const SEEDS: u64 = 300;

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not what was expected")))
}

fn play(seed: u64) -> Report {
    simulate(seed).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn no_seed_breaks_an_invariant_or_leaves_an_honest_client_waiting() {
    if let Some(seed) = variable("REACTOR_SEED") {
        println!("{:#?}", play(seed));
        return;
    }
    let seeds = match variable::<u64>("REACTOR_SEEDS") {
        Some(count) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
            let first = now.as_nanos() as u64;
            println!("{count} seeds from {first}");
            first..first + count
        }
        None => 1..SEEDS + 1,
    };
    for seed in seeds {
        play(seed);
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
