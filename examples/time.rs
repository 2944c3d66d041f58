//! Prints the time of the server.
//!
//! ```sh
//! cargo run --example time
//! cargo run --example time -- tcp://localhost:8330
//! cargo run --example time | head -1
//! ```
//!
//! The smallest client: one socket, which is only read.

mod client;
#[path = "client/reader.rs"]
mod reader;

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use client::connect::connect;
use client::failure::{Context, Failure, Result, finish, tell};
use client::if_ready::if_ready;
use client::output::Output;
use client::span::span;
use client::url::{Transport, Url, url_of};
use client::wait::{after, is_past, wait};
use mio::{Events, Poll, Token};
use reader::{has_left, watch_reader};

const SERVER: Token = Token(0);
const READER: Token = Token(1);

/// Prints the time of the server, and stays until the server closes.
#[derive(Parser)]
struct Cli {
    /// Where the server listens, such as localhost:8330 or :8330
    #[arg(default_value = "tcp://127.0.0.1:8330", value_parser = url_of(&[Transport::Tcp]))]
    url: Url,

    /// Give up after this time without a connection or an answer
    #[arg(long, default_value = "5s", value_parser = span)]
    timeout: Duration,
}

fn main() -> ExitCode {
    finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let mut poll = Poll::new().context("cannot poll")?;
    let output = Output::open()?;
    let (mut stream, _) = connect(&mut poll, SERVER, &cli.url, cli.timeout)?;
    watch_reader(&poll, READER)?;

    let mut events = Events::with_capacity(16);
    let mut deadline = after(cli.timeout);
    let mut told = false;
    let mut chunk = [0; 1024];
    loop {
        // An edge reports once that bytes have arrived, not how many: read until `WouldBlock`, and only then wait.
        match if_ready(|| stream.read(&mut chunk)).context("cannot read from the server")? {
            Some(0) if told => break,
            Some(0) => return Failure::because("the server closed without sending the time"),
            Some(length) => {
                output.write(&chunk[..length])?;
                told = true;
                deadline = None;
            }
            None if is_past(deadline) => return Failure::because("the server did not send the time"),
            None => wait(&mut poll, &mut events, deadline).context("cannot wait")?,
        }
        if events.iter().any(|event| has_left(event, READER)) {
            return Ok(());
        }
    }
    tell("the server has closed the connection");
    Ok(())
}
