//! A server with one mistake: it forgets its clients instead of closing them.
//!
//! It keeps every connection and never reads, so it never learns that a client has closed. `docs/tcp-states.md` shows
//! the result: each connection stays in CLOSE-WAIT and holds a descriptor.

use std::io;
use std::net::TcpListener;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    println!("listening never-closes tcp://127.0.0.1:7000");
    let mut connections = Vec::new();
    loop {
        let (connection, _) = listener.accept()?;
        connections.push(connection);
    }
}
