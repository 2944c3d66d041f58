//! Tries what the book demands of a server, in whatever language it is written, and tells how it failed.
//!
//! ```sh
//! cargo run --example check -- --list
//! cargo run --example check -- uppercase tcp://127.0.0.1:8001
//! cargo run --example check -- sum udp://127.0.0.1:5656 --full
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --only split,glued
//! cargo run --example check -- file tcp://127.0.0.1:8008 --directory received
//! cargo run --example check -- sum tcp://127.0.0.1:5656 --pid $(pidof reactor)
//! ```
//!
//! A demand is about non-blocking I/O and holds for every protocol it can be said in; `--full` adds what `docs/protocols.md`
//! says about this protocol alone. With the number of its process, on Linux, the server is also watched (processor,
//! memory), stopped and continued, and given fewer descriptors for a moment.
//!
//! A server of files is left with some twenty, whose names begin with `check-`. Over the wire one only hears that they are saved;
//! with `--directory` they are looked at, and removed at the end.
//!
//! # Where to read
//!
//! `demand.rs` lists the demands; they stand in `conversation.rs`, `ending.rs`, `neighbour.rs`, `upload.rs`, `datagram.rs`,
//! `finer.rs` and, for those that need the process, `linux/`. `trial.rs` is what a demand is given, `peer.rs` and `asker.rs` are
//! its clients, `protocol.rs` is what they say, `files.rs` is what they find, `miss.rs` is how a demand was missed. All of it
//! blocks, with a deadline: whoever checks a server has nothing else to do meanwhile.

#[path = "../../client"]
mod client {
    pub(crate) mod failure;
    pub(crate) mod span;
    pub(crate) mod url;
}

mod asker;
mod conversation;
mod datagram;
mod demand;
mod ending;
mod files;
mod finer;
#[cfg(target_os = "linux")]
mod linux;
mod miss;
mod neighbour;
mod peer;
mod protocol;
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
use crate::client::url::{Transport, Url, url_of};
use crate::demand::{Demand, Scope};
use crate::files::{Existing, Files};
use crate::protocol::{Protocol, RUN};
use crate::trial::Trial;

/// Tries what the book demands of a server, and tells how it failed.
///
/// Exit code: 0 when every demand that was tried is met, 1 when one is not or nobody answers, 2 for wrong usage.
#[derive(Parser)]
#[command(name = "check")]
struct Cli {
    /// What the server speaks
    #[arg(required_unless_present = "list")]
    protocol: Option<Protocol>,

    /// Where it listens, such as 127.0.0.1:8000, :8000 or, for sum only, udp://127.0.0.1:8000
    #[arg(required_unless_present = "list", value_parser = url_of(&[Transport::Tcp, Transport::Udp]))]
    url: Option<Url>,

    /// Tell what is demanded, and try nothing
    #[arg(long)]
    list: bool,

    /// Try these demands only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// Leave these demands out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    skip: Vec<String>,

    /// Try also what the page of this protocol says, beyond non-blocking I/O
    #[arg(long)]
    full: bool,

    /// The server's process, to be watched, stopped, continued and given fewer descriptors; on Linux
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Where a server of files saves them, to look at what is there and to remove it at the end
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// What a server of files makes of a name that exists
    #[arg(long, value_name = "POLICY", default_value = "refuse")]
    existing: Existing,

    /// How long each demand may take
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
    let known: Vec<_> = demand::all().filter(|demand| demand.applies(&scope)).collect();
    for name in cli.only.iter().chain(&cli.skip) {
        if known.iter().all(|demand| demand.name != name) {
            usage(&format!("nothing with the name {name} is demanded here; --list tells the names"));
        }
    }
    if known.is_empty() {
        usage("this protocol is not spoken over this transport");
    }
    let is_wanted = |name: &str| {
        (cli.only.is_empty() || cli.only.iter().any(|only| only == name)) && !cli.skip.iter().any(|skip| skip == name)
    };
    let wanted = known.into_iter().filter(|demand| is_wanted(demand.name));
    if cli.list {
        return list(wanted);
    }
    let verdict = examine(cli, &scope, url, wanted);
    scope.files.remove().and(verdict)
}

fn usage(text: &str) -> ! {
    Error::raw(ErrorKind::ValueValidation, format!("{text}\n")).format(&mut Cli::command()).exit()
}

/// Prints a line. `println!` would panic when whoever reads has left.
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

/// The address to be tried: the only one of its name, or the first where a server is.
fn find(url: &Url, timeout: Duration) -> Result<SocketAddr> {
    let addresses = url.addresses()?;
    if let [only] = addresses[..] {
        return Ok(only);
    }
    let is_there = |address| match url.transport {
        Transport::Tcp => TcpStream::connect_timeout(&address, timeout).map(drop),
        Transport::Udp => Asker::try_new(address, Instant::now() + timeout)?.hears_something(),
    };
    url.first_of(addresses, "no server at", |address| is_there(address).map(|()| address))
}

/// Tries one demand after the other, and says what came of it.
fn examine(cli: &Cli, scope: &Scope, url: &Url, demands: impl Iterator<Item = &'static Demand>) -> Result<()> {
    let address = find(url, cli.timeout)?;
    let trial = || Trial::new(address, scope, Instant::now() + cli.timeout, cli.pid);
    let (mut met, mut missed) = (0, 0);
    let before = trial().anybody_is_served();
    let mut is_gone = before.is_err();
    if let Err(miss) = before {
        say(format_args!("nobody is answered as expected at {url}\n{miss}"))?;
    }
    for demand in demands {
        if is_gone {
            say(format_args!("-       {:<14}not tried: the server does not answer as expected", demand.name))?;
            continue;
        }
        if demand.needs_process && cli.pid.is_none() {
            say(format_args!("-       {:<14}not tried: it needs --pid", demand.name))?;
            continue;
        }
        match (demand.run)(&trial()) {
            Ok(()) => {
                say(format_args!("ok      {:<14}{}", demand.name, demand.text))?;
                met += 1;
            }
            Err(miss) => {
                say(format_args!("MISSED  {:<14}{}\n{miss}", demand.name, demand.text))?;
                missed += 1;
                is_gone = trial().anybody_is_served().is_err();
            }
        }
    }
    if Protocol::FILES.contains(&scope.protocol) && scope.files.directory.is_none() {
        say(format_args!("files whose names begin with {} are left with the server; --directory removes them", *RUN))?;
    }
    say(format_args!("{met} met, {missed} missed"))?;
    if missed > 0 || is_gone { Failure::because("not all that is demanded is met") } else { Ok(()) }
}
