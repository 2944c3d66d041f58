//! Which peer, and what it answers.

mod answer;
mod async_tasks;
mod bare;
mod chat;
mod datagrams;
mod listen;
mod threads;
mod upload;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use nix::sys::epoll::EpollTimeout;

/// Replaces the bytes of a read by the replies, and returns their length.
type Answer = fn(&mut [u8]) -> usize;

/// Servers to compare with.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// A bare loop on epoll: the floor
    Bare { protocol: Protocol },
    /// The same loop, busy for a time with each read: the most requests that it can answer are known
    Slow {
        protocol: Protocol,
        /// Microseconds
        #[arg(long, default_value_t = 1000)]
        busy: u64,
    },
    /// A blocking thread for each connection
    Threads { protocol: Protocol },
    /// A task for each connection, on one thread of tokio
    Tokio { protocol: Protocol },
    /// A chat with one room: a broadcast channel, and two tasks for each connection, on one thread of tokio
    Chat,
    /// Sums over UDP: a system call to receive each datagram, and one to answer it
    DatagramEach,
    /// Sums over UDP: a system call to receive many datagrams, and one to answer them all
    DatagramBatch,
    /// Stores what a connection sends: read and write, with one buffer
    Copy {
        /// Bytes of the buffer
        #[arg(long, default_value_t = 256 * 1024)]
        buffer: usize,
        file: PathBuf,
    },
    /// Stores what a connection sends: splice, through a pipe
    Splice { file: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Uppercase,
    Sum,
}

pub(crate) fn run() -> io::Result<()> {
    match Cli::parse().peer {
        // Functions by name and not through a pointer, so that they are inlined into the loop.
        Peer::Bare { protocol: Protocol::Uppercase } => bare(answer::uppercase),
        Peer::Bare { protocol: Protocol::Sum } => bare(answer::sums),
        Peer::Slow { protocol, busy } => {
            let answer = answer(protocol);
            bare(|bytes| {
                work(Duration::from_micros(busy));
                answer(bytes)
            })
        }
        Peer::Threads { protocol } => threads::serve(&listen::tcp()?, answer(protocol)),
        Peer::Tokio { protocol } => async_tasks::serve(listen::tcp()?, answer(protocol)),
        Peer::Chat => chat::serve(listen::tcp()?),
        Peer::DatagramEach => datagrams::each(&listen::udp()?),
        Peer::DatagramBatch => datagrams::batch(&listen::udp()?),
        Peer::Copy { buffer, file } => upload::copy(&listen::tcp()?, &file, buffer),
        Peer::Splice { file } => upload::splice(&listen::tcp()?, &file),
    }
}

/// Takes a core for this time.
fn work(span: Duration) {
    let since = Instant::now();
    while since.elapsed() < span {
        std::hint::spin_loop();
    }
}

fn bare(answer: impl Fn(&mut [u8]) -> usize) -> io::Result<()> {
    let listener = listen::tcp()?;
    let mut bare = bare::Bare::new(&listener)?;
    loop {
        bare.turn(EpollTimeout::NONE, &answer)?;
    }
}

fn answer(protocol: Protocol) -> Answer {
    match protocol {
        Protocol::Uppercase => answer::uppercase,
        Protocol::Sum => answer::sums,
    }
}
