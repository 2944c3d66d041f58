use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::client::failure::{Context as _, Result};
use crate::client::if_ready::if_ready;
use crate::client::url::Address;
use crate::datagram::connect_to;
use crate::engine::{Context, News, User, Visit};
use crate::link::SHORT_READ_DRAINS;
use crate::options::Cli;
use crate::printable::printable;
use crate::raw::Expectation;
use crate::tally::{Fault, Kind};
use crate::tape::Tape;
use crate::targets::Target;

/// A UDP socket. Its requests may be answered in any order, or never; each answer shows which request it belongs to. Of raw all
/// requests are alike, so an answer belongs to the oldest one.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    /// The number of its target.
    target: usize,
    tape: Rc<Tape>,
    /// Of raw: what each answer should be.
    expectation: Option<Rc<Expectation>>,
    window: usize,
    /// The variant to ask for next.
    next: usize,
    /// The requests without an answer, oldest first.
    in_flight: VecDeque<Asked>,
    /// A request that is due, and for which the server had no room: a Unix socket makes its senders wait.
    unsent: Option<Instant>,
    waits_for_room: bool,
    /// An ICMP error (port unreachable) has reported that no socket listens there, so a request is lost.
    is_refused: bool,
}

struct Asked {
    variant: usize,
    due: Instant,
    sent: Instant,
}

impl Datagrams {
    pub(crate) fn new(
        cli: &Cli,
        target: &Target,
        registry: &Registry,
        index: usize,
        tape: &Rc<Tape>,
        expectation: Option<&Rc<Expectation>>,
    ) -> Result<Self> {
        let socket = connect_to(target.address(0)).and_then(|mut socket| {
            registry.register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            Ok(socket)
        });
        Ok(Self {
            socket: socket.context(format_args!("cannot use {}", cli.urls[target.number]))?,
            target: target.number,
            tape: Rc::clone(tape),
            expectation: expectation.map(Rc::clone),
            window: cli.pipeline as usize,
            next: tape.first(index),
            in_flight: VecDeque::with_capacity(cli.pipeline as usize),
            unsent: None,
            waits_for_room: matches!(target.address(0), Address::Unix(_)),
            is_refused: false,
        })
    }

    fn hear(&mut self, cx: &mut Context) {
        // Without a request in flight no answer is expected, and a read would only return `WouldBlock`.
        while !(SHORT_READ_DRAINS && self.in_flight.is_empty()) {
            match if_ready(|| self.socket.recv(&mut cx.buffer)) {
                Ok(Some(length)) => self.settle(length, cx),
                Ok(None) => break,
                Err(error) => self.note(&error, cx),
            }
        }
    }

    fn settle(&mut self, length: usize, cx: &mut Context) {
        let answer = &cx.buffer[..length];
        if let Some(expectation) = &self.expectation {
            let Some(asked) = self.in_flight.pop_front() else { return };
            match expectation.judge(answer) {
                Ok(()) => cx.tally.answered(self.target, asked.due, cx.now),
                Err(fault) => cx.tally.failed(self.target, &fault, 1),
            }
        } else if let Some(index) = self.in_flight.iter().position(|asked| self.tape.answer(asked.variant) == answer) {
            if let Some(asked) = self.in_flight.remove(index) {
                cx.tally.answered(self.target, asked.due, cx.now);
            }
        } else if !self.tape.has_answer(answer) && self.in_flight.pop_front().is_some() {
            let text = format!("a wrong answer: {}", printable(&answer[..length.min(60)]));
            cx.tally.failed(self.target, &Fault::new(Kind::Wrong, text), 1);
        }
        // Any other answer is late, to a request that counts as lost, or a duplicate.
    }

    fn ask(&mut self, cx: &mut Context) {
        while self.has_room()
            && let Some(due) = self.unsent.take().or_else(|| cx.pace.take(cx.now))
        {
            let request = self.tape.bytes(self.tape.range(self.next, 1));
            match if_ready(|| self.socket.send(request)) {
                Ok(None) if self.waits_for_room => {
                    self.unsent = Some(due);
                    break;
                }
                // A datagram for which the socket has no room is lost, as it could be anywhere on its way.
                Ok(_) => {}
                Err(error) => self.note(&error, cx),
            }
            self.in_flight.push_back(Asked { variant: self.next, due, sent: cx.now });
            self.next = self.tape.after(self.next, 1);
        }
    }

    /// An error belongs to an earlier request, not to the call that returns it; and it is returned once (udp(7)).
    fn note(&mut self, error: &io::Error, cx: &mut Context) {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.is_refused = true,
            _ => cx.tally.failed(self.target, &Fault::new(Kind::Io, error.to_string()), 1),
        }
    }
}

impl User for Datagrams {
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit {
        if news.is_readable {
            self.hear(cx);
        }
        self.ask(cx);
        Visit::Done
    }

    fn tick(&mut self, cx: &mut Context) -> Visit {
        while self.in_flight.front().is_some_and(|asked| cx.now.duration_since(asked.sent) > cx.timeout) {
            self.in_flight.pop_front();
            let fault = match std::mem::take(&mut self.is_refused) {
                true => Fault::new(Kind::Refused, "no socket listens there"),
                false => Fault::new(Kind::Lost, "no answer came in time"),
            };
            cx.tally.failed(self.target, &fault, 1);
        }
        Visit::Done
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < self.window
    }

    fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }
}
