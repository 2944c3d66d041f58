//! The cost of our own code, without the kernel: the loop with its ready queue and its deadlines, and the protocols.
//!
//! ```sh
//! cargo bench --bench parts
//! cargo bench --bench parts -- uppercase
//! ```
//!
//! Each number is the time of whole turns of the real loop on a kernel in memory ([`memory`]), which costs one copy
//! into the read buffer and little else. Times vary on a busy machine; the column *fastest* varies least.

mod memory;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, IntoCounter, ItemsCount};
use memory::{Memory, Peers};
use reactor::{Config, Reactor, Registry};
use serde_json::json;

/// Bytes that one read brings at most, as docs/reliability.md states it.
const READ_BYTES: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// A server whose peers are all connected.
struct Server {
    reactor: Reactor<Memory>,
    answered_bytes: Rc<Cell<usize>>,
}

impl Server {
    fn new(protocol: &str, peers: Peers) -> Self {
        assert!(peers.input.len() < READ_BYTES, "more than one read");
        let count = peers.count;
        let listener = json!({
            "protocol": protocol,
            "listen": "tcp://127.0.0.1:1",
            "limits": { "max_connections": count },
        });
        let registry = Registry::built_in();
        let config = json!({ "listeners": [listener] }).to_string();
        let config = Config::parse("parts.rs", &config, &registry).expect("the configuration is valid");
        let kernel = Memory::new(peers);
        let answered_bytes = kernel.answered_bytes();
        let reactor = Reactor::with_kernel(kernel, &config, &registry).expect("the memory has every address");
        let mut server = Self { reactor, answered_bytes };
        while server.reactor.endpoints()[0].open_connections() < count {
            server.turn();
        }
        server
    }

    fn with_one_peer(protocol: &str, input: &[u8]) -> Self {
        Self::new(protocol, Peers { count: 1, active: 1, input: input.into(), turn_time: Duration::ZERO })
    }

    /// Runs one turn, and returns the number of bytes of answers that it sent.
    fn turn(&mut self) -> usize {
        let before = self.answered_bytes.get();
        self.reactor.turn(None).expect("the memory does not fail");
        self.answered_bytes.get() - before
    }

    /// Measures turns, each of which must answer as much as the first.
    fn measure(&mut self, bencher: Bencher<'_, '_>, counter: impl IntoCounter) {
        let answered = self.turn();
        assert!(answered > 0, "no answer");
        bencher.counter(counter).bench_local(|| assert_eq!(self.turn(), answered));
    }
}

/// The loop and the connections, with a minimal protocol. Times are for all requests of a turn.
mod turn {
    use super::*;

    fn measure(bencher: Bencher<'_, '_>, count: usize, active: usize, turn_time: Duration) {
        let peers = Peers { count, active, input: br#"{"A":7,"B":4}"#.as_slice().into(), turn_time };
        let mut server = Server::new("sum", peers);
        // All were accepted at one time; after two rounds their deadlines are as far apart as their requests.
        for _ in 0..200 {
            server.turn();
        }
        server.measure(bencher, ItemsCount::new(active));
    }

    /// Every connection sends a request in every turn.
    #[divan::bench(args = [1, 100, 10_000])]
    fn all_ask(bencher: Bencher<'_, '_>, connections: usize) {
        measure(bencher, connections, connections, Duration::from_micros(1));
    }

    /// One connection sends a request in each turn, in rotation.
    #[divan::bench(args = [1, 100, 10_000])]
    fn one_asks(bencher: Bencher<'_, '_>, connections: usize) {
        measure(bencher, connections, 1, Duration::from_micros(1));
    }

    /// Each of 10,000 connections sends a request every 29 seconds, a second before `idle_timeout`. So the deadline of
    /// the previous request comes up too early, once for each request: the worst case of the heap.
    #[divan::bench(sample_count = 1000)]
    fn each_asks_just_in_time(bencher: Bencher<'_, '_>) {
        measure(bencher, 10_000, 100, Duration::from_millis(290));
    }
}

/// A thousand requests in a read, or as many as fit: answered ones, then refused ones. A refused or unusual request
/// must cost at most three times as much as the first one.
#[divan::bench(args = [
    r#"{"A":7,"B":4}"#,
    r#"{"A":1234567890123,"B":-1234567890123}"#,
    r#"{ "b": 4, "a": 7 }"#,
    r#"{"A":7,"B":4,"id":17}"#,
    r#"{"\u0041":7,"\u0042":4}"#,
    "1 ",
    "[]",
    r#""""#,
    "null ",
    "-1.5e+3 ",
    "{}",
    r#"{"A":1}"#,
    r#"{"A":"x","B":1}"#,
    r#"{"A":9223372036854775807,"B":1}"#,
    r#"{"A":9223372036854775808,"B":1}"#,
])]
fn sum(bencher: Bencher<'_, '_>, request: &str) {
    const REQUESTS: usize = 1000;
    let mut server = Server::with_one_peer("sum", request.repeat(REQUESTS).as_bytes());
    server.measure(bencher, ItemsCount::new(REQUESTS));
}

mod uppercase {
    use super::*;

    /// Prose of one kind.
    #[derive(Clone, Copy)]
    struct Prose {
        kind: &'static str,
        words: &'static str,
    }

    impl fmt::Display for Prose {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(self.kind)
        }
    }

    const ASCII: Prose =
        Prose { kind: "ASCII", words: "The quick brown fox jumps over the lazy dog; and so on, as prose goes.\n" };

    const PROSE: [Prose; 6] = [
        ASCII,
        Prose { kind: "German", words: "Süße Hündinnen laufen über die Straße; der große Bär schläft noch.\n" },
        Prose {
            kind: "Greek", words: "Η γρήγορη καφετιά αλεπού πηδάει πάνω από τον τεμπέλη σκύλο.\n"
        },
        Prose {
            kind: "Russian", words: "Съешь ещё этих мягких французских булок, да выпей же чаю.\n"
        },
        Prose {
            kind: "Chinese", words: "敏捷的 棕色狐狸 跳过了懒狗。 散文就是 这样继续下去的， 没有 大小写之分。\n"
        },
        Prose {
            kind: "mixed", words: "Größe — Ελληνικά и русский, “quoted”, 漢字, emoji 😀, ASCII between them.\n"
        },
    ];

    /// One line per read.
    #[divan::bench(args = [16, 64, 1024])]
    fn line(bencher: Bencher<'_, '_>, bytes: usize) {
        let mut line: Vec<u8> = ASCII.words.trim_end().bytes().cycle().take(bytes - 1).collect();
        line.push(b'\n');
        Server::with_one_peer("uppercase", &line).measure(bencher, BytesCount::new(bytes));
    }

    /// Nearly 64 KiB of words in random order, so that the processor cannot predict where they end.
    #[divan::bench(args = PROSE)]
    fn prose(bencher: Bencher<'_, '_>, prose: Prose) {
        let words: Vec<_> = prose.words.split_inclusive(' ').map(str::as_bytes).collect();
        measure(bencher, &words);
    }

    /// Single letters, or parts of letters, in random order: the most expensive input that a peer may send. With the
    /// kernel's share included, it must cost at most six times as much as ASCII.
    #[divan::bench(args = [
        &["a"] as &[&str], &["ä"], &["ı"], &["ŉ"], &["ΐ"], &["ᾳ"], &["ﬃ"], &["𐐨"], &["漢"], &["😀"],
        &["a", "ä"], &["ä", "ŉ", "ΐ"], &["a", "ä", "ΐ", "ᾳ", "𐐨", "漢"],
    ])]
    fn letters(bencher: Bencher<'_, '_>, letters: &[&str]) {
        measure(bencher, &letters.iter().map(|letter| letter.as_bytes()).collect::<Vec<_>>());
    }

    /// Bytes that are not UTF-8, in random order.
    #[divan::bench(args = [
        &[b"\xff" as &[u8]] as &[&[u8]], &[b"\xc3"], &[b"\xc3", b"a"], &[b"\xe1\xbe"], &[b"\xc3", b"\xc3\xa4"],
    ])]
    fn no_letters(bencher: Bencher<'_, '_>, bytes: &[&[u8]]) {
        measure(bencher, bytes);
    }

    /// Nearly 64 KiB of `parts` in random order.
    fn measure(bencher: Bencher<'_, '_>, parts: &[&[u8]]) {
        let mut random = 88_172_645_463_325_252_u64;
        let mut text = Vec::new();
        while text.len() < READ_BYTES - 100 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.extend_from_slice(parts[random as usize % parts.len()]);
        }
        Server::with_one_peer("uppercase", &text).measure(bencher, BytesCount::new(text.len()));
    }
}
