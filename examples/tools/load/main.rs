//! Loads a server with requests, compares every answer, and measures how long they take.
//!
//! ```sh
//! cargo run --release --example load -- sum tcp://127.0.0.1:5656
//! cargo run --release --example load -- sum udp://127.0.0.1:5656 -c 10 --rate 20k --assert 'p99<5ms,errors=0'
//! cargo run --release --example load -- uppercase tcp://127.0.0.1:8001 --size 1KiB --pipeline 16 --json result.json
//! cargo run --release --example load -- file-sized :8009 -c 4 --size 64MiB --directory received
//! cargo run --release --example load -- chat :9006 -c 1000 --senders 10 --rate 100 --pipeline 10 --deaf 1
//! cargo run --release --example load -- sum tcp://127.0.0.1:5656 --bad never-reads
//! cargo run --release --example load -- raw tcp://127.0.0.1:6379 --send 'PING\r\n' --expect '+PONG\r\n' --pipeline 16
//! cargo run --release --example load -- sum :5656 :5657 unix:///run/sum.sock -c 60
//! cargo run --release --example load -- find sum tcp://127.0.0.1:5656 --limit 'p99<5ms,errors=0' -d 3s
//! cargo run --release --example load -- compare before.json after.json
//! ```
//!
//! # Closed and open loop
//!
//! Without `--rate` the loop is closed: a connection asks again when it has its answer. That measures the capacity of a
//! server, but hides its stalls: during a stall no connection sends, so one request of each connection is slow, and the
//! many that users would have sent meanwhile are missing from the percentiles. With `--rate` the loop is open: each
//! request has a time at which it should leave, and its latency counts from that time, whether it could leave then or
//! not. So no request is missing from the percentiles ("coordinated omission").
//!
//! Requests of an open loop leave at equal distances. Users do not: with `--arrivals poisson` the distances are random, sometimes
//! many requests come together, and a server has queues long before it is busy all the time. `--seed` repeats such a run.
//! `--ramp 0..10k/30s` lets the rate rise from the start, the warm-up included, to see where a server begins to fail.
//! `--ramp-connections 10..1000/30s` opens connections over this time, in a closed loop as well.
//!
//! # A server that is away
//!
//! A run ends at once if a server is not there at its start. With `--reconnect` it does not, and each connection that ends is an
//! error, whether a request waits or not. Requests of an open loop do not wait at one connection: they are due for all, and the first
//! one that can takes them. So those that are due while no connection is there leave late, and their latencies count from the time at
//! which they were due.
//!
//! # The knee
//!
//! `load find` looks for the highest rate at which all conditions of `--limit` hold. Each step is a run of the open loop with
//! connections of its own. The rate doubles until a condition breaks, then the interval is halved until it is within 2 %. Where a
//! condition breaks though the rate was kept, or 95 % of it, something other than the server may be the reason, such as another
//! program on the machine. So that step is repeated once. The first step that breaks is repeated, too. Without a limit for
//! latencies the search ends where the rate is not kept, which is later. On a machine with other work a limit such as `p99<5ms`
//! breaks by chance at any rate: use a machine that does nothing else.
//!
//! # The client's own share
//!
//! The client runs on one thread, and reads the clock once for each batch of events; so a latency includes the client's
//! work within a batch. Give it a core of its own (`taskset -c 1`). The report says how busy the thread was, and warns
//! above 90 %: then the client was the bottleneck. A request costs the client two system calls, as it costs a bare loop
//! on epoll; so a server that is cheaper than a bare loop is always limited by the client.
//!
//! # Who closes first
//!
//! The side that closes first keeps the port for a minute (TIME-WAIT, RFC 9293, section 3.6.1), and after some 28,000
//! connections to one address none would be left. So with `--connect-each` the client ends the connection by a reset
//! once it has the whole answer (`SO_LINGER` of zero, socket(7)), which leaves no TIME-WAIT on either side; the server
//! counts these connections as reset. In `file` the client's FIN ends the contents, so the client must close first:
//! each upload keeps a port, unless the system reuses it sooner (`tcp_tw_reuse`, tcp(7); on loopback Linux does).
//!
//! # Any other protocol
//!
//! `raw` needs no plug-in: `--send` or `--send-file` has the bytes of a request, and `--expect` those of its answer. If answers
//! differ, `--expect-until` says how each of them ends, or `--expect-bytes` how long each of them is. Every answer is compared, and
//! none is kept in memory. All requests are the same, so on a connection the first answer belongs to the oldest request; over UDP,
//! too: there an answer that comes after its timeout counts for the request after it. An answer on a connection that is wrong or
//! too long ends the connection, and the requests that wait behind it count with it: no byte shows where the next answer begins.
//!
//! # A chat
//!
//! In a chat (`examples/chat.rs`) a line of a member goes to all others, so a latency belongs to one line at one member, and
//! `rate` counts those. The first members (`--senders`) say lines and all read, except those of `--deaf`, which never do. Each
//! line has its sender, its number, the time at which it was due, and a sum over them; so a member sees whether a line
//! is right, came twice or came too early. If the server says `you missed 3 lines`, three may be missing at that member.
//! Before the clock starts all members enter, and each reads the names of those that come after it: for a thousand
//! members half a million lines.
//!
//! # Where to read
//!
//! `command.rs` has the commands, `find` searches with many runs, `compare.rs` reads two results. `engine.rs` is the loop,
//! `pace.rs` decides when a request should leave; `arrivals.rs` and `ramp.rs` know when those of an open loop are due.
//! `growth.rs` knows when connections are opened. `exchange.rs` is a connection with requests and answers, `answers.rs` judges
//! those, `raw` has what a command line says of them. `datagrams.rs` is the same over UDP, `upload.rs` sends files, `bad.rs`
//! misbehaves. `chat.rs` is a member of a chat, `gather.rs` brings members together, `lines.rs` has what they say, `room.rs`
//! what they share. `targets.rs` knows the servers, `link.rs` connects and `backoff.rs` says how soon again. `tally.rs` counts,
//! `report.rs` and `condition.rs` print the result, `settings.rs` what was asked for. `files.rs` removes the uploaded files,
//! `interrupt.rs` is Ctrl-C.

#[path = "../../client/announce.rs"]
mod announce;
mod answers;
mod arrivals;
mod backoff;
mod bad;
mod chat;
#[path = "../../client/mod.rs"]
mod client;
mod command;
mod compare;
mod condition;
#[path = "../../client/datagram.rs"]
mod datagram;
mod datagrams;
mod engine;
mod exchange;
mod files;
mod find;
mod gather;
mod growth;
mod interrupt;
mod lines;
mod link;
mod options;
mod pace;
#[path = "../../client/printable.rs"]
mod printable;
mod progress;
mod ramp;
mod random;
mod raw;
mod report;
mod result_file;
mod room;
mod settings;
#[path = "../../client/sweep.rs"]
mod sweep;
mod tally;
mod tape;
mod targets;
mod timer;
mod upload;

use std::process::ExitCode;
use std::rc::Rc;

use answers::Lines;
use bad::{Bad, Sample};
use client::failure::{Context as _, Failure, Result};
use client::output::Output;
use client::url::Transport;
use datagrams::Datagrams;
use engine::Engine;
use exchange::Exchange;
use files::Files;
use interrupt::end_by;
use link::Link;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::{Cli, Protocol};
use raw::RawAnswers;
use report::Report;
use result_file::ResultFile;
use room::Room;
use tape::Tape;
use targets::Targets;
use upload::{Plan, Upload};

fn main() -> ExitCode {
    command::obey()
}

fn run(cli: &Cli) -> Result<()> {
    let output = Output::open()?;
    allow_descriptors(cli.connections)?;
    let json = cli.json.as_deref().map(ResultFile::open).transpose()?;
    let files = Files::new(cli)?;
    let mut report = load(cli, &files)?;
    if cli.protocol.is_file() {
        report.note(files.clean_up());
    }
    // Even if the reader of the text has closed, the rest must be done.
    let written = json.map_or(Ok(()), |json| json.write(&report.json()));
    let told = output.write(report.text().as_bytes());
    written?;
    if let Some(signal) = report.signal() {
        return end_by(signal);
    }
    report.judge(&cli.conditions).and(told)
}

fn load(cli: &Cli, files: &Files) -> Result<Report> {
    let mut engine = Engine::new()?;
    let expectation = cli.raw.expectation().map(Rc::new);
    if cli.transport() == Transport::Udp {
        let tape = Rc::new(Tape::new(cli));
        let targets = Targets::that_answer(cli, &tape)?;
        let sockets: Result<Vec<_>> = (0..cli.connections as usize)
            .map(|index| Datagrams::new(cli, targets.of(index), engine.registry(), index, &tape, expectation.as_ref()))
            .collect();
        return engine.run(cli, sockets?);
    }

    let targets = Targets::that_accept(cli, &mut engine)?;
    if let Some(mode) = cli.bad {
        let sample = Rc::new(Sample::new(cli, files));
        let users = (0..cli.connections as usize)
            .map(|index| Bad::new(mode, Link::closed(cli, index, targets.of(index)), index, &sample));
        return engine.run(cli, users.collect());
    }
    match cli.protocol {
        Protocol::Sum | Protocol::Uppercase => {
            let tape = Rc::new(Tape::new(cli));
            let users = Link::all(cli, &mut engine, &targets)?.into_iter().enumerate().map(|(index, link)| {
                let first = tape.first(index);
                Exchange::new(cli, link, &tape, first, Lines::new(&tape, first))
            });
            engine.run(cli, users.collect())
        }
        Protocol::Raw => {
            let tape = Rc::new(Tape::new(cli));
            let Some(expectation) = expectation else { return Failure::because("raw needs an expectation") };
            let links = Link::all(cli, &mut engine, &targets)?.into_iter();
            let users = links.map(|link| Exchange::new(cli, link, &tape, 0, RawAnswers::new(&expectation)));
            engine.run(cli, users.collect())
        }
        Protocol::File | Protocol::FileSized => {
            let plan = Rc::new(Plan::new(cli, files));
            let links = Link::all(cli, &mut engine, &targets)?;
            engine.run(cli, links.into_iter().map(|link| Upload::new(link, &plan)).collect())
        }
        Protocol::Chat => {
            let room = Rc::new(Room::new(cli));
            let deaf = gather::deaf(cli, targets.of(0), &room)?;
            let members = gather::readers(cli, &mut engine, targets.of(0), &room)?;
            let report = engine.run(cli, members);
            drop(deaf);
            report
        }
    }
}

/// Raises the limit of descriptors to the maximum; by default a process may have fewer than a thousand connections.
fn allow_descriptors(connections: u32) -> Result<()> {
    const OTHERS: u64 = 16;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot learn the limit of descriptors")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of descriptors")?;
    let needed = u64::from(connections) + OTHERS;
    // `rlim_t` has a sign on FreeBSD.
    if i128::from(most) < i128::from(needed) {
        return Failure::because(format!("{needed} descriptors are needed, but only {most} allowed (ulimit -Hn)"));
    }
    Ok(())
}
