//! Unix sockets: who gets a path, who may connect, and who is answered.

mod datagrams;
mod paths;
mod peers;
mod reload;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::PATIENCE;

const REQUEST: &[u8] = b"{\"A\":7,\"B\":4}\n";
const ANSWER: &str = "{\"Sum\":11}\n";

/// Asks the server at the other end for a sum.
#[track_caller]
fn ask(mut stream: &UnixStream) {
    stream.write_all(REQUEST).unwrap();
    assert_eq!(answer(stream), ANSWER);
}

#[track_caller]
fn ask_at(path: &Path) {
    ask(&UnixStream::connect(path).unwrap());
}

/// Returns the next line that the server sends.
#[track_caller]
fn answer(stream: &UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}
