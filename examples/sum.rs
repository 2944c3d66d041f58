//! Asks the server for sums, over TCP or UDP.
//!
//! ```sh
//! cargo run --example sum -- 7 4
//! cargo run --example sum -- udp://127.0.0.1:5656 7 4
//! cargo run --example sum -- 7 4 --every 1s --count 3
//! cargo run --example sum -- 7 4 --in-flight 100 --count 100000
//! cargo run --example sum -- udp://127.0.0.1:5656 7 4 --users 10
//! ```
//!
//! The first request asks for A + B, the next one for (A + 1) + B, and so on, so that each answer shows which request it
//! belongs to.

mod client;
#[path = "client/inbox.rs"]
mod inbox;
#[path = "client/outbox.rs"]
mod outbox;
#[path = "sum/pace.rs"]
mod pace;
#[path = "client/printable.rs"]
mod printable;
#[path = "sum/question.rs"]
mod question;
#[path = "sum/tcp.rs"]
mod tcp;
#[path = "sum/udp.rs"]
mod udp;

use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use client::failure::{Result, finish};
use client::url::{Transport, Url, url_of};
use question::Questions;

/// Asks the server for sums, over TCP or UDP, and prints each on a line.
///
/// The first request asks for A + B, the next one for (A + 1) + B, and so on, so that each answer shows which request it
/// belongs to. Over TCP the answers must come in order, over UDP they may come in any order or be lost.
#[derive(Parser)]
#[command(override_usage = "sum [OPTIONS] [URL] A B")]
#[command(after_help = "URL is where the server listens, such as udp://127.0.0.1:5656 [default: tcp://127.0.0.1:5656]")]
struct Cli {
    /// One list, as clap has no optional argument before two that are required.
    #[arg(hide = true, required = true, num_args = 2..=3, value_names = ["URL", "A", "B"])]
    #[arg(allow_negative_numbers = true, value_parser = word)]
    words: Vec<Word>,

    /// Ask again and again, a request in each such period [example: 1s]
    #[arg(long, value_name = "PERIOD", value_parser = humantime::parse_duration)]
    every: Option<Duration>,

    /// Requests of each user [default: as many as --in-flight; without end with --every]
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Requests that each user may send before the first of them is answered
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,

    /// Users at the same time: over TCP each has its own connection, over UDP they share one socket
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    users: u32,

    /// Give up when there is no connection, or no answer, for so long; over UDP the answer counts as lost
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Clone)]
enum Word {
    Number(i64),
    Url(Url),
}

fn word(text: &str) -> std::result::Result<Word, String> {
    if text.contains("://") {
        return url(text).map(Word::Url);
    }
    text.parse().map(Word::Number).map_err(|error| format!("neither a URL nor a number of 64 bits: {error}"))
}

fn url(text: &str) -> std::result::Result<Url, String> {
    url_of(&[Transport::Tcp, Transport::Udp])(text)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match url_and_numbers(&cli.words) {
        Ok((url, a, b)) => finish(run(&cli, &url, Questions::new(a, b))),
        Err(text) => Cli::command().error(ErrorKind::ValueValidation, text).exit(),
    }
}

fn url_and_numbers(words: &[Word]) -> std::result::Result<(Url, i64, i64), String> {
    match words {
        [Word::Number(a), Word::Number(b)] => Ok((url("tcp://127.0.0.1:5656")?, *a, *b)),
        [Word::Url(url), Word::Number(a), Word::Number(b)] => Ok((url.clone(), *a, *b)),
        _ => Err("expected two numbers, and before them a URL or nothing".into()),
    }
}

fn run(cli: &Cli, url: &Url, questions: Questions) -> Result<()> {
    match url.transport {
        Transport::Tcp => tcp::run(cli, url, questions),
        Transport::Udp => udp::run(cli, url, questions),
    }
}
