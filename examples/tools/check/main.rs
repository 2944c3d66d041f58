//! Checks a server, in any language, against the demands of the book, and reports what it did wrong.
//!
//! ```sh
//! cargo run --example check -- --list
//! cargo run --example check -- uppercase tcp://127.0.0.1:8001
//! cargo run --example check -- sum udp://127.0.0.1:5656 --full
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --only split,glued
//! cargo run --example check -- file tcp://127.0.0.1:8008 --directory received
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --pid $(pidof reactor)
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --run 'python3 mine.py 5656' --step 3
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --run 'python3 mine.py 5656' --all --json
//! ```
//!
//! A demand is about non-blocking I/O and applies to every protocol that can express it; `--full` adds the rules that
//! `docs/protocols.md` has for one protocol. With its process ID, on Linux, the server is also watched (processor,
//! memory), stopped and continued, and limited to fewer descriptors for a moment. After a miss the checker stops, because the
//! next demands may be missed for the same cause; with `--keep-going` it tries them, and names each cause once.
//!
//! `--run` starts the server itself, so that the checker can say how it ended, and try demands that end it. `--step N` tries
//! the steps of `docs/build` up to that one, and stops at the first demand that is missed; `--all` tries all twelve.
//!
//! A file server keeps some twenty files, whose names begin with `check-`. Without `--directory` only the server's
//! answers are checked; with it the files are compared too, and removed at the end.
//!
//! # Where to read
//!
//! `demand.rs` lists the demands; they are in `conversation.rs`, `ending.rs`, `neighbour.rs`, `upload.rs`,
//! `datagram.rs`, `finer.rs`, `deadlines.rs` and, for those that need the process, `linux/`. `steps.rs` sorts them into
//! steps, which `grade.rs` tries. `trial.rs` is the context of a demand, `peer.rs` and `asker.rs` are its clients over TCP
//! and UDP, `protocol.rs` has their questions and answers, `files.rs` reads the saved files, `miss.rs` describes how a
//! demand was missed, `cause.rs` why, `server.rs` whether the server has ended. All calls block, with a deadline: a checker
//! has nothing else to do meanwhile.

#[path = "../../client"]
mod client {
    pub(crate) mod failure;
    pub(crate) mod span;
    pub(crate) mod url;
}

mod asker;
mod cause;
mod conversation;
mod datagram;
mod deadlines;
mod demand;
mod ending;
mod files;
mod finer;
mod grade;
#[cfg(target_os = "linux")]
mod linux;
mod miss;
mod neighbour;
mod peer;
mod protocol;
mod report;
mod server;
mod steps;
#[path = "../../client/sweep.rs"]
mod sweep;
mod trial;
mod upload;

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Error};

use crate::asker::Asker;
use crate::client::failure::{Context, Failure, Result, finish};
use crate::client::span::span;
use crate::client::url::{Address, Transport, Url, url_of};
use crate::demand::{Demand, Scope};
use crate::files::{Existing, Files};
use crate::protocol::{Protocol, RUN};
use crate::report::Report;
use crate::server::Server;
use crate::steps::STEPS;
use crate::trial::Trial;

/// Checks a server against the demands of the book, and reports what it did wrong.
///
/// Exit code: 0 when every demand that was tried is met, 1 when one is not or the server does not answer, 2 for wrong
/// usage.
#[derive(Parser)]
#[command(name = "check")]
struct Cli {
    /// The protocol of the server
    #[arg(required_unless_present = "list")]
    protocol: Option<Protocol>,

    /// Where the server listens, such as 127.0.0.1:8000, :8000 or, for sum only, udp://127.0.0.1:8000
    #[arg(required_unless_present = "list", value_parser = url_of(&[Transport::Tcp, Transport::Udp]))]
    url: Option<Url>,

    /// Print the demands, and try nothing
    #[arg(long)]
    list: bool,

    /// Try these demands only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// Leave these demands out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    skip: Vec<String>,

    /// Try also the rules of this protocol in docs/protocols.md, beyond non-blocking I/O
    #[arg(long)]
    full: bool,

    /// Go on after a miss, although later demands may be missed for the same cause
    #[arg(long, conflicts_with_all = ["step", "all", "list"])]
    keep_going: bool,

    /// The server's process, to be watched, stopped, continued and given fewer descriptors; on Linux
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Start the server with this command of the shell, watch it as with --pid, and end it afterwards
    #[arg(long, value_name = "COMMAND", conflicts_with = "pid")]
    run: Option<String>,

    /// Try the steps of docs/build up to this one, and stop at the first miss
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=STEPS.len() as i64))]
    #[arg(conflicts_with_all = ["skip", "full", "deadlines", "all", "list"])]
    step: Option<u8>,

    /// Try all steps of docs/build, and stop at the first miss
    #[arg(long, conflicts_with_all = ["skip", "full", "deadlines", "list"])]
    all: bool,

    /// Print the result of --step or --all as a line of JSON
    #[arg(long, conflicts_with = "only")]
    json: bool,

    /// The server closes a client that makes no progress, within the time limit of a demand
    #[arg(long)]
    deadlines: bool,

    /// The directory of a file server, to compare the saved files and remove them at the end
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// What a file server does with a name that exists
    #[arg(long, value_name = "POLICY", default_value = "refuse")]
    existing: Existing,

    /// Time limit for each demand
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    timeout: Duration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    finish(match (cli.protocol, &cli.url) {
        (Some(protocol), Some(url)) => run(&cli, protocol, url),
        _ => list(demand::all()),
    })
}

fn run(cli: &Cli, protocol: Protocol, url: &Url) -> Result<()> {
    if cli.directory.is_some() && !Protocol::FILES.contains(&protocol) {
        usage("--directory is for file and file-sized");
    }
    if let Some(directory) = &cli.directory {
        fs::read_dir(directory).context(directory.display())?;
    }
    let files = Files { directory: cli.directory.clone(), existing: cli.existing };
    let scope = Scope { protocol, transport: url.transport, full: cli.full, files };
    let mut server = Server::new(cli.pid, cli.run.clone());
    let last = if cli.all { Some(STEPS.len()) } else { cli.step.map(usize::from) };
    if cli.json && last.is_none() {
        usage("--json is for --step and --all");
    }
    if let Some(last) = last {
        return grade::examine(cli, &scope, url, &mut server, last);
    }
    let known: Vec<_> = demand::all().filter(|demand| demand.applies(&scope)).collect();
    for name in cli.only.iter().chain(&cli.skip) {
        if known.iter().all(|demand| demand.name != name) {
            usage(&format!("no demand is named {name} here; --list prints the names"));
        }
    }
    if known.is_empty() {
        usage("this protocol is not available over this transport");
    }
    let is_wanted = |name: &str| {
        (cli.only.is_empty() || cli.only.iter().any(|only| only == name)) && !cli.skip.iter().any(|skip| skip == name)
    };
    let wanted = known.into_iter().filter(|demand| is_wanted(demand.name));
    if cli.list {
        return list(wanted);
    }
    let verdict = examine(cli, &scope, url, &mut server, wanted);
    scope.files.remove().and(verdict)
}

fn usage(text: &str) -> ! {
    Error::raw(ErrorKind::ValueValidation, format!("{text}\n")).format(&mut Cli::command()).exit()
}

/// Prints a line. `println!` would panic when the reader of standard output has closed it.
fn say(line: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        result => result.context("cannot write to standard output"),
    }
}

fn list(demands: impl Iterator<Item = &'static Demand>) -> Result<()> {
    for demand in demands {
        say(format_args!("{:<14}{}", demand.name, demand.text))?;
        say(format_args!("{:<14}for {}", "", demand.when()))?;
    }
    Ok(())
}

/// Returns the address to try: the only one of its name, or the first at which a server answers. Starts the server if it is
/// for the checker to start.
fn find(url: &Url, timeout: Duration, server: &mut Server, scope: &Scope) -> Result<SocketAddr> {
    let mut inet = Vec::new();
    for address in url.addresses()? {
        match address {
            Address::Inet(address) => inet.push(address),
            Address::Unix(_) => return Failure::because("only servers over TCP and UDP can be checked"),
        }
    }
    let deadline = Instant::now() + timeout;
    server.revive(inet[0], scope, deadline)?;
    if let [only] = inet[..] {
        return Ok(only);
    }
    let is_there = |address: SocketAddr| match url.transport {
        Transport::Tcp => TcpStream::connect_timeout(&address, timeout).map(drop),
        Transport::Udp => Asker::try_new(address, deadline)?.hears_something(),
    };
    let addresses = inet.into_iter().map(Address::Inet).collect();
    url.first_of(addresses, "no server at", |address| match address {
        Address::Inet(address) => is_there(*address).map(|()| *address),
        Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    })
}

const STRANGE: &str = "the server does not answer as expected";

/// Tries one demand after the other, and prints the result of each. Stops at the first miss, unless it is to go on.
fn examine(
    cli: &Cli,
    scope: &Scope,
    url: &Url,
    server: &mut Server,
    demands: impl Iterator<Item = &'static Demand>,
) -> Result<()> {
    let address = find(url, cli.timeout, server, scope)?;
    let trial = |server: &Server| Trial::new(address, scope, Instant::now() + cli.timeout, server);
    let (mut met, mut missed, mut untried) = (0, 0, 0);
    let mut causes = Vec::new();
    // Why no further demand is tried.
    let mut stop = None;
    if let Err(miss) = trial(server).a_client_is_served() {
        say(format_args!("the server at {url} does not answer as expected\n{miss}"))?;
        stop = Some(match server.death(address, scope.transport) {
            Some(death) => format!("the server {death}"),
            None => STRANGE.to_owned(),
        });
    }
    for demand in demands {
        if stop.is_some() {
            untried += 1;
            continue;
        }
        let is_possible = server.allows(demand.need, cli.deadlines);
        if let Some(options) = demand.need.options().filter(|_| !is_possible) {
            say(format_args!("-       {:<14}not tried: needs {options}", demand.name))?;
            continue;
        }
        server.revive(address, scope, Instant::now() + cli.timeout)?;
        match (demand.run)(&trial(server)) {
            Ok(()) => {
                say(format_args!("ok      {:<14}{}", demand.name, demand.text))?;
                met += 1;
            }
            Err(miss) => {
                let report = Report::new(demand, miss, server.death(address, scope.transport)).after(&mut causes);
                say(&report)?;
                missed += 1;
                stop = match report.death() {
                    Some(death) => Some(format!("the server {death}")),
                    None if !cli.keep_going => Some("the cause may be the same; --keep-going tries them".to_owned()),
                    None => trial(server).a_client_is_served().is_err().then(|| STRANGE.to_owned()),
                };
            }
        }
    }
    if Protocol::FILES.contains(&scope.protocol) && scope.files.directory.is_none() {
        say(format_args!("files whose names begin with {} are left with the server; --directory removes them", *RUN))?;
    }
    if let Some(why) = stop.as_ref().filter(|_| untried > 0) {
        say(format_args!("{untried} not tried: {why}"))?;
    }
    say(format_args!("{met} met, {missed} missed"))?;
    if missed > 0 || stop.is_some() { Failure::because("the server does not meet every demand") } else { Ok(()) }
}
