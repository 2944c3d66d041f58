use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};
use socket2::SockRef;

use crate::announce::Announce;
use crate::backoff::Backoff;
use crate::client::connect::{begin, connect_to, is_connected};
use crate::client::failure::{self, Context as _};
use crate::engine::{Context, Engine};
use crate::options::Cli;
use crate::tally::Fault;
use crate::targets::{Target, Targets};

/// Whether a read that fills only a part of the buffer has emptied the socket, so that an event will report more input.
/// True where the kernel reports edges, unless an event reported something other than input.
pub(crate) const SHORT_READ_DRAINS: bool = cfg!(not(mio_unsupported_force_poll_poll));

/// A connection that can be made again and again without waiting for it.
pub(crate) struct Link {
    token: Token,
    target: Target,
    state: State,
    /// What each new connection announces.
    announce: Option<Announce>,
    /// Of a connection that serves many requests: it is opened again without waiting for the next one.
    stays: bool,
    /// The loss of the connection is an error, even if no request waits.
    is_missed: bool,
    backoff: Backoff,
    /// The server has answered since the last pause.
    has_answered: bool,
    /// Attempts that have failed: the next one goes to the next address.
    attempts: usize,
    /// A connection has been lost, and none has been made since.
    is_lost: bool,
}

enum State {
    Closed,
    /// Closed, and not opened before the run has lasted so long.
    Waiting(Duration),
    /// Closed, and not opened again before this time.
    Resting(Instant),
    Connecting(TcpStream, Instant),
    Open(TcpStream),
}

impl Link {
    /// The links of all users. Connects them before the clock starts, except those of users that connect for each request and those
    /// that are opened later. With `--reconnect` the run opens them like those that it opens again.
    pub(crate) fn all(cli: &Cli, engine: &mut Engine, targets: &Targets) -> failure::Result<Vec<Self>> {
        let link = |index| {
            let target = targets.of(index);
            if cli.connects_each() || cli.reconnect || !cli.opens_after(index).is_zero() {
                Ok(Self::closed(cli, index, target))
            } else {
                Self::made(cli, engine, index, target)
            }
        };
        (0..cli.connections as usize).map(link).collect()
    }

    /// A link that the run opens.
    pub(crate) fn closed(cli: &Cli, index: usize, target: &Target) -> Self {
        Self::new(cli, index, target, State::Waiting(cli.opens_after(index)))
    }

    /// A link that is connected, and has sent what it announces.
    pub(crate) fn made(cli: &Cli, engine: &mut Engine, index: usize, target: &Target) -> failure::Result<Self> {
        let connected =
            connect_to(engine.poll(), Token(index), target.address(0), cli.timeout()).and_then(|mut stream| {
                cli.proxy_protocol.map_or(Ok(()), |announce| announce.send(&mut stream))?;
                Ok(stream)
            });
        let stream = connected.context(format_args!("cannot connect to {}", cli.urls[target.number]))?;
        Ok(Self::new(cli, index, target, State::Open(stream)))
    }

    fn new(cli: &Cli, index: usize, target: &Target, state: State) -> Self {
        let backoff = if cli.reconnect { Backoff::growing(cli.seed, index) } else { Backoff::Constant };
        Self {
            token: Token(index),
            target: target.clone(),
            state,
            announce: cli.proxy_protocol,
            stays: cli.bad.is_none() && !cli.connects_each(),
            is_missed: cli.reconnect,
            backoff,
            has_answered: false,
            attempts: 0,
            is_lost: false,
        }
    }

    /// Returns the number of its target.
    pub(crate) fn target(&self) -> usize {
        self.target.number
    }

    /// Begins to connect. An event reports when to call [`Link::advance`]. After a fault [`Link::rest`] is due.
    pub(crate) fn connect(&mut self, cx: &Context) -> Result<(), Fault> {
        let connecting = begin(self.target.address(self.attempts)).and_then(|mut stream| {
            cx.registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        self.state = State::Connecting(connecting.map_err(|error| Fault::connect(&error))?, cx.now);
        Ok(())
    }

    /// Checks whether a pending connection has succeeded or failed. Returns whether it has just succeeded. After a fault
    /// [`Link::rest`] is due.
    pub(crate) fn advance(&mut self, cx: &mut Context) -> Result<bool, Fault> {
        let State::Connecting(stream, since) = &mut self.state else { return Ok(false) };
        let connected = match is_connected(stream) {
            Ok(false) if cx.now.duration_since(*since) > cx.timeout => Err(io::ErrorKind::TimedOut.into()),
            Ok(true) => self.announce.map_or(Ok(true), |announce| announce.send(stream).map(|()| true)),
            outcome => outcome,
        };
        if !connected.map_err(|error| Fault::connect(&error))? {
            return Ok(false);
        }
        if let State::Connecting(stream, _) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Open(stream);
        }
        if std::mem::take(&mut self.is_lost) && self.stays {
            cx.tally.reconnected(self.target());
        }
        Ok(true)
    }

    pub(crate) fn stream(&mut self) -> Option<&mut TcpStream> {
        match &mut self.state {
            State::Open(stream) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Does what time requires: gives up a request that has waited too long, connects again if the connection stays. Returns
    /// whether a turn is due, since no event reports that connecting takes too long.
    pub(crate) fn tick(&mut self, waits_since: Option<Instant>, cx: &Context) -> Result<bool, Fault> {
        self.wake(cx);
        if waits_since.is_some_and(|since| cx.now.duration_since(since) > cx.timeout) {
            return Err(Fault::timeout());
        }
        if self.is_free() && self.stays {
            self.connect(cx)?;
        }
        Ok(self.is_connecting())
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting(..))
    }

    /// Whether the link is closed, and may be opened.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Ends the wait for the first connection, or the pause after an error, once it has expired.
    pub(crate) fn wake(&mut self, cx: &Context) {
        let has_expired = match self.state {
            State::Waiting(after) => after <= cx.pace.elapsed(cx.now),
            State::Resting(until) => until <= cx.now,
            _ => false,
        };
        if has_expired {
            self.state = State::Closed;
        }
    }

    /// Whether the loss of the connection is an error, even if no request waits.
    pub(crate) fn is_missed(&self) -> bool {
        self.is_missed
    }

    /// Closes, and pauses before the next attempt: the connection is lost, or could not be made.
    pub(crate) fn rest(&mut self, now: Instant) {
        if self.is_open() {
            self.is_lost = true;
        } else {
            self.attempts += 1;
        }
        if std::mem::take(&mut self.has_answered) {
            self.backoff.reset();
        }
        self.state = State::Resting(now + self.backoff.pause());
    }

    /// Notes that the server has answered, so that the next pause is short.
    pub(crate) fn note_answer(&mut self) {
        self.has_answered = true;
    }

    /// Makes every later end of the connection a reset, even by SIGKILL: a FIN would end the contents, and the server
    /// would take half a file for a whole one.
    pub(crate) fn reset_unless_ended(&self) -> io::Result<()> {
        self.linger(Some(Duration::ZERO))
    }

    /// Sends FIN: the kernel has all the contents.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.linger(None)?;
        self.stream().map_or(Ok(()), |stream| stream.shutdown(Shutdown::Write))
    }

    fn linger(&self, span: Option<Duration>) -> io::Result<()> {
        match &self.state {
            State::Open(stream) => SockRef::from(stream).set_linger(span),
            _ => Ok(()),
        }
    }

    /// Closes with a reset, which leaves no port in TIME-WAIT.
    pub(crate) fn reset(&mut self) {
        // If it fails the connection has ended already.
        let _ = self.linger(Some(Duration::ZERO));
        self.state = State::Closed;
    }
}
