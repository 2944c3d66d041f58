//! The first client is served correctly. Until it closes, no other client is served, though all of them can connect.
//!
//! ```sh
//! cargo run --example broken -- one-at-a-time 8000
//! nc 127.0.0.1 8000 &
//! echo hello | nc -N 127.0.0.1 8000                                     # no answer until: kill %1
//! ```
//!
//! Prevented by rule 10 of `docs/design.md`, *nothing waits on the loop's thread*, least of all for a peer. Done right
//! in `src/reactor.rs`, where the loop waits for all connections at once.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    for stream in listener.incoming().flatten() {
        // An error ends this connection, and the next client is served.
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
