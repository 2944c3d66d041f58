//! Serves each client on a thread of its own, with calls that block.
//!
//! ```sh
//! cargo run --example thread-each -- 8000
//! ```
//!
//! It answers in upper case. `docs/blocking.md` shows what that costs.

use std::env;
use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

fn main() -> Result<()> {
    let port = env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8000);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening uppercase tcp://{}", listener.local_addr()?);
    for stream in listener.incoming().flatten() {
        if let Err(error) = thread::Builder::new().spawn(|| converse(stream)) {
            eprintln!("a client is rejected: {error}");
        }
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
