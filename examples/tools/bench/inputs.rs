//! The cost of chosen input for the server's thread on real sockets: for each byte of `uppercase`, for each value of
//! `sum`.
//!
//! ```sh
//! cargo bench --bench inputs
//! ```
//!
//! A peer may send the most expensive input. The last column is its cost relative to the plain input of the first row:
//! the time of the thread on a core, including the kernel's share of reading and writing. Each round takes every input,
//! a ratio is taken within a round, and the table has the medians. `cargo bench --bench parts` measures our own share
//! alone.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use reactor::{Config, Handle, Reactor, Registry};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const ROUNDS: usize = 11;

/// Parts of an input, in random order, so that the processor cannot predict the next one.
type Parts = &'static [&'static [u8]];

const UPPERCASE: [Parts; 22] = [
    &[b"The ", b"quick ", b"brown ", b"fox\n"],
    &["ä".as_bytes()],
    &["ß".as_bytes()],
    &["ı".as_bytes()],
    &["ŉ".as_bytes()],
    &["ΐ".as_bytes()],
    &["ᾳ".as_bytes()],
    &["ﬃ".as_bytes()],
    &["𐐨".as_bytes()],
    &["漢".as_bytes()],
    &["😀".as_bytes()],
    &[b"a", "ä".as_bytes()],
    &["ä".as_bytes(), "ŉ".as_bytes(), "ΐ".as_bytes()],
    &[b"a", "ä".as_bytes(), "ΐ".as_bytes(), "ᾳ".as_bytes(), "𐐨".as_bytes(), "漢".as_bytes()],
    // Each chunk of 64 bytes has a letter of three bytes, so that none takes the fast path for letters of two.
    &["ΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐΐᾳ".as_bytes(), "ääääääääääääääääääääᾳ".as_bytes()],
    &[b"\xff"],
    &[b"\xc3"],
    &[b"\xc3", b"\xc3\xa4"],
    &[b"\xe1\xbe"],
    &[b"\xc3", b"\xa4", b"a"],
    &[b"\nexitx"],
    &[b"\nexis", b"\nexit\t"],
];

const SUM: [Parts; 19] = [
    &[b"{\"A\":7,\"B\":4}\n"],
    &[b"{\"A\":1234567890123,\"B\":-1234567890123}"],
    &[b"{\"A\":7,\"B\":4,\"id\":17}"],
    &[b"{\"\\u0041\":7,\"\\u0042\":4}"],
    &[b"1 "],
    &[b"[]"],
    &[b"\"\""],
    &[b"null "],
    &[b"-1.5e+3 "],
    &["\"漢\"".as_bytes()],
    &[b"1 ", b"[]", b"\"\"", b"null ", b"{}", b"-0.1 ", b"[{}]"],
    &[b"{}"],
    &[b"{\"A\":1}"],
    &[b"{\"a\":1,\"a\":1}"],
    &[b"{\"A\":\"x\",\"B\":1}"],
    &[b"{\"A\":[[1]],\"B\":1}"],
    &[b"{\"A\":9,\"B\":1.0}"],
    &[b"{\"A\":9223372036854775807,\"B\":1}"],
    &[b"{\"A\":9223372036854775808,\"B\":1}"],
];

fn main() {
    println!("{:<60} {:>12} {:>6}", "uppercase", "ns per byte", "ratio");
    compare("uppercase", &UPPERCASE, 16 << 20, |parts| parts.iter().map(|part| part.len()).sum());
    println!("\n{:<60} {:>12} {:>6}", "sum", "ns per value", "ratio");
    compare("sum", &SUM, 4 << 20, |values| values.len());
}

/// Prints a line for each input, of which each round sends `bytes`. `units` returns the number of bytes or values if
/// each part of it comes once.
fn compare(protocol: &'static str, inputs: &[Parts], bytes: usize, units: impl Fn(&[&[u8]]) -> usize) {
    let round = || -> Vec<f64> {
        let cost = |parts: &Parts| {
            let input = random_order(parts);
            let times = bytes / input.len();
            let part_bytes: usize = parts.iter().map(|part| part.len()).sum();
            let units = (input.len() * times * units(parts)) as f64 / part_bytes as f64;
            cpu_time(protocol, &input, times).as_nanos() as f64 / units
        };
        inputs.iter().map(cost).collect()
    };
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    for (index, parts) in inputs.iter().enumerate() {
        let each = median(rounds.iter().map(|round| round[index]));
        let ratio = median(rounds.iter().map(|round| round[index] / round[0]));
        let names: Vec<_> = parts.iter().map(|part| name(part)).collect();
        println!("{:<60} {each:>12.2} {ratio:>6.2}", names.join(" | "));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An input as the source text of its parts.
fn name(part: &[u8]) -> String {
    str::from_utf8(part)
        .map_or_else(|_| part.escape_ascii().to_string(), |text| text.replace('\n', "\\n").replace('\t', "\\t"))
}

/// About 64 KiB.
fn random_order(parts: Parts) -> Vec<u8> {
    let mut random = 88_172_645_463_325_252_u64;
    let mut input = Vec::new();
    while input.len() < 64 << 10 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        input.extend_from_slice(parts[random as usize % parts.len()]);
    }
    input
}

/// Returns how long the server's thread is on a core for `times` times `input`.
fn cpu_time(protocol: &'static str, input: &[u8], times: usize) -> Duration {
    let (started, starting) = mpsc::channel();
    let server = thread::spawn(move || serve(protocol, &started));
    let (address, handle) = starting.recv().expect("the server starts");
    let mut peer = TcpStream::connect(address).expect("the server accepts");
    let mut answers = peer.try_clone().expect("a descriptor is left");
    let reader = thread::spawn(move || {
        let mut room = vec![0; 1 << 20];
        while answers.read(&mut room).expect("the server does not reset") > 0 {}
    });
    for _ in 0..times {
        peer.write_all(input).expect("the server reads");
    }
    peer.shutdown(Shutdown::Write).expect("the connection is open");
    reader.join().expect("the reader does not fail");
    handle.stop();
    server.join().expect("the server does not fail")
}

/// Serves until it is stopped, and returns how long that kept a core busy.
fn serve(protocol: &str, started: &Sender<(SocketAddr, Handle)>) -> Duration {
    let registry = Registry::built_in();
    let config = json!({ "listeners": [{ "protocol": protocol, "listen": "tcp://127.0.0.1:0" }] }).to_string();
    let config = Config::parse("inputs.rs", &config, &registry).expect("the configuration is valid");
    let mut reactor = Reactor::bind(&config, &registry).expect("a port is free");
    let before = thread_time();
    started.send((reactor.endpoints()[0].address().expect("TCP"), reactor.handle())).expect("the peer waits for it");
    reactor.run().expect("the loop does not fail");
    thread_time() - before
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
