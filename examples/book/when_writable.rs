//! Finds out when the kernel calls a connection writable, and whether a write succeeds before.
//!
//! ```sh
//! cargo run --example when-writable
//! ```
//!
//! It is both ends of a connection over the loopback. `docs/readiness.md` shows what it prints.

use std::io::{self, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (mut connection, _) = listener.accept()?;
    connection.set_nonblocking(true)?;

    let mut taken = 0;
    while let Some(count) = if_ready(connection.write(&[0; 64 * 1024]))? {
        taken += count;
    }
    println!("the kernel has taken {taken} bytes, then EAGAIN");

    let (mut buffer, mut read, mut early) = ([0; 16 * 1024], 0, 0);
    while !is_writable(&connection)? {
        read += peer.read(&mut buffer)?;
        if !is_writable(&connection)? && if_ready(connection.write(b"."))?.is_some() {
            early += 1;
            if early == 1 {
                println!("the peer has read {read}: a byte is written, though poll says: not writable");
            }
        }
    }
    println!("the peer has read {read}: poll says: writable");
    println!("{early} bytes were written before it said so");
    Ok(())
}

/// Whether the kernel calls it writable now (`poll(2)`).
fn is_writable(connection: &TcpStream) -> Result<bool> {
    let mut asked = [PollFd::new(connection, PollFlags::OUT)];
    let ready = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(io::Error::from)?;
    Ok(ready > 0)
}

/// Returns `None` for `EAGAIN`.
fn if_ready(result: Result<usize>) -> Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
