use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::Cli;
use crate::client::failure::{Context, Failure, Result, tell};
use crate::client::if_ready::if_ready;
use crate::client::output::Output;
use crate::client::wait::{after, is_past, wait};
use crate::datagram::{connect_to, find};
use crate::pace::Pace;
use crate::printable::printable;
use crate::question::{Questions, Reply};

/// Longer than any answer. The kernel truncates longer datagrams, which are not answers anyway.
const DATAGRAM_BYTES_MAX: usize = 2048;

pub(crate) fn run(cli: &Cli, questions: Questions) -> Result<()> {
    let mut poll = Poll::new().context("cannot poll")?;
    let mut events = Events::with_capacity(16);
    let address = find(&cli.url, Questions::new(0, 0).next()?.request.as_bytes(), cli.timeout)?;
    let mut socket = connect_to(&address).context(format_args!("cannot use {}", cli.url))?;
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, Token(0), both).context("cannot watch the socket")?;

    let mut client = Client {
        socket,
        output: Output::open()?,
        questions,
        users: (0..cli.users).map(|_| Pace::new(cli)).collect(),
        timeout: cli.timeout,
        waiting: HashMap::new(),
        deadlines: VecDeque::new(),
        is_full: false,
        asked: 0,
        lost: 0,
        reason: None,
        strays: 0,
        first_stray: String::new(),
    };
    while !client.turn()? {
        wait(&mut poll, &mut events, client.wakes_at()).context("cannot wait")?;
    }
    client.report()
}

struct Client {
    socket: UdpSocket,
    output: Output,
    questions: Questions,
    users: Vec<Pace>,
    timeout: Duration,
    /// The users that wait, by the sum that each expects. No two requests have the same sum.
    waiting: HashMap<i128, usize>,
    /// The requests sent, oldest first. Some of them have ended.
    deadlines: VecDeque<(Option<Instant>, i128)>,
    /// The last write returned `WouldBlock`.
    is_full: bool,
    asked: u64,
    lost: u64,
    /// The last error that the network reported.
    reason: Option<io::Error>,
    /// The number of datagrams that ended no request, and the first of them.
    strays: u64,
    first_stray: String,
}

impl Client {
    /// Does all that can be done now. Returns whether all is done.
    fn turn(&mut self) -> Result<bool> {
        loop {
            self.ask()?;
            let heard = self.hear()?;
            let lost = self.give_up_late();
            if !heard && !lost {
                return Ok(self.users.iter().all(Pace::is_done));
            }
        }
    }

    fn ask(&mut self) -> Result<()> {
        self.is_full = false;
        for index in 0..self.users.len() {
            while self.users[index].may_ask() {
                if !self.ask_for(index)? {
                    self.is_full = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Sends a request for a user, whole: a datagram is never split. Returns false if the socket has no room.
    ///
    /// An error may concern an earlier datagram: the network reports a failure late, and the socket returns it once, at
    /// the next call (udp(7)). An error of the second try concerns this datagram.
    fn ask_for(&mut self, user: usize) -> Result<bool> {
        let question = self.questions.next()?;
        let mut sent = if_ready(|| self.socket.send(question.request.as_bytes()));
        if let Err(error) = sent {
            self.give_up_oldest(error);
            sent = if_ready(|| self.socket.send(question.request.as_bytes()));
        }
        if let Ok(None) = sent {
            return Ok(false);
        }
        self.questions.advance();
        self.users[user].asked();
        self.asked += 1;
        self.waiting.insert(question.sum, user);
        self.deadlines.push_back((after(self.timeout), question.sum));
        if let Err(error) = sent {
            self.reason = Some(error);
            self.lost += u64::from(self.settle(question.sum));
        }
        Ok(true)
    }

    /// Reads all datagrams that have arrived, and returns whether any of them ended a request.
    fn hear(&mut self) -> Result<bool> {
        let mut ended = false;
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let length = match if_ready(|| self.socket.recv(&mut datagram)) {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(ended),
                Err(error) => {
                    ended |= self.give_up_oldest(error);
                    continue;
                }
            };
            let datagram = &datagram[..length];
            match Reply::parse(datagram) {
                Reply::Sum(sum) if self.settle(sum) => {
                    self.output.write(format!("{sum}\n").as_bytes())?;
                    ended = true;
                }
                Reply::Error(text) => {
                    return Failure::because(format!("error from the server: {}", printable(text.as_bytes())));
                }
                Reply::Sum(_) | Reply::Unknown => {
                    if self.strays == 0 {
                        self.first_stray = printable(datagram);
                    }
                    self.strays += 1;
                }
            }
        }
    }

    /// Gives up a request that the network could not deliver. The error does not name the request; most likely it is
    /// the oldest.
    fn give_up_oldest(&mut self, error: io::Error) -> bool {
        self.reason = Some(error);
        while let Some((_, sum)) = self.deadlines.pop_front() {
            if self.settle(sum) {
                self.lost += 1;
                return true;
            }
        }
        false
    }

    /// Ends the request for this sum. Returns false if there is none.
    fn settle(&mut self, sum: i128) -> bool {
        let Some(user) = self.waiting.remove(&sum) else { return false };
        self.users[user].settled();
        true
    }

    /// Returns whether a request was given up.
    fn give_up_late(&mut self) -> bool {
        let lost_before = self.lost;
        while let Some(&(deadline, sum)) = self.deadlines.front()
            && (is_past(deadline) || !self.waiting.contains_key(&sum))
        {
            self.deadlines.pop_front();
            self.lost += u64::from(self.settle(sum));
        }
        self.lost > lost_before
    }

    fn wakes_at(&self) -> Option<Instant> {
        let oldest = self.deadlines.front().and_then(|&(deadline, _)| deadline);
        let requests = self.users.iter().filter(|_| !self.is_full).filter_map(Pace::next_request);
        requests.chain(oldest).min()
    }

    fn report(&self) -> Result<()> {
        if self.strays > 0 {
            let datagrams = if self.strays == 1 { "datagram" } else { "datagrams" };
            tell(format_args!(
                "{} {datagrams} without a request, late or repeated; the first: {}",
                self.strays, self.first_stray
            ));
        }
        if self.lost == 0 {
            return Ok(());
        }
        let lost = format!("answers lost: {} of {}", self.lost, self.asked);
        Failure::because(match &self.reason {
            Some(reason) => format!("{lost}; the last network error: {reason}"),
            None => lost,
        })
    }
}
