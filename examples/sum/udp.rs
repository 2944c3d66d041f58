use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::Cli;
use crate::client::attempt::attempt;
use crate::client::failure::{Context, Failure, Result, tell};
use crate::client::output::Output;
use crate::client::url::Url;
use crate::client::wait::{after, is_past, wait};
use crate::datagram::connect_to;
use crate::pace::Pace;
use crate::printable::printable;
use crate::question::{Questions, Reply};

/// Longer than any answer. What is longer is cut off by the kernel, and then is no answer either.
const DATAGRAM_BYTES_MAX: usize = 2048;

pub(crate) fn run(cli: &Cli, questions: Questions) -> Result<()> {
    let mut poll = Poll::new().context("cannot poll")?;
    let mut events = Events::with_capacity(16);
    let mut socket = connect(&cli.url)?;
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
        strays: 0,
    };
    while !client.turn()? {
        wait(&mut poll, &mut events, client.wakes_at()).context("cannot wait")?;
    }
    client.report()
}

/// A connected UDP socket gets datagrams of this one server only, and is told when nobody listens there.
fn connect(url: &Url) -> Result<UdpSocket> {
    let mut failures = Vec::new();
    for address in url.addresses()? {
        match connect_to(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    Failure::because(format!("cannot connect to {url}: {}", failures.join("; ")))
}

struct Client {
    socket: UdpSocket,
    output: Output,
    questions: Questions,
    users: Vec<Pace>,
    timeout: Duration,
    /// The users that wait, by the sum that each waits for. No two requests have the same sum.
    waiting: HashMap<i128, usize>,
    /// The requests sent, oldest first. Some of them are answered.
    deadlines: VecDeque<(Option<Instant>, i128)>,
    /// The socket took no more when it was last written to.
    is_full: bool,
    asked: u64,
    lost: u64,
    strays: u64,
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
    fn ask_for(&mut self, user: usize) -> Result<bool> {
        let question = self.questions.next()?;
        let sent = attempt(|| self.socket.send(question.request.as_bytes())).context("cannot write to the server")?;
        if sent.is_none() {
            return Ok(false);
        }
        self.questions.advance();
        self.users[user].asked();
        self.asked += 1;
        self.waiting.insert(question.sum, user);
        self.deadlines.push_back((after(self.timeout), question.sum));
        Ok(true)
    }

    /// Reads until nothing more has come, and returns whether a request was answered.
    fn hear(&mut self) -> Result<bool> {
        let mut answered = false;
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        while let Some(length) = attempt(|| self.socket.recv(&mut datagram)).context("cannot read from the server")? {
            match Reply::parse(&datagram[..length]) {
                Reply::Sum(sum) if self.settle(sum) => {
                    self.output.write(format!("{sum}\n").as_bytes())?;
                    answered = true;
                }
                Reply::Error(text) => {
                    return Failure::because(format!("the server says: {}", printable(text.as_bytes())));
                }
                Reply::Sum(_) | Reply::Unknown => self.strays += 1,
            }
        }
        Ok(answered)
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
            tell(format_args!("{} datagrams were no answer to a request, or came late or twice", self.strays));
        }
        if self.lost > 0 {
            return Failure::because(format!("{} of {} answers were lost", self.lost, self.asked));
        }
        Ok(())
    }
}
