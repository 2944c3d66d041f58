//! Clients that keep no rule. Their answers are checked only where there must be none.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::thread;
use std::time::Duration;

use super::NAMES;
use crate::support::{Client, Process, Random};

const KIB: usize = 1024;

/// The most connections that a mob holds at a time.
const PEERS_MAX: usize = 60;

/// The time between two acts, at most: with it and [`PEERS_MAX`] many peers stay until their deadlines.
const PACE_MILLIS: usize = 10;

/// Connections that open and close, and others that stay and drip, half-close, never read, or stay silent.
pub(super) struct Mob<'a> {
    process: &'a Process,
    random: Random,
    socket: UdpSocket,
    peers: Vec<Client>,
}

impl<'a> Mob<'a> {
    pub(super) fn new(process: &'a Process, seed: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(process.address("sum-udp")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { process, random: Random::new(seed), socket, peers: Vec::new() }
    }

    pub(super) fn go_on(&mut self) {
        match self.random.below(18) {
            0..=3 if self.peers.len() < PEERS_MAX => self.join(),
            4..=5 => self.drip(),
            6 => self.half_close(),
            7 => self.leave(),
            8 => self.flood(),
            9 => self.churn(),
            10 => self.stream(),
            11 => self.storm(),
            _ => {}
        }
        thread::park_timeout(Duration::from_millis(self.random.below(PACE_MILLIS) as u64));
    }

    fn connect(&mut self) -> (&'static str, Client) {
        let name = NAMES[self.random.below(NAMES.len())];
        (name, Client::connect_with_little_room(self.process.address(name)))
    }

    /// Connects, and sends nothing, or rubbish, or a request without an end, or never reads its answers.
    fn join(&mut self) {
        let (name, mut peer) = self.connect();
        let rubbish = self.random.below(100 * KIB);
        let rubbish = self.random.bytes(rubbish);
        let opening = match (self.random.below(4), name) {
            (0, _) => Vec::new(),
            // No file name begins like this.
            (1, _) => [b"../", &rubbish[..]].concat(),
            (_, "sum-tcp") => br#"{"A":7,"B":4} "#.repeat(rubbish.len()),
            (_, "file-tcp") => [b"loose\n", &rubbish[..]].concat(),
            (_, "file-sized-tcp") => [b"never\n1000000000\n", &rubbish[..]].concat(),
            (_, "uppercase-tcp") => {
                peer.send_until_stuck(&[b'a'; 64 * KIB]);
                Vec::new()
            }
            _ => rubbish,
        };
        peer.stream().set_nonblocking(true).unwrap();
        say(&peer, &opening);
        self.peers.push(peer);
    }

    fn drip(&mut self) {
        if let Some(peer) = self.random_peer() {
            say(&self.peers[peer], b"{");
        }
    }

    fn half_close(&mut self) {
        if let Some(peer) = self.random_peer() {
            finish(&self.peers[peer]);
        }
    }

    /// With a reset, or with a FIN, which becomes a reset where answers are unread.
    fn leave(&mut self) {
        if let Some(peer) = self.random_peer() {
            let peer = self.peers.swap_remove(peer);
            if self.random.below(2) == 0 {
                peer.reset();
            }
        }
    }

    fn random_peer(&mut self) -> Option<usize> {
        (!self.peers.is_empty()).then(|| self.random.below(self.peers.len()))
    }

    /// A burst of datagrams that must get no answer.
    fn flood(&mut self) {
        for _ in 0..self.random.below(500) {
            let bytes = self.random.below(600);
            let rubbish = match self.random.below(4) {
                0 => Vec::new(),
                1 => b"{\"Sum\":11}\n".to_vec(),
                2 => br#"{"A":7,"B":"#.to_vec(),
                _ => self.random.bytes(bytes),
            };
            // The socket may be full.
            let _ = self.socket.send(&rubbish);
        }
        let answer = self.socket.recv(&mut [0; 64]);
        assert_eq!(answer.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "rubbish is answered");
    }

    /// Short requests that are expensive to answer, for as long as the server takes them.
    fn stream(&mut self) {
        let (name, shortest) = match self.random.below(2) {
            0 => ("sum-tcp", "1 "),
            _ => ("uppercase-tcp", "\u{390}"),
        };
        let peer = Client::connect(self.process.address(name));
        peer.stream().set_nonblocking(true).unwrap();
        let (stream, mut answers) = (shortest.repeat(16 * KIB), [0; 64 * KIB]);
        for _ in 0..self.random.below(200) {
            say(&peer, stream.as_bytes());
            let _ = peer.stream().read(&mut answers);
            thread::yield_now();
        }
    }

    /// Short connections, one after the other: together with streams they once blocked every new connection.
    fn storm(&mut self) {
        for _ in 0..self.random.below(200) {
            drop(Client::connect(self.process.address("sum-tcp")));
        }
    }

    /// Connections that close before they send.
    fn churn(&mut self) {
        for _ in 0..self.random.below(50) {
            let (_, peer) = self.connect();
            match self.random.below(4) {
                0 => peer.reset(),
                1 => finish(&peer),
                2 => say(&peer, b"{"),
                _ => drop(peer),
            }
        }
    }
}

/// Sends as many bytes as the server takes at once. It may have cut the connection, and then takes none.
fn say(peer: &Client, bytes: &[u8]) {
    let _ = peer.stream().write(bytes);
}

/// Sends FIN, unless the connection has ended.
fn finish(peer: &Client) {
    let _ = peer.stream().shutdown(Shutdown::Write);
}
