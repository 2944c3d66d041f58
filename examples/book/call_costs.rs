//! Compares the costs of system calls with the cost of the cheapest one, `getppid(2)`.
//!
//! ```sh
//! cargo run --release --example call-costs
//! ```
//!
//! It is both ends of a connection over the loopback. `docs/syscalls.md` explains what it prints.

use std::hint::black_box;
use std::io::{ErrorKind, IoSlice, Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

const MESSAGE: [u8; 64] = [b'a'; 64];
const MESSAGES: usize = 16;
/// All that one batch writes has room in the send queue.
const CALLS: u32 = 50;
const BATCHES: usize = 400;

fn main() -> Result<()> {
    let (ours, peer) = connection()?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
    let (one, all) = (MESSAGE, [b'a'; MESSAGES * MESSAGE.len()]);
    let pieces = [IoSlice::new(&MESSAGE); MESSAGES];
    let nothing = || Ok(());

    let getppid = least(nothing, || done(black_box(parent_id())))?;
    println!("{:<32} {:>10} {:>8}", "", "cost", "getppid");
    let tell = |name: &str, nanos: f64| println!("{name:<32} {nanos:>7.0} ns {:>8.1}", nanos / getppid);
    tell("the clock, without a system call", least(nothing, || done(black_box(Instant::now())))?);
    tell("getppid", getppid);
    tell("read that returns EAGAIN", least(nothing, || done((&ours).read(&mut [0; 64])))?);
    tell("epoll_wait, nothing is ready", least(nothing, || poll.poll(&mut events, Some(Duration::ZERO)))?);
    let fill = || (0..CALLS).try_for_each(|_| (&peer).write_all(&one));
    tell("read of 64 bytes", least(fill, || (&ours).read_exact(&mut [0; 64]))?);
    let empty = || drain(&peer);
    tell("write of 64 bytes", least(empty, || (&ours).write_all(&one))?);
    tell("16 writes of 64 bytes", least(empty, || (0..MESSAGES).try_for_each(|_| (&ours).write_all(&one)))?);
    tell("writev of 16 times 64 bytes", least(empty, || (&ours).write_vectored(&pieces).map(drop))?);
    tell("one write of 1024 bytes", least(empty, || (&ours).write_all(&all))?);
    Ok(())
}

fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (peer, _) = listener.accept()?;
    for end in [&ours, &peer] {
        end.set_nodelay(true)?;
        end.set_nonblocking(true)?;
    }
    Ok((ours, peer))
}

/// For a call whose result does not matter.
fn done<T>(_: T) -> Result<()> {
    Ok(())
}

/// Reads until `EAGAIN`.
fn drain(mut end: &TcpStream) -> Result<()> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match end.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => drop(result?),
        }
    }
}

/// The nanoseconds of a call, in the fastest of many short batches: other programs only ever make a batch slower.
fn least(mut prepare: impl FnMut() -> Result<()>, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..BATCHES {
        prepare()?;
        let start = Instant::now();
        for _ in 0..CALLS {
            call()?;
        }
        least = least.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    Ok(least)
}
