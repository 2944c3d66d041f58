use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::announce::Announce;
use crate::client::connect::{begin, connect_to, is_connected};
use crate::client::failure::{self, Context as _};
use crate::engine::{Context, Engine};
use crate::options::Cli;
use crate::tally::Fault;
use crate::targets::{Target, Targets};

/// The delay before the next connection after one that failed: without a server, retrying must not use a full core.
const REST: Duration = Duration::from_millis(10);

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
}

enum State {
    Closed,
    /// Closed, and not opened again before this time.
    Resting(Instant),
    Connecting(TcpStream, Instant),
    Open(TcpStream),
}

impl Link {
    /// The links of all users. Connects them before the clock starts, except those of users that connect for each request.
    pub(crate) fn all(cli: &Cli, engine: &mut Engine, targets: &Targets) -> failure::Result<Vec<Self>> {
        let link = |index| {
            let target = targets.of(index);
            if cli.connects_each() {
                Ok(Self::closed(cli, index, target))
            } else {
                Self::made(cli, engine, index, target)
            }
        };
        (0..cli.connections as usize).map(link).collect()
    }

    pub(crate) fn closed(cli: &Cli, index: usize, target: &Target) -> Self {
        Self::new(cli, index, target, State::Closed)
    }

    /// A link that is connected, and has sent what it announces.
    pub(crate) fn made(cli: &Cli, engine: &mut Engine, index: usize, target: &Target) -> failure::Result<Self> {
        let connected =
            connect_to(engine.poll(), Token(index), &target.address, cli.timeout()).and_then(|mut stream| {
                cli.proxy_protocol.map_or(Ok(()), |announce| announce.send(&mut stream))?;
                Ok(stream)
            });
        let stream = connected.context(format_args!("cannot connect to {}", cli.urls[target.number]))?;
        Ok(Self::new(cli, index, target, State::Open(stream)))
    }

    fn new(cli: &Cli, index: usize, target: &Target, state: State) -> Self {
        Self { token: Token(index), target: target.clone(), state, announce: cli.proxy_protocol }
    }

    /// Returns the number of its target.
    pub(crate) fn target(&self) -> usize {
        self.target.number
    }

    /// Begins to connect. An event reports when to call [`Link::advance`].
    pub(crate) fn connect(&mut self, registry: &Registry, now: Instant) -> io::Result<()> {
        let connecting = begin(&self.target.address).and_then(|mut stream| {
            registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match connecting {
            Ok(stream) => {
                self.state = State::Connecting(stream, now);
                Ok(())
            }
            Err(error) => {
                self.rest(now);
                Err(error)
            }
        }
    }

    /// Checks whether a pending connection has succeeded or failed. Returns whether it has just succeeded.
    pub(crate) fn advance(&mut self, now: Instant, timeout: Duration) -> io::Result<bool> {
        let State::Connecting(stream, since) = &self.state else { return Ok(false) };
        let outcome = match is_connected(stream) {
            Ok(false) if now.duration_since(*since) > timeout => Err(io::ErrorKind::TimedOut.into()),
            outcome => outcome,
        };
        let announce = self.announce;
        self.state = match (outcome, std::mem::replace(&mut self.state, State::Closed)) {
            (Ok(true), State::Connecting(mut stream, _)) => {
                announce.map_or(Ok(()), |announce| announce.send(&mut stream))?;
                State::Open(stream)
            }
            (Ok(_), state) => {
                self.state = state;
                return Ok(false);
            }
            (Err(error), _) => {
                self.rest(now);
                return Err(error);
            }
        };
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

    /// Does what time requires: gives up a request that has waited too long, connects again if the connection `stays`.
    /// Returns whether a turn is due, since no event reports that connecting takes too long.
    pub(crate) fn tick(&mut self, waits_since: Option<Instant>, stays: bool, cx: &Context) -> Result<bool, Fault> {
        self.wake(cx.now);
        if waits_since.is_some_and(|since| cx.now.duration_since(since) > cx.timeout) {
            return Err(Fault::timeout());
        }
        if self.is_free() && stays {
            self.connect(&cx.registry, cx.now).map_err(|error| Fault::connect(&error))?;
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

    /// Ends the pause after an error once it has expired.
    pub(crate) fn wake(&mut self, now: Instant) {
        if matches!(self.state, State::Resting(until) if until <= now) {
            self.state = State::Closed;
        }
    }

    /// Closes, and pauses.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.state = State::Resting(now + REST);
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
