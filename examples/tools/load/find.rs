//! `load find`: the highest rate at which a server keeps all conditions.

mod curve;
mod search;
mod svg;

use std::path::PathBuf;

use clap::Parser;

use crate::client::failure::{Failure, Result};
use crate::client::output::Output;
use crate::condition::Condition;
use crate::files::Files;
use crate::interrupt::end_by;
use crate::options::{Cli, Protocol, rate};
use crate::result_file::ResultFile;
use crate::{allow_descriptors, load};
use curve::{Curve, Step};
use search::{Knee, Search};

/// The warm-up of a step, unless `--warmup` says another: this part of its duration.
const WARMUP_PART: u32 = 5;

/// A step has this number of requests at least; fewer would say nothing about percentiles.
const REQUESTS_MIN: f64 = 10.0;

/// Finds the highest rate at which a server keeps all conditions: its knee.
///
/// Each step is a run of an open loop at one rate, for --duration after a warm-up (--warmup; by default a fifth of it). The
/// rate doubles until a condition breaks, and then the interval is halved until it is within 2 %. A step that breaks a
/// condition, though at least 95 % of the rate was kept, is repeated once: chance may be the reason. The first step that
/// breaks is repeated, too. It is also a condition that 99 % of the rate is kept.
///
/// The result is the curve, a line for each step, and the knee. --svg draws both: a file for any browser. Ctrl-C ends the search: what was found so far is reported.
///
/// Exit code: 0; 1 when no rate holds, or when a step could not be run; 2 for wrong usage.
#[derive(Parser)]
#[command(name = "find")]
pub(crate) struct Find {
    /// The conditions that the highest rate must keep, such as 'p99<5ms,errors=0'; load --help lists the names at --assert
    #[arg(long, value_name = "CONDITIONS", value_delimiter = ',', required = true)]
    limit: Vec<Condition>,

    /// The rate of the first step
    #[arg(long, value_name = "N", default_value = "1k", value_parser = rate)]
    from: u64,

    /// The highest rate to try
    #[arg(long, value_name = "N", default_value = "10M", value_parser = rate)]
    to: u64,

    /// Draw the curve to this file, as SVG: p50 and p99 by rate, what --limit allows, and the knee
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    cli: Cli,
}

impl Find {
    /// Returns why its options do not go together.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_known = matches!(self.cli.protocol, Protocol::Sum | Protocol::Uppercase | Protocol::Raw);
        if !is_known {
            Some("find is for sum, uppercase and raw")
        } else if self.cli.rate.is_some() || self.cli.ramp.is_some() {
            Some("find looks for the rate: --from and --to say where")
        } else if self.cli.ramp_connections.is_some() {
            Some("find opens its connections before each step")
        } else if self.cli.bad.is_some() {
            Some("a bad client has no rate")
        } else if !self.cli.conditions.is_empty() {
            Some("with find, --limit has the conditions")
        } else if self.from > self.to {
            Some("--from is above --to")
        } else {
            self.cli.problem()
        }
    }
}

/// Runs step after step, and prints each when it has ended.
pub(crate) fn run(find: Find) -> Result<()> {
    let Find { limit, from, to, svg, mut cli } = find;
    cli.warmup.get_or_insert(cli.duration / WARMUP_PART);
    let lowest = (REQUESTS_MIN / cli.duration.as_secs_f64()).ceil() as u64;
    let output = Output::open()?;
    allow_descriptors(cli.connections)?;
    let json = cli.json.as_deref().map(ResultFile::open).transpose()?;
    let svg = svg.as_deref().map(ResultFile::open).transpose()?;
    let files = Files::new(&cli)?;
    let mut search = Search::new(lowest, from, to);
    let mut curve = Curve::new(&cli, &limit);
    let mut printed = output.write(curve.head().as_bytes());
    let (mut signal, mut failed) = (None, None);
    while let Some(rate) = search.next() {
        cli.rate = Some(rate);
        let report = match load(&cli, &files) {
            Ok(report) => report,
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        };
        signal = report.signal();
        if signal.is_some() {
            break;
        }
        let step = Step::new(rate, &report, &limit);
        search.tell(rate, step.verdict());
        // A step that is repeated has other arrivals.
        cli.seed = cli.seed.wrapping_add(1);
        // Even if the reader of the text has closed, the rest must be done.
        printed = printed.and_then(|()| output.write(step.line().as_bytes()));
        curve.steps.push(step);
    }
    cli.rate = None;
    let knee = search.knee();
    let told = printed.and_then(|()| output.write(curve.tail(&knee, signal.is_some()).as_bytes()));
    let drawn = svg.map_or(Ok(()), |svg| svg.write(&curve.svg(&knee)));
    json.map_or(Ok(()), |json| json.write(&curve.json(&knee, signal.is_some()))).and(drawn)?;
    // What was found before is reported all the same.
    if let Some(failure) = failed {
        return Err(failure);
    }
    match (signal, knee) {
        (Some(signal), _) => end_by(signal),
        (None, Knee { holds: None, .. }) => Failure::because("no rate keeps the conditions"),
        (None, _) => told,
    }
}
