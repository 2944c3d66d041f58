//! A recording made by hand: a server starts, the answer to a slow reader takes two writes, an upload uses a worker, a
//! datagram is answered.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::super::answer::Answer;
use super::super::record::{Ask, Call, Decision, Interest, LOOP, Phase, Record, Waits, What};
use super::super::recording::{Open, Recording, Served};
use crate::notice::Readiness;
use crate::peer::{PackedPeer, Peer};
use crate::protocol::Within;
use crate::token::Token;

const LISTENER: Token = Token { slot: 0, generation: 1 };
const MAILBOX: Token = Token { slot: 1, generation: 2 };
/// Accepted before the first record, and under back-pressure since then.
const EARLY: Token = Token { slot: 2, generation: 3 };
const SLOW: Token = Token { slot: 3, generation: 4 };

/// The recorder: time passes in system calls and protocols.
struct Tape {
    at: u64,
    who: Token,
    turns: u64,
    records: Vec<Record>,
}

impl Tape {
    fn record(&mut self, who: Token, what: What) {
        self.at += if what.takes_time() { 1_234 } else { 0 };
        self.who = who;
        self.records.push(Record { at: self.at, who, what });
    }

    fn call(&mut self, who: Token, call: Call, result: usize) {
        self.record(who, What::Call { call, answer: Answer::from(&Ok(result)) });
    }

    fn blocked(&mut self, who: Token, call: Call) {
        let answer = Answer::from(&io::Error::from(io::ErrorKind::WouldBlock));
        self.record(who, What::Call { call, answer });
    }

    fn turn(&mut self, connections: u32, pending: u32, events: &[(Token, Readiness)]) {
        self.turns += 1;
        self.record(LOOP, What::Turn { number: self.turns, connections, pending, pressed: false });
        self.at += 1_000_000;
        self.call(LOOP, Call::Wait { timeout: 30_000 }, events.len());
        for (who, readiness) in events {
            self.record(*who, What::Event(*readiness));
        }
    }

    fn asked(&mut self, who: Token, ask: Ask, input: u32, output: u32, decision: Decision) {
        self.record(who, What::Asked { ask, input, consumed: input, output, decision });
    }

    fn left(&mut self, who: Token, pending: u32) {
        self.record(who, What::Left { status: Waits::Event, pending, deadline: 30_000_000_000 });
    }
}

const READABLE: Readiness = Readiness { readable: true, writable: false, in_doubt: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, in_doubt: false };

/// The name of the listener, as a hostile configuration may choose it.
pub(in super::super) const NAME: &str = "</script><b>\u{2028}uppercase";

pub(in super::super) fn recording() -> Recording {
    let mut tape = Tape { at: 0, who: LOOP, turns: 0, records: Vec::new() };
    let peer = Peer::from(SocketAddr::from(([192, 0, 2, 1], 40_000)));
    let peer = PackedPeer::from(&peer);
    tape.call(LISTENER, Call::Socket { ipv6: false, datagram: false }, 5);
    tape.call(LISTENER, Call::Bind, 0);
    tape.call(LISTENER, Call::Listen { backlog: 1024 }, 0);
    tape.call(LISTENER, Call::Register { interest: Interest::Read }, 0);

    tape.turn(1, 0, &[(LISTENER, READABLE)]);
    tape.record(LISTENER, What::Visit);
    tape.call(LISTENER, Call::Accept, 9);
    tape.record(SLOW, What::Accepted { peer, endpoint: 0 });
    tape.call(SLOW, Call::Register { interest: Interest::ReadWriteUrgent }, 0);
    tape.asked(SLOW, Ask::Open, 0, 0, Decision::Wait(Within::Nothing));
    tape.blocked(LISTENER, Call::Accept);
    tape.record(SLOW, What::Visit);
    tape.call(SLOW, Call::Read { asked: 65_536 }, 65_536);
    tape.asked(SLOW, Ask::Bytes, 65_536, 65_536, Decision::Again);
    tape.call(SLOW, Call::Write { offered: 65_536 }, 40_000);
    tape.blocked(SLOW, Call::Write { offered: 25_536 });
    tape.record(SLOW, What::Full { pending: 25_536 });
    tape.left(SLOW, 25_536);

    tape.turn(2, 25_536, &[(EARLY, READABLE), (MAILBOX, READABLE)]);
    tape.record(EARLY, What::Visit);
    tape.call(EARLY, Call::Read { asked: 65_536 }, 100);
    tape.asked(EARLY, Ask::Bytes, 100, 0, Decision::Job);
    tape.record(EARLY, What::Phase(Phase::Working, ""));
    tape.record(EARLY, What::JobOut { taken: true });
    tape.left(EARLY, 0);
    tape.record(MAILBOX, What::Visit);
    tape.call(MAILBOX, Call::Receive { rooms: 64, bytes: 13 }, 1);
    tape.asked(MAILBOX, Ask::Datagram, 13, 11, Decision::Dealt);
    tape.call(MAILBOX, Call::Send { offered: 1, bytes: 11 }, 1);
    tape.blocked(MAILBOX, Call::Receive { rooms: 64, bytes: 0 });
    tape.left(MAILBOX, 0);

    tape.turn(2, 25_536, &[(SLOW, WRITABLE)]);
    tape.record(EARLY, What::JobBack { panicked: false });
    tape.record(SLOW, What::Visit);
    tape.call(SLOW, Call::Write { offered: 25_536 }, 25_536);
    tape.record(SLOW, What::Relieved { pending: 0 });
    tape.call(SLOW, Call::Read { asked: 65_536 }, 0);
    tape.asked(SLOW, Ask::Eof, 0, 0, Decision::Finish);
    tape.record(SLOW, What::Phase(Phase::Closed, "eof"));
    tape.left(SLOW, 0);
    tape.record(EARLY, What::Visit);
    tape.asked(EARLY, Ask::Done, 0, 3, Decision::Again);
    tape.call(EARLY, Call::Write { offered: 3 }, 3);
    tape.left(EARLY, 0);
    tape.record(SLOW, What::Reap);
    tape.asked(SLOW, Ask::Close, 0, 0, Decision::Nothing);
    tape.call(SLOW, Call::Close, 0);
    tape.record(SLOW, What::Closed("eof"));

    let served = |who, name: &str, protocol: &str, url: &str| Served {
        who,
        name: name.to_owned(),
        protocol: protocol.to_owned(),
        url: url.to_owned(),
    };
    Recording {
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        records: tape.records,
        overwritten: 7,
        endpoints: vec![
            served(LISTENER, NAME, "uppercase", "tcp://127.0.0.1:8001"),
            served(MAILBOX, "sum", "sum", "udp://127.0.0.1:5656"),
        ],
        connections: vec![Open {
            who: EARLY,
            peer: SocketAddr::from(([192, 0, 2, 1], 39_999)).into(),
            endpoint: 0,
            full: true,
        }],
    }
}
