use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll, Token};

use crate::Cli;
use crate::client::connect::{connect, connect_to};
use crate::client::failure::{Context, Failure, Result, tell};
use crate::client::output::Output;
use crate::client::wait::{after, is_past, wait};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::printable::printable;
use crate::question::{Questions, Reply};

pub(crate) fn run(cli: &Cli, mut questions: Questions) -> Result<()> {
    let output = Output::open()?;
    let mut poll = Poll::new().context("cannot poll")?;
    let mut events = Events::with_capacity(256);
    // The other connections go to the address that accepted the first one: the name is looked up once.
    let (first, address) = connect(&mut poll, Token(0), &cli.url, cli.timeout)?;
    let mut users = vec![User::new(cli, first)];
    for index in 1..cli.users as usize {
        let stream = connect_to(&mut poll, Token(index), &address, cli.timeout);
        users.push(User::new(cli, stream.context(format_args!("cannot connect to {}", cli.url))?));
    }
    loop {
        // Every user gets a turn, whatever the events were for: a turn without work costs one read, and can't miss
        // anything.
        for user in users.iter_mut().filter(|user| !user.is_done()) {
            user.turn(&mut questions, &output)?;
        }
        if users.iter().all(User::is_done) {
            return Ok(());
        }
        let deadline = users.iter().filter_map(User::wakes_at).min();
        wait(&mut poll, &mut events, deadline).context("cannot wait")?;
    }
}

struct User {
    stream: TcpStream,
    outbox: Outbox,
    inbox: Inbox,
    pace: Pace,
    timeout: Duration,
    /// The requests without an answer, oldest first: over TCP the answers come in order.
    waiting: VecDeque<Waiting>,
    closed: bool,
}

struct Waiting {
    sum: i128,
    deadline: Option<Instant>,
}

impl User {
    fn new(cli: &Cli, stream: TcpStream) -> Self {
        Self {
            stream,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            pace: Pace::new(cli),
            timeout: cli.timeout,
            waiting: VecDeque::new(),
            closed: false,
        }
    }

    /// Does all that can be done now. An answer may make room for the next request, so the loop ends only when nothing
    /// more comes.
    fn turn(&mut self, questions: &mut Questions, output: &Output) -> Result<()> {
        loop {
            self.ask(questions)?;
            self.outbox.flush(&mut self.stream).context("cannot write to the server")?;
            match self.inbox.fill(&mut self.stream).context("cannot read from the server")? {
                Some(0) => return self.close(),
                Some(_) => self.hear(output)?,
                None if self.is_late() => return self.no_answer("the server did not answer in time"),
                None => return Ok(()),
            }
        }
    }

    fn ask(&mut self, questions: &mut Questions) -> Result<()> {
        while self.pace.may_ask() {
            let question = questions.next()?;
            self.outbox.push(question.request.as_bytes());
            self.waiting.push_back(Waiting { sum: question.sum, deadline: after(self.timeout) });
            questions.advance();
            self.pace.asked();
        }
        Ok(())
    }

    fn hear(&mut self, output: &Output) -> Result<()> {
        while let Some(line) = self.inbox.take_line() {
            let Some(Waiting { sum, .. }) = self.waiting.pop_front() else {
                return Failure::because(format!("an answer without a request: {}", printable(&line)));
            };
            match Reply::parse(&line) {
                Reply::Sum(answer) if answer == sum => output.write(format!("{sum}\n").as_bytes())?,
                Reply::Sum(answer) => return Failure::because(format!("the answer is {answer}, but should be {sum}")),
                Reply::Error(text) => {
                    return Failure::because(format!("error from the server: {}", printable(text.as_bytes())));
                }
                Reply::Unknown => return Failure::because(format!("the answer is not a sum: {}", printable(&line))),
            }
            self.pace.settled();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            return self.no_answer("the server closed without an answer");
        }
        if !self.is_done() && !self.pace.has_no_end() {
            return Failure::because("the server closed before all requests were sent");
        }
        tell("the server has closed the connection");
        self.closed = true;
        Ok(())
    }

    /// Fails for this reason, with the incomplete answer if there is one.
    fn no_answer(&self, reason: &str) -> Result<()> {
        match self.inbox.bytes() {
            [] => Failure::because(reason),
            bytes => Failure::because(format!("{reason}; it sent only part of a line: {}", printable(bytes))),
        }
    }

    fn is_done(&self) -> bool {
        self.closed || self.pace.is_done()
    }

    fn is_late(&self) -> bool {
        self.waiting.front().is_some_and(|oldest| is_past(oldest.deadline))
    }

    fn wakes_at(&self) -> Option<Instant> {
        if self.is_done() {
            return None;
        }
        let oldest = self.waiting.front().and_then(|oldest| oldest.deadline);
        self.pace.next_request().into_iter().chain(oldest).min()
    }
}
