//! The whole server on a simulated kernel: tests that no person thought of.
//!
//! - `REACTOR_SEED=7 cargo test --test simulation` plays one seed again;
//! - `REACTOR_SEEDS=100000 cargo test --release --test simulation` plays as many fresh seeds, and `REACTOR_SEEDS=10m`
//!   as many as fit into that time. The first seed is the time of day, so no run repeats another.

use std::env;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use reactor::simulation::{Report, simulate};

/// Seeds that every run of the tests plays.
const SEEDS: Range<u64> = 1..301;

/// Seeds of swarms that found a bug, in the server or in the checks. The bugs are fixed, and as long as the simulation
/// draws the same random numbers these seeds would find them again.
const FOUND: [u64; 5] = [
    1_795_268_845_530_183_237,
    1_795_269_440_063_032_047,
    1_795_998_426_231_948_012,
    1_796_023_415_101_591_873,
    1_796_056_806_597_294_451,
];

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
        for seed in SEEDS.chain(FOUND) {
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

/// The purpose of the simulation: faults, reached limits, and ends of connections. Only those that many seeds see, so
/// that another draw does not make the test fail.
const TROUBLE: [&str; 73] = [
    // The network and the kernel.
    "a short read",
    "a short write",
    "EAGAIN without a reason",
    "EINTR",
    "urgent data",
    "an error of its socket",
    "an error of accept",
    "no descriptor",
    "a failure to register it",
    "a datagram that is lost",
    "a datagram that comes twice",
    "an error about a datagram",
    // Events and time.
    "stale events",
    "an event without a reason",
    "time that passes in a turn",
    "a loop that is stalled",
    // Workers and the disk.
    "a worker that cannot be started",
    "a full queue of jobs",
    "a panic of its job",
    "an error of its disk",
    "a full disk",
    "the loss of power",
    // Reloads.
    "a reload",
    "a reload that fails",
    // Files.
    "a file",
    "a file that is replaced",
    "a file that gets a number",
    "file exists",
    "an upload that waits for a buffer",
    "a splice",
    "a full pipe",
    "a splice that is not possible",
    // Limits.
    "max_connections",
    "max_connections_per_ip",
    "max_pending_output_total",
    "descriptors",
    "accept failed",
    "idle",
    "request timeout",
    "write timeout",
    // Who may come, and how often.
    "access",
    "connection_rate",
    "connection_rate_per_ip",
    // What comes before a protocol.
    "an opening",
    "an opening with a layer",
    "a header of a proxy",
    "proxy header",
    "no header",
    "opening timeout",
    // Messages between connections.
    "a post",
    "a post from another thread",
    "a post to a connection that has ended",
    "a post to a connection that is closing",
    "a message that was refused",
    "missed casts",
    "slow consumer",
    "a member that did not read",
    // Connections to other servers, and relays.
    "a connect",
    "a connect that is refused",
    "a connect that is never answered",
    "a connect that fails at once",
    "another end that resets",
    "other side",
    // Other ends.
    "eof",
    "finished",
    "reset",
    "not JSON",
    "cut short",
    "bad name",
    "shutdown",
    "a listener that closed",
    "a graceful stop",
    "a stop at once",
];

#[test]
fn the_default_seeds_see_every_trouble_and_most_honest_clients_are_served() {
    let reports: Vec<_> = SEEDS.map(play).collect();
    for trouble in TROUBLE {
        assert!(reports.iter().any(|report| report.seen.contains(trouble)), "no seed saw {trouble}");
    }
    let sum = |count: fn(&Report) -> usize| reports.iter().map(count).sum::<usize>();
    let (served, excused) = (sum(|report| report.served), sum(|report| report.excused));
    assert!(served > 2 * excused, "{served} were served and {excused} were hit");
    println!("{} turns, {} calls", sum(|report| report.turns as usize), sum(|report| report.calls as usize));
}
