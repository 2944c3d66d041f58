//! Clients that keep the rules, and the answers that each must get.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Client, Process, Random, ask, eventually, watch_for};

const KIB: usize = 1024;

/// The time after which an unanswered datagram is sent again: a flood makes some get lost.
const RETRY: Duration = Duration::from_millis(200);

/// A client that chooses a different conversation every time.
pub(super) struct Honest<'a> {
    process: &'a Process,
    number: u64,
    random: Random,
}

/// Whether a file of this name belongs to an honest client.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with("honest-")
}

impl<'a> Honest<'a> {
    pub(super) fn new(process: &'a Process, number: u64, seed: u64) -> Self {
        Self { process, number, random: Random::new(seed + number) }
    }

    /// Runs one conversation; returns the number of answers, each of them right.
    pub(super) fn go_on(&mut self) -> u64 {
        match self.random.below(8) {
            0 => self.sums(),
            1 => self.sums_over_udp(),
            2 => self.letters(),
            3 => self.letters_read_slowly(),
            4 => self.file(),
            5 => self.sized_files(),
            6 => self.time(),
            _ => self.greeting(),
        }
    }

    /// Sends the text in random pieces, then FIN.
    fn converse(&mut self, name: &str, said: &[u8], answer: &[u8]) {
        let longest = said.len() / (1 + self.random.below(50)) + 1;
        let told = ask(self.process.address(name), &self.random.split(said, longest));
        assert!(told == answer, "{name}: {} bytes for {}", told.len(), answer.len());
    }

    /// A unique sum, and its answer.
    fn sum(&mut self) -> (String, String) {
        let (a, b) = (self.random.below(1 << 32), self.number);
        (format!(r#"{{"A":{a},"B":{b}}}"#), format!("{{\"Sum\":{}}}\n", a as u64 + b))
    }

    fn sums(&mut self) -> u64 {
        let count = 1 + self.random.below(300);
        let (requests, answers): (String, String) = (0..count).map(|_| self.sum()).unzip();
        self.converse("sum-tcp", requests.as_bytes(), answers.as_bytes());
        count as u64
    }

    fn sums_over_udp(&mut self) -> u64 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.process.address("sum-udp")).unwrap();
        socket.set_read_timeout(Some(RETRY)).unwrap();
        let count = 1 + self.random.below(20);
        for _ in 0..count {
            let (request, answer) = self.sum();
            let mut buffer = [0; 64];
            eventually("a datagram is answered", || {
                socket.send(request.as_bytes()).unwrap();
                // The answer to the previous request may come twice, because the request was sent twice.
                socket.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *answer.as_bytes())
            });
        }
        count as u64
    }

    fn some_letters(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.below(most)).map(|_| b"letters and \n"[self.random.below(13)]).collect()
    }

    fn letters(&mut self) -> u64 {
        let said = self.some_letters(1024 * KIB);
        self.converse("uppercase-tcp", &said, &said.to_ascii_uppercase());
        1
    }

    /// With room for a few segments only, and pauses.
    fn letters_read_slowly(&mut self) -> u64 {
        let said = self.some_letters(200 * KIB);
        let mut client = Client::connect_with_little_room(self.process.address("uppercase-tcp"));
        client.send(&said);
        client.finish();
        for part in said.chunks(8 * KIB) {
            watch_for(Duration::from_millis(self.random.below(10) as u64));
            client.expect(part.to_ascii_uppercase());
        }
        assert_eq!(client.rest(), b"");
        1
    }

    /// An upload that replaces the client's last one, so that the disk does not fill.
    fn upload(&mut self, protocol: &str) -> (String, Vec<u8>) {
        let bytes = self.random.below(512 * KIB);
        (format!("honest-{protocol}-{}-{}", self.number, self.random.below(4)), self.random.bytes(bytes))
    }

    fn assert_stored(&self, name: &str, contents: &[u8]) {
        let path = self.process.directory().path().join("received").join(name);
        assert!(fs::read(path).unwrap() == contents, "{name}");
    }

    fn file(&mut self) -> u64 {
        let (name, contents) = self.upload("file");
        let answer = format!("ok\nsaved {name} {}\n", contents.len());
        self.converse("file-tcp", &[name.as_bytes(), b"\n", &contents].concat(), answer.as_bytes());
        self.assert_stored(&name, &contents);
        1
    }

    fn sized_files(&mut self) -> u64 {
        let count = 1 + self.random.below(3);
        let mut said = Vec::new();
        for _ in 0..count - 1 {
            let (name, contents) = self.upload("passing");
            said.extend([format!("{name}\n{}\n", contents.len()).as_bytes(), &contents].concat());
        }
        let (name, contents) = self.upload("sized");
        said.extend([format!("{name}\n{}\n", contents.len()).as_bytes(), &contents].concat());
        self.converse("file-sized-tcp", &said, "OK\n".repeat(3 * count).as_bytes());
        self.assert_stored(&name, &contents);
        count as u64
    }

    fn time(&self) -> u64 {
        let told = ask(self.process.address("time-tcp"), &[""; 0]);
        let line = str::from_utf8(&told).unwrap();
        humantime::parse_rfc3339(line.trim_end()).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        1
    }

    fn greeting(&mut self) -> u64 {
        let count = 1 + self.random.below(5);
        let mut client = Client::connect(self.process.address("greeting-tcp"));
        for _ in 0..count {
            client.ask("hello", "This is Server\n");
        }
        client.finish();
        assert_eq!(client.rest(), b"");
        count as u64
    }
}
