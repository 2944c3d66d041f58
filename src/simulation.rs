//! The whole server on a simulated kernel, from one seed.
//!
//! It is public, and hidden from the documentation, because the tests in `tests/simulation.rs` are another crate. No plug-in
//! can use it: its clients speak the built-in protocols and know their answers. The kit for plug-ins is
//! [`testing`](crate::testing), and semantic versioning does not cover this module.
//!
//! [`simulate`] runs a [`Reactor`](crate::Reactor) with all built-in protocols: the real loop, drivers and protocols,
//! on a kernel, a network, a disk, workers and a clock that are made up. Nothing waits and nothing is left to chance
//! but what the seed decides, so a failure can be played again, and an hour passes in milliseconds.
//!
//! ```text
//!   clients ──▶ network ──▶ kernel ──▶ Reactor ──▶ disk     what is simulated, around what is real
//!      ▲           ▲          ▲           │         ▲
//!      └───────────┴── agenda, chaos ─────┼─────────┘       what happens when, and what goes wrong
//!                                       checks              after every turn
//! ```
//!
//! 1. While the faults last, honest and hostile clients come and go, and everything that `chaos` lists goes wrong.
//!    After each turn of the loop the invariants are checked (`checks`).
//! 2. Then the faults stop, and every honest client that no fault has hit must have its complete and right answer.
//! 3. At last the server is stopped, and nothing may be left of anything.
//!
//! Reading order, each knowing only those before it: `random`, `trace`, `chaos`, `openings`, `settings`, `network`; `tale`, the `clients`,
//! the `disk`, and `world`, which has them all; the server's side of the network (`streams`, `datagrams`, `kernel`);
//! `checks`; and `run`.

mod chaos;
mod checks;
mod clients;
mod datagrams;
mod disk;
mod kernel;
mod network;
mod openings;
mod random;
mod run;
mod settings;
mod streams;
mod tale;
mod trace;
mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// What a simulation that found nothing has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Turns of the loop.
    pub turns: u64,
    /// System calls of the server.
    pub calls: u64,
    /// Connections made.
    pub connections: usize,
    /// Honest clients that were served completely.
    pub served: usize,
    /// Honest clients that a fault hit: they were told nothing wrong, but not everything.
    pub excused: usize,
    /// Times that the power was lost.
    pub crashes: u32,
    /// What happened, by kind: faults, limits that were reached, and why connections ended.
    pub seen: BTreeSet<&'static str>,
    /// The time that passed in the simulation.
    pub elapsed: Duration,
}

/// What a simulation has found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed that finds it again.
    pub seed: u64,
    /// The turn after which it showed.
    pub turn: u64,
    /// What is wrong.
    pub what: String,
    /// The last steps before.
    pub steps: Vec<String>,
    /// What the loop did last: its X-ray.
    pub xray: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        writeln!(f, "X-ray of the loop:\n{}", self.xray)?;
        write!(f, "REACTOR_SEED={}: after {} turns: {}", self.seed, self.turn, self.what)
    }
}

impl std::error::Error for Failure {}

/// Runs one simulation.
///
/// ```
/// let report = reactor::simulation::simulate(1)?;
/// assert!(report.turns > 0);
/// # Ok::<(), reactor::simulation::Failure>(())
/// ```
///
/// # Errors
/// What the server did wrong, with the steps that led there.
pub fn simulate(seed: u64) -> Result<Report, Failure> {
    run::run(seed, false).map_err(|found| run::run(seed, true).err().unwrap_or(found))
}
