//! Greets the server and prints what it answers.
//!
//! ```sh
//! cargo run --example greeting
//! cargo run --example greeting -- --every 1s --count 3
//! cargo run --example greeting -- tcp://localhost:7020 --every 500ms
//! ```
//!
//! The smallest client that writes: it writes, reads, and waits for a timer, all in one loop.

mod client;
#[path = "client/outbox.rs"]
mod outbox;

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use client::connect::connect;
use client::failure::{Context, Failure, Result, finish, tell};
use client::if_ready::if_ready;
use client::output::Output;
use client::span::span;
use client::url::{Transport, Url, url_of};
use client::wait::{after, is_past, wait};
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use outbox::Outbox;

const GREETING: &[u8] = b"hello socket";

/// Greets the server and prints what it answers.
#[derive(Parser)]
struct Cli {
    /// Where the server listens, such as localhost:7020 or :7020
    #[arg(default_value = "tcp://127.0.0.1:7020", value_parser = url_of(&[Transport::Tcp]))]
    url: Url,

    /// Greet again and again on the same connection, with this pause [example: 1s]
    #[arg(long, value_name = "PAUSE", value_parser = span)]
    every: Option<Duration>,

    /// Close after this number of greetings instead of going on until the server closes
    #[arg(long, value_name = "N", requires = "every")]
    count: Option<u64>,

    /// Give up after this time without a connection or an answer
    #[arg(long, default_value = "5s", value_parser = span)]
    timeout: Duration,
}

fn main() -> ExitCode {
    finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let mut poll = Poll::new().context("cannot poll")?;
    let mut events = Events::with_capacity(16);
    let mut client = Client {
        stream: connect(&mut poll, Token(0), &cli.url, cli.timeout)?.0,
        outbox: Outbox::default(),
        output: Output::open()?,
        every: cli.every.unwrap_or_default(),
        timeout: cli.timeout,
        left: if cli.every.is_some() { cli.count } else { Some(1) },
        state: State::Pausing,
        state_ends: Some(Instant::now()),
    };
    while client.turn()? {
        wait(&mut poll, &mut events, client.state_ends).context("cannot wait")?;
    }
    Ok(())
}

struct Client {
    stream: TcpStream,
    outbox: Outbox,
    output: Output,
    every: Duration,
    timeout: Duration,
    /// Number of greetings still to send; `None` is without end.
    left: Option<u64>,
    state: State,
    state_ends: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The state ends when the next greeting is due.
    Pausing,
    /// The state ends when the answer comes, or times out.
    Asking,
}

impl Client {
    /// Does all that can be done now. Returns whether there is anything to wait for.
    fn turn(&mut self) -> Result<bool> {
        loop {
            if self.state == State::Pausing && is_past(self.state_ends) {
                if self.left == Some(0) {
                    return Ok(false);
                }
                self.greet();
            }
            self.outbox.flush(&mut self.stream).context("cannot write to the server")?;
            let mut chunk = [0; 4096];
            match if_ready(|| self.stream.read(&mut chunk)).context("cannot read from the server")? {
                Some(0) => return self.closed(),
                Some(length) => self.answered(&chunk[..length])?,
                None if self.state == State::Asking && is_past(self.state_ends) => {
                    return Failure::because("the server did not answer");
                }
                None => return Ok(true),
            }
        }
    }

    fn greet(&mut self) {
        self.outbox.push(GREETING);
        self.left = self.left.map(|left| left - 1);
        self.state = State::Asking;
        self.state_ends = after(self.timeout);
    }

    /// One read counts as one answer. That is a guess: messages of this protocol have no end mark.
    fn answered(&mut self, text: &[u8]) -> Result<()> {
        if self.state == State::Asking {
            self.state = State::Pausing;
            self.state_ends = if self.left == Some(0) { Some(Instant::now()) } else { after(self.every) };
        }
        self.output.write(text)
    }

    fn closed(&self) -> Result<bool> {
        if self.state == State::Asking {
            return Failure::because("the server closed without an answer");
        }
        if self.left.is_some() {
            return Failure::because("the server closed before all greetings were sent");
        }
        tell("the server has closed the connection");
        Ok(false)
    }
}
