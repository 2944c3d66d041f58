//! Simulates the whole server on a simulated kernel, from one seed.
//!
//! It is public, and hidden from the documentation, because the tests in `tests/simulation.rs` are another crate.
//! Plug-ins cannot use it, because its clients speak only the built-in protocols; for plug-ins there is
//! [`testing`](crate::testing). Semantic versioning does not cover this module.
//!
//! [`simulate`] runs a [`Reactor`](crate::Reactor) with all built-in protocols: the real loop, drivers and protocols,
//! on a simulated kernel, network, disk, clock and workers. Nothing waits, and the seed decides everything that is
//! random, so a failure can be reproduced, and an hour passes in milliseconds.
//!
//! ```text
//!   clients ──▶ network ──▶ kernel ──▶ Reactor ──▶ disk     what is simulated, around what is real
//!      ▲           ▲          ▲           │         ▲
//!      └───────────┴── agenda, chaos ─────┼─────────┘       what happens when, and what goes wrong
//!                                       checks              after every turn
//! ```
//!
//! 1. While the faults last, honest and hostile clients come and go, and the faults of `chaos` strike. After each turn
//!    of the loop the invariants are checked (`checks`).
//! 2. Then the faults stop, and every honest client that no fault has hit must get its complete and correct answer.
//! 3. Finally the server is stopped, and nothing may be left.
//!
//! Reading order, where each module uses only those before it: `random`, `trace`, `chaos`, `openings`, `guard`, `settings`, `agenda`,
//! `network`, `outgoing`; `tale`, `gossip`, `other_ends`, `clients`, `disk`, and `world`, which contains them; the server's side of the network
//! (`streams`, `datagrams`, `accepting`, `kernel`); `reloads`, `checks`; and `run`.

mod accepting;
mod agenda;
mod chaos;
mod checks;
mod clients;
mod datagrams;
mod disk;
mod gossip;
mod guard;
mod kernel;
mod link;
mod network;
mod openings;
mod other_ends;
mod outgoing;
mod pipes;
pub(crate) mod random;
mod reloads;
mod run;
mod settings;
mod streams;
mod tale;
mod trace;
mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The statistics of a simulation that found no failure.
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
    /// Honest clients that a fault hit: every byte that they received was correct, but some are missing.
    pub excused: usize,
    /// The number of power losses.
    pub crashes: u32,
    /// The kinds of events that occurred: faults, limits that were reached, and reasons for which connections ended.
    pub seen: BTreeSet<&'static str>,
    /// The simulated time that passed.
    pub elapsed: Duration,
}

/// A failure that a simulation found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed that reproduces it.
    pub seed: u64,
    /// The turn after which it was found.
    pub turn: u64,
    /// A description of the failure.
    pub what: String,
    /// The last steps before it.
    pub steps: Vec<String>,
    /// The last records of the loop's X-ray.
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
/// The failure of the server, with the steps that led to it.
pub fn simulate(seed: u64) -> Result<Report, Failure> {
    run::run(seed, false).map_err(|found| run::run(seed, true).err().unwrap_or(found))
}
