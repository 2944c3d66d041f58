//! Draws a capture of TCP as a ladder: `tcpdump -nl tcp port 7000 | ladder > picture.svg`
//!
//! ```sh
//! cargo run --example ladder -- --help
//! ```
//!
//! The book draws its own captures with it: a test compares `docs/images/ladder-*.svg` with the transcripts.

#[path = "../../client"]
mod client {
    pub(crate) mod failure;
}
mod capture;
mod picture;

use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::process::ExitCode;

use clap::Parser;

use client::failure::{self, Context, Failure, Result};
use picture::Choice;

/// The largest capture that is read.
const CAPTURE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Draws TCP segments as arrows between two lines, as SVG.
///
/// It reads what tcpdump prints for one connection. A segment that is sent again before it is answered counts as lost.
#[derive(Parser)]
#[command(name = "ladder")]
struct Cli {
    /// The segments to draw, counted from 1: 1-3, or from the fourth to the last 4-
    #[arg(long, value_name = "A-B", default_value = "1-")]
    segments: String,

    /// Print the windows, in bytes
    #[arg(long)]
    windows: bool,
}

fn main() -> ExitCode {
    failure::finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let Some(mut choice) = Choice::parse(&cli.segments) else {
        return Failure::because(format!("{:?} is not a range such as 1-3", cli.segments));
    };
    choice.windows |= cli.windows;
    let mut text = Vec::new();
    stdin().take(CAPTURE_BYTES_MAX).read_to_end(&mut text).context("cannot read the capture")?;
    let text = String::from_utf8_lossy(&text);
    let Some(picture) = picture::draw(&capture::items(text.lines()), &choice) else {
        return Failure::because("the input has no such segment of TCP, as tcpdump prints it without -q");
    };
    match stdout().write_all(picture.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        written => written.context("cannot write the picture"),
    }
}
