use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Registry, Token};

use crate::client::failure::{Context as _, Result};
use crate::interrupt::Interrupt;
use crate::options::Cli;
use crate::pace::{Pace, Stop};
use crate::progress::Progress;
use crate::report::{Processor, Report};
use crate::tally::Tally;
use crate::timer::Timer;

/// How often timeouts are checked and connections opened again.
const TICK: Duration = Duration::from_millis(10);
const TIMER: Token = Token(usize::MAX);
/// The size of a read; large enough that two are hardly ever needed.
const BUFFER_BYTES: usize = 64 * 1024;

/// What every user needs in its turn.
pub(crate) struct Context {
    pub(crate) registry: Registry,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    /// Read once for each batch of events.
    pub(crate) now: Instant,
    pub(crate) buffer: Vec<u8>,
    pub(crate) timeout: Duration,
    /// Users that can send because others have moved on.
    pub(crate) woken: VecDeque<usize>,
}

/// A user: a connection, or a UDP socket.
pub(crate) trait User {
    /// Does all that can be done now: reads answers, sends the requests that are due.
    fn turn(&mut self, news: News, cx: &mut Context) -> Visit;

    /// Gives up requests that have waited too long, and connects again.
    fn tick(&mut self, cx: &mut Context) -> Visit;

    /// Whether it could send a request now.
    fn has_room(&self) -> bool;

    /// Whether it waits for an answer.
    fn is_waiting(&self) -> bool;
}

/// Why a user has a turn.
#[derive(Clone, Copy, Default)]
pub(crate) struct News {
    pub(crate) is_readable: bool,
    /// An event other than input, such as a FIN: a short read then does not prove that nothing is left.
    pub(crate) is_in_doubt: bool,
}

/// How a turn ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Visit {
    /// No work is left until the next event.
    Done,
    /// It had to stop so that others get their turn.
    Again,
}

impl News {
    fn of(event: &Event) -> Self {
        let is_in_doubt = event.is_read_closed() || event.is_write_closed() || event.is_error();
        Self { is_readable: event.is_readable() || is_in_doubt, is_in_doubt }
    }
}

struct Seat<U> {
    user: U,
    /// It is in the queue of users that could send.
    is_idle: bool,
    /// It is in the queue of users that have more work.
    is_again: bool,
}

/// The loop.
pub(crate) struct Engine {
    poll: Poll,
    timer: Timer,
}

impl Engine {
    pub(crate) fn new() -> Result<Self> {
        let poll = Poll::new().context("cannot poll")?;
        let timer = Timer::new(&poll, TIMER).context("cannot make a timer")?;
        Ok(Self { poll, timer })
    }

    pub(crate) fn poll(&mut self) -> &mut Poll {
        &mut self.poll
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Lets the users send until the time has ended, and then waits for the last answers.
    pub(crate) fn run<U: User>(mut self, cli: &Cli, users: Vec<U>) -> Result<Report> {
        let start = Instant::now();
        let cx = Context {
            registry: self.poll.registry().try_clone().context("cannot poll")?,
            pace: Pace::new(cli, start),
            tally: Tally::new(start + cli.warmup(), cli.urls.len())?,
            now: start,
            buffer: vec![0; BUFFER_BYTES],
            timeout: cli.timeout(),
            woken: VecDeque::new(),
        };
        let mut crowd = Crowd {
            cx,
            idle: (0..users.len()).collect(),
            seats: users.into_iter().map(|user| Seat { user, is_idle: true, is_again: false }).collect(),
            again: VecDeque::new(),
        };
        let interrupt = Interrupt::watch()?;
        let mut progress = Progress::new(cli)?;
        let (mut processor, mut busy) = (None, None);
        let mut events = Events::with_capacity(1024);
        let mut next_tick = start;
        while !crowd.has_ended() {
            let until = crowd.wakes_at(next_tick);
            self.timer.wait(&mut self.poll, &mut events, crowd.cx.now, until).context("cannot wait")?;
            crowd.cx.now = Instant::now();
            if let Some(signal) = interrupt.signal() {
                crowd.cx.pace.stop(crowd.cx.now, Stop::Signal(signal));
            }
            crowd.turn(&events);
            if crowd.cx.now >= next_tick {
                crowd.tick();
                next_tick = crowd.cx.now + TICK;
                progress.show(crowd.cx.now, &crowd.cx.tally);
            }
            crowd.cx.tally.note_time(crowd.cx.now);
            if processor.is_none() && crowd.cx.now >= crowd.cx.tally.start {
                processor = Some(Processor::start()?);
            }
            // After the end it may only wait for lost answers.
            if busy.is_none() && crowd.cx.now >= crowd.cx.pace.end() {
                busy = Some(processor.as_ref().map_or(Ok(0.0), Processor::busy)?);
            }
        }
        drop(progress);
        Ok(Report::new(cli, crowd.cx.tally, &crowd.cx.pace, busy.unwrap_or(0.0)))
    }
}

/// All users, and their order.
struct Crowd<U> {
    cx: Context,
    seats: Vec<Seat<U>>,
    /// Users that could send, the one that has waited longest first.
    idle: VecDeque<usize>,
    /// Users that had to stop in the middle of their work.
    again: VecDeque<usize>,
}

impl<U: User> Crowd<U> {
    fn turn(&mut self, events: &Events) {
        for event in events.iter().filter(|event| event.token() != TIMER) {
            self.visit(event.token().0, News::of(event));
        }
        for _ in 0..self.cx.woken.len() {
            if let Some(index) = self.cx.woken.pop_front() {
                self.visit(index, News::default());
            }
        }
        for _ in 0..self.again.len() {
            if let Some(index) = self.again.pop_front() {
                self.seats[index].is_again = false;
                self.visit(index, News { is_readable: true, is_in_doubt: true });
            }
        }
        for _ in 0..self.idle.len() {
            if !self.cx.pace.is_due(self.cx.now) {
                break;
            }
            if let Some(index) = self.idle.pop_front() {
                self.seats[index].is_idle = false;
                if self.seats[index].user.has_room() {
                    self.visit(index, News::default());
                }
            }
        }
        self.cx.tally.settle();
    }

    fn visit(&mut self, index: usize, news: News) {
        let visit = self.seats[index].user.turn(news, &mut self.cx);
        self.seat(index, visit);
    }

    fn tick(&mut self) {
        for index in 0..self.seats.len() {
            let visit = self.seats[index].user.tick(&mut self.cx);
            self.seat(index, visit);
        }
        self.cx.tally.settle();
    }

    /// Notes after a visit whether and why the user needs another one.
    fn seat(&mut self, index: usize, visit: Visit) {
        let seat = &mut self.seats[index];
        if visit == Visit::Again && !seat.is_again {
            seat.is_again = true;
            self.again.push_back(index);
        }
        if seat.user.has_room() && !seat.is_idle {
            seat.is_idle = true;
            self.idle.push_back(index);
        }
    }

    fn wakes_at(&self, next_tick: Instant) -> Instant {
        if !self.again.is_empty() || !self.cx.woken.is_empty() {
            return self.cx.now;
        }
        let due = self.cx.pace.next_due().filter(|_| !self.idle.is_empty());
        due.into_iter().chain([next_tick]).min().unwrap_or(next_tick)
    }

    /// No user will send, and none waits: those without an answer have given up by now.
    fn has_ended(&self) -> bool {
        self.cx.pace.has_ended(self.cx.now) && !self.seats.iter().any(|seat| seat.user.is_waiting())
    }
}
