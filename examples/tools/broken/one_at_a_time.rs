//! The first client is served as it should be. Until it leaves, no other one is, though all of them can connect.
//!
//! ```sh
//! cargo run --example broken -- one-at-a-time 8000
//! nc 127.0.0.1 8000 &
//! echo hello | nc -N 127.0.0.1 8000                                     # no answer until: kill %1
//! ```
//!
//! Prevented by rule 10 of `docs/design.md`, *nothing waits on the loop's thread*, a peer least of all. Done right in
//! `src/reactor.rs`, where the loop waits for everybody at once.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    for stream in listener.incoming().flatten() {
        // Somebody who was reset is gone, and the next one is served.
        let _ = converse(stream);
    }
    Ok(())
}

fn converse(mut stream: TcpStream) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        buffer[..count].make_ascii_uppercase();
        stream.write_all(&buffer[..count])?;
    }
}
