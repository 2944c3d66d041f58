//! The museum: small servers with one classic bug each, to watch them fail.
//!
//! ```sh
//! cargo run --example broken -- --help
//! cargo run --example broken -- short-write 8000
//! cargo run --example check -- uppercase tcp://127.0.0.1:8000
//! ```
//!
//! Each piece is a file of this directory. Its first lines describe the symptom, how to see it, and last, for readers who
//! have guessed, which rule prevents it and where the real server keeps that rule. `right.rs` and `right_udp.rs` have
//! no bug; every other piece changes one part of them and reuses the rest. So read `right.rs` first:
//!
//! ```sh
//! cat examples/tools/broken/right.rs
//! ```
//!
//! All pieces share `../../client/if_ready.rs`, a call that does not block, and `../../client/outbox.rs`, the bytes
//! still to send; and `sum.rs`, the protocol of the pieces that do not answer in upper case. `cargo test --test museum`
//! checks that every piece still fails in its way and in no other.

#[path = "../../client"]
mod client {
    pub(crate) mod if_ready;
    pub(crate) mod outbox;
}

mod answers_rubbish;
mod busy;
mod chatty;
mod closes_over_input;
mod dies_of_emfile;
mod empty_datagram;
mod exits_on_reset;
mod forgotten_rest;
mod hang_up;
mod hoarder;
mod interrupted;
mod last_words;
mod one_accept;
mod one_answer;
mod one_at_a_time;
mod read_is_message;
mod reused_token;
mod right;
mod right_udp;
mod short_buffer;
mod short_write;
mod sleeps_after_emfile;
mod sum;
mod torn_letters;
mod waits_after_budget;
mod writable_for_ever;
mod write_all;

use std::io::{Result, Write, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use mio::net::UdpSocket;

/// Starts a small server that has one classic bug.
///
/// It listens on this machine only, and prints its protocol and address when it starts.
#[derive(Parser)]
#[command(name = "broken")]
struct Cli {
    piece: Piece,

    /// The port to listen on; 0 takes a free one
    port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Piece {
    /// The server without a bug, to compare with
    Right,
    /// Closes after the first answer
    OneAnswer,
    /// Serves one client at a time; all others wait until it closes
    OneAtATime,
    /// Uses a whole processor all the time
    Busy,
    /// Uses a whole processor as long as a client is connected
    WritableForEver,
    /// Does not finish long answers
    WaitsAfterBudget,
    /// Does not serve all clients that connect at the same time
    OneAccept,
    /// Answers a request that did not arrive in one piece with an error
    ReadIsMessage,
    /// Leaves a letter that did not arrive in one piece in lower case
    TornLetters,
    /// Loses parts of an answer to a client that reads slowly
    ShortWrite,
    /// Does not finish an answer to a client that reads slowly
    ForgottenRest,
    /// Serves no other client while one does not read
    WriteAll,
    /// Grows without end while one client does not read
    Hoarder,
    /// Does not answer a client that sends its FIN with its request
    HangUp,
    /// Does not finish an answer after the client's FIN
    LastWords,
    /// Loses its last answers when it refuses a request
    ClosesOverInput,
    /// Exits when a client resets its connection
    ExitsOnReset,
    /// Exits when it is stopped and continued
    Interrupted,
    /// Exits when too many clients connect
    DiesOfEmfile,
    /// Never accepts the clients that had to wait when there were too many
    SleepsAfterEmfile,
    /// Sends an answer to the wrong client
    ReusedToken,
    /// Serves no client while its output is not read
    Chatty,
    /// The datagram server without a bug
    RightUdp,
    /// Answers a request that was not sent like this
    ShortBuffer,
    /// Exits when a client sends an empty datagram
    EmptyDatagram,
    /// Answers every datagram, even answers
    AnswersRubbish,
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

fn run(&Cli { piece, port }: &Cli) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match piece {
        Piece::RightUdp => right_udp::serve(udp(address)?),
        Piece::ShortBuffer => short_buffer::serve(udp(address)?),
        Piece::EmptyDatagram => empty_datagram::serve(udp(address)?),
        Piece::AnswersRubbish => answers_rubbish::serve(udp(address)?),
        Piece::OneAtATime => one_at_a_time::serve(&tcp("uppercase", address)?),
        Piece::ReadIsMessage => right::serve(sums(address)?, read_is_message::ReadIsMessage::new),
        Piece::ClosesOverInput => right::serve(sums(address)?, closes_over_input::ClosesOverInput::new),
        Piece::Right => right::serve(letters(address)?, right::Uppercase::new),
        Piece::OneAnswer => right::serve(letters(address)?, one_answer::OneAnswer::new),
        Piece::WaitsAfterBudget => right::serve(letters(address)?, waits_after_budget::WaitsAfterBudget::new),
        Piece::TornLetters => right::serve(letters(address)?, torn_letters::TornLetters::new),
        Piece::ShortWrite => right::serve(letters(address)?, short_write::ShortWrite::new),
        Piece::ForgottenRest => right::serve(letters(address)?, forgotten_rest::ForgottenRest::new),
        Piece::WriteAll => right::serve(letters(address)?, write_all::WriteAll::new),
        Piece::Hoarder => right::serve(letters(address)?, hoarder::Hoarder::new),
        Piece::HangUp => right::serve(letters(address)?, hang_up::HangUp::new),
        Piece::LastWords => right::serve(letters(address)?, last_words::LastWords::new),
        Piece::Chatty => right::serve(letters(address)?, chatty::Chatty::new),
        Piece::Busy => busy::serve(&letters(address)?),
        Piece::WritableForEver => writable_for_ever::serve(&letters(address)?),
        Piece::OneAccept => one_accept::serve(letters(address)?, right::Uppercase::new),
        Piece::ExitsOnReset => exits_on_reset::serve(letters(address)?, right::Uppercase::new),
        Piece::Interrupted => interrupted::serve(letters(address)?, right::Uppercase::new),
        Piece::DiesOfEmfile => dies_of_emfile::serve(letters(address)?, right::Uppercase::new),
        Piece::SleepsAfterEmfile => sleeps_after_emfile::serve(letters(address)?, right::Uppercase::new),
        Piece::ReusedToken => reused_token::serve(letters(address)?),
    }
}

fn letters(address: SocketAddr) -> Result<mio::net::TcpListener> {
    without_blocking(tcp("uppercase", address)?)
}

fn sums(address: SocketAddr) -> Result<mio::net::TcpListener> {
    without_blocking(tcp("sum", address)?)
}

fn without_blocking(listener: TcpListener) -> Result<mio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(mio::net::TcpListener::from_std(listener))
}

fn tcp(protocol: &str, address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    announce(protocol, &format!("tcp://{}", listener.local_addr()?))?;
    Ok(listener)
}

fn udp(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    announce("sum", &format!("udp://{}", socket.local_addr()?))?;
    Ok(socket)
}

/// Prints the protocol and the address: the arguments of `check`.
fn announce(protocol: &str, url: &str) -> Result<()> {
    writeln!(stdout(), "listening {protocol} {url}")
}
