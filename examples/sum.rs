//! Asks the server for sums, over TCP or UDP.
//!
//! ```sh
//! cargo run --example sum -- 7 4
//! cargo run --example sum -- 7 4 udp://127.0.0.1:5656
//! cargo run --example sum -- 7 4 --every 1s --count 3
//! cargo run --example sum -- 7 4 --in-flight 100 --count 100000
//! cargo run --example sum -- 7 4 udp://127.0.0.1:5656 --users 10
//! ```
//!
//! The first request asks for A + B, the next one for (A + 1) + B, and so on. So each answer shows which request it
//! belongs to.

mod client;
#[path = "client/datagram.rs"]
mod datagram;
#[path = "client/inbox.rs"]
mod inbox;
#[path = "client/outbox.rs"]
mod outbox;
#[path = "client/sum/pace.rs"]
mod pace;
#[path = "client/printable.rs"]
mod printable;
#[path = "client/sum/question.rs"]
mod question;
#[path = "client/sum/tcp.rs"]
mod tcp;
#[path = "client/sum/udp.rs"]
mod udp;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use client::failure::finish;
use client::span::span;
use client::url::{Transport, Url, url_of};
use question::Questions;

/// Asks the server for sums, over TCP or UDP, and prints each on a line.
///
/// The first request asks for A + B, the next one for (A + 1) + B, and so on. So each answer shows which request it
/// belongs to. Over TCP the answers must come in order, over UDP they may come in any order or be lost.
#[derive(Parser)]
struct Cli {
    /// The first number: an integer of 64 bits
    #[arg(allow_negative_numbers = true)]
    a: i64,

    /// The second number
    #[arg(allow_negative_numbers = true)]
    b: i64,

    /// Where the server listens, such as 127.0.0.1:5656, :5656 or udp://localhost:5656
    #[arg(default_value = "tcp://127.0.0.1:5656", value_parser = url_of(&[Transport::Tcp, Transport::Udp]))]
    url: Url,

    /// Ask again and again, a request in each such period [example: 1s]
    #[arg(long, value_name = "PERIOD", value_parser = span)]
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

    /// Give up after this time without a connection or an answer; over UDP the answer counts as lost, also when the
    /// network refuses the request
    #[arg(long, default_value = "5s", value_parser = span)]
    timeout: Duration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let questions = Questions::new(cli.a, cli.b);
    finish(match cli.url.transport {
        Transport::Tcp => tcp::run(&cli, questions),
        Transport::Udp => udp::run(&cli, questions),
    })
}
