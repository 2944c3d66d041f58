//! A thread for each connection, on the standard library: the kernel's scheduler does the rest.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::Answer;

const READ_BYTES: usize = 4 * 1024;
/// More than enough for the buffer and the calls.
const STACK_BYTES: usize = 64 * 1024;

pub(crate) fn serve(listener: &TcpListener, answer: Answer) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || converse(stream, answer))?;
    }
    Ok(())
}

fn converse(mut stream: TcpStream, answer: Answer) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let length = answer(&mut buffer[..count]);
        stream.write_all(&buffer[..length])?;
    }
}
