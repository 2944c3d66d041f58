//! Solutions of "Build your own reactor" (`docs/build`), a module for each step.
//!
//! ```sh
//! cargo run --example steps -- 3 5656
//! cargo run --example check -- sum 127.0.0.1:5656 --step 3 --run 'target/debug/examples/steps 3 5656'
//! ```
//!
//! Read them with `diff`: each step changes one thing. `sum.rs` has the answer to a question, and from step 4 on
//! `framing.rs` finds the questions. `poll(2)` is called through rustix. It is level-triggered, as in the solutions in
//! other languages; `../../tools/broken/right.rs` is a server on mio, which is edge-triggered.

mod framing;
mod step01;
mod step02;
mod step03;
mod step04;
mod step05;
mod step06;
mod step07;
mod step08;
mod step09;
mod step10;
mod step11;
mod step12;
mod sum;

use std::io::Result;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use clap::Parser;

/// Starts the solution of a step. It listens on this machine only.
#[derive(Parser)]
#[command(name = "steps")]
struct Cli {
    /// The number of the step
    #[arg(value_parser = clap::value_parser!(u8).range(1..=12))]
    step: u8,

    /// The port to listen on
    port: u16,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    // A port of a server that has just ended can be used at once: std sets SO_REUSEADDR.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, cli.port))?;
    match cli.step {
        1 => step01::serve(&listener),
        2 => step02::serve(&listener),
        3 => step03::serve(&listener),
        4 => step04::serve(&listener),
        5 => step05::serve(&listener),
        6 => step06::serve(&listener),
        7 => step07::serve(&listener),
        8 => step08::serve(&listener),
        9 => step09::serve(&listener),
        10 => step10::serve(&listener),
        11 => step11::serve(&listener),
        _ => step12::serve(listener),
    }
}
