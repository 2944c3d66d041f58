//! What is measured, and in which order.

mod burst;
mod chat;
mod connections;
mod crowd;
mod fairness;
mod foreign;
mod growth;
mod knee;
mod lab;
mod load;
mod mechanism;
mod pairs;
mod plot;
mod relay;
mod server;
mod start;
mod system_calls;
mod table;
mod throughput;
mod upload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::failure::{Context as _, Failure, Result, tell};
use lab::Lab;

/// Compares the reactor with other servers under the same load.
///
/// Every run of a server is directly between two runs of the floor (the first row), and its ratio is its result divided
/// by their mean. A table has the median of the ratios and their range. The ratio of "the same again", a second process
/// of the floor, shows how large a random difference is. Runs with foreign load on the cores are dropped and repeated,
/// and rows in which the load generator was the bottleneck are marked.
#[derive(Parser)]
pub(crate) struct Cli {
    /// Rounds: in each, every server is measured once, between two runs of the floor
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long one measurement takes
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = humantime::parse_duration)]
    span: Duration,

    /// Only these tables
    #[arg(long, value_delimiter = ',')]
    only: Vec<Section>,

    /// Write the plots of growth to this directory, as SVG: growth-connections.svg and growth-size.svg
    #[arg(long, value_name = "DIRECTORY")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// The turn of a server alone: its clients run on the same thread, before and after
    Mechanism,
    /// uppercase, a request at a time
    Uppercase,
    /// sum, a request at a time
    Sum,
    /// One client, beside a loop that looks for events before it sleeps
    Spin,
    /// Sixteen requests at a time
    Pipelined,
    /// The recorder of the X-ray, off and on
    Xray,
    /// Processor time by connections, and by message size
    Growth,
    /// A connection for each request
    Connect,
    /// sum over UDP
    Udp,
    /// A chat beside the same chat in tokio
    Chat,
    /// System calls for each request
    Calls,
    /// Files of 1 GiB to memory, in a file system of its own where it may mount one, and to the disk of TMPDIR
    File,
    /// Requests and bytes through a relay, beside HAProxy and socat
    Relay,
    /// Memory for each idle connection
    Memory,
    /// Busy connections beside 15,000 idle ones
    Idle,
    /// Quiet clients beside loud ones
    Fairness,
    /// Quiet clients beside everything at once
    Storm,
    /// Time to start, size, memory at rest
    Start,
    /// load find, at a server whose knee is known
    Knee,
}

pub(crate) fn run() -> Result<()> {
    let cli = Cli::parse();
    if cfg!(debug_assertions) {
        return Failure::because("measure an optimised build: use --release");
    }
    // The servers inherit it.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot learn the limit of descriptors")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of descriptors")?;
    let lab = Lab::new(cli.rounds, cli.span)?;
    let mut failed = 0;
    for section in Section::value_variants().iter().filter(|section| cli.only.is_empty() || cli.only.contains(section))
    {
        match measure(*section, &lab, cli.svg.as_deref()) {
            Ok(()) => {}
            Err(Failure::ReaderLeft) => return Err(Failure::ReaderLeft),
            Err(Failure::Because(text)) => {
                tell(format_args!("error: {text}"));
                failed += 1;
            }
        }
    }
    if failed > 0 { Failure::because(format!("{failed} of the measurements failed")) } else { Ok(()) }
}

fn measure(section: Section, lab: &Lab, svg: Option<&Path>) -> Result<()> {
    match section {
        Section::Mechanism => mechanism::measure(lab),
        Section::Uppercase => throughput::one_at_a_time(lab, "uppercase"),
        Section::Sum => throughput::one_at_a_time(lab, "sum"),
        Section::Spin => throughput::spinning(lab),
        Section::Pipelined => throughput::pipelined(lab),
        Section::Xray => throughput::recorded(lab),
        Section::Growth => growth::measure(lab, svg),
        Section::Connect => throughput::connect_each(lab),
        Section::Udp => throughput::udp(lab).and_then(|()| burst::measure(lab)),
        Section::Chat => chat::measure(lab),
        Section::Calls => system_calls::measure(lab),
        Section::File => upload::measure(lab),
        Section::Relay => relay::measure(lab),
        Section::Memory => crowd::memory(lab),
        Section::Idle => crowd::beside_idle(lab),
        Section::Fairness => fairness::measure(lab),
        Section::Storm => fairness::storm(lab),
        Section::Start => start::measure(lab),
        Section::Knee => knee::measure(lab),
    }
}
