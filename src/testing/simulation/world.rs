//! The world around the server: who is in it, what happens in it, and the course of one simulation.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::chaos::Chaos;
use super::clients::datagram::DatagramClient;
use super::clients::{Client, Service, State, honest, hostile};
use super::disk::StormyDisk;
use super::kernel::SimulatedKernel;
use super::network::{Happening, Network, ServerEnd};
use super::random::Random;
use super::settings::Settings;
use super::tale::Teller;
use super::trace::Trace;
use super::{Failure, Report, checks};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::kernel::{Command, Readiness, Token};
use crate::protocol::Job;
use crate::reactor::{Reactor, Stopped, Turn};
use crate::registry::Registry;
use crate::stats::Tally;
use crate::testing::MemoryDisk;
use crate::xray::{self, Told};

/// Turns of the loop in which no time passes: more would be a loop that spins.
const TURNS_IN_NO_TIME_MAX: u32 = 5000;

/// Turns of one simulation.
const TURNS_MAX: u64 = 300_000;

/// All but the server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) network: Network,
    pub(super) settings: Settings,
    pub(super) clients: Vec<Client>,
    pub(super) datagram_clients: Vec<DatagramClient>,
    random: Random,
    disk: StormyDisk,
    /// What workers are busy with.
    pub(super) jobs: BTreeMap<u64, (Token, Job)>,
    pub(super) jobs_due: VecDeque<u64>,
    pub(super) jobs_submitted: u64,
    pub(super) commands: Vec<Command>,
    /// The server has been told to stop, and there will be no other.
    stopping: bool,
    failure: Option<String>,
}

/// The wall clock at a time of the simulation.
pub(super) fn wall_clock_at(now: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000) + now
}

impl World {
    fn new(random: &mut Random, chaos: Chaos, settings: Settings, disk: StormyDisk, trace: Trace) -> Self {
        let honest_count = random.within(1..12);
        // At one door a crowd finds limits that it does not find at six.
        let crowded = random.strikes(300).then(|| random.pick(&Service::ALL));
        let clients: Vec<_> = (0..honest_count + random.within(0..12))
            .map(|number| {
                let service = crowded.unwrap_or_else(|| random.pick(&Service::ALL));
                let plan = if number < honest_count {
                    honest::plan(service, number, settings.existing, random)
                } else {
                    hostile::plan(service, number, settings.existing, random)
                };
                Client::new(number, plan)
            })
            .collect();
        for upload in clients.iter().flat_map(|client| &client.plan.uploads) {
            if let Some(contents) = &upload.before {
                disk.memory.insert(&upload.name, contents);
            }
        }
        let honest_datagrams = random.within(0..4);
        let datagram_clients: Vec<_> = (0..honest_datagrams + random.within(0..3))
            .map(|number| {
                if number < honest_datagrams {
                    DatagramClient::honest(number, random)
                } else {
                    DatagramClient::hostile(number, random)
                }
            })
            .collect();
        let everybody = clients.len() + datagram_clients.len();
        let mut network = Network::new(chaos, random.split(), trace, everybody);
        let until = network.chaos.until.as_millis() as u64;
        for number in 0..everybody {
            let latest = random.pick(&[until, until, 10, 0]);
            let start = random.millis(latest);
            network.wake(number, start);
        }
        for (at, command) in network.chaos.stop_at.into_iter().chain(network.chaos.stop_again_at) {
            network.agenda.add(at, Happening::Command(command));
        }
        if !network.chaos.disk_full.is_empty() {
            network.agenda.add(network.chaos.disk_full.start, Happening::DiskFull(true));
            network.agenda.add(network.chaos.disk_full.end, Happening::DiskFull(false));
        }
        network.agenda.add(network.chaos.until, Happening::Calm);
        network.agenda.add(Duration::from_secs(1), Happening::Command(Command::Report));
        Self {
            network,
            settings,
            clients,
            datagram_clients,
            random: random.split(),
            disk,
            jobs: BTreeMap::new(),
            jobs_due: VecDeque::new(),
            jobs_submitted: 0,
            commands: Vec::new(),
            stopping: false,
            failure: None,
        }
    }

    pub(super) fn wall_clock(&self) -> SystemTime {
        wall_clock_at(self.network.now)
    }

    pub(super) fn disk_memory(&self) -> MemoryDisk {
        self.disk.memory.clone()
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    /// Whether the loop need not go on waiting: something failed, the power is lost, or all is done.
    pub(super) fn is_over(&self) -> bool {
        let over = self.failure.is_some() || self.network.dark || self.network.now > self.patience();
        over || (!self.stopping && self.is_settled())
    }

    /// When everybody must be done: hostile clients may have to be waited for, one after the other.
    fn patience(&self) -> Duration {
        self.network.chaos.until + hostile::PATIENCE * (2 + self.clients.len() as u32)
    }

    /// The faults are over, everybody is done, and the server has let go of them.
    fn is_settled(&self) -> bool {
        self.network.now >= self.network.chaos.until
            && self.jobs.is_empty()
            && self.clients.iter().all(|client| client.state != State::Busy || is_given_up(client))
            && self.datagram_clients.iter().all(|client| client.done)
            && self.network.links.iter().all(|link| link.server == ServerEnd::Closed)
    }

    /// The connection of `token` was hit by what is not its client's fault.
    pub(super) fn hit(&mut self, token: Token, what: &'static str) {
        if let Some(link) = self.network.links.iter().rposition(|link| link.token == Some(token)) {
            self.network.hit(link, what);
        }
    }

    /// Something may happen in the middle of a turn.
    pub(super) fn preempt(&mut self) {
        if self.network.strikes(self.network.chaos.preemptions) {
            self.network.now += self.network.random.millis(2);
            self.play_what_is_due();
        }
    }

    /// What the loop did since it read the clock may have taken long.
    pub(super) fn work(&mut self) {
        if self.network.strikes(self.network.chaos.long_work) {
            self.network.now += self.network.random.millis(3);
            self.play_what_is_due();
        }
    }

    /// The loop may be held up before it sees what happened.
    pub(super) fn stall(&mut self) {
        if self.network.strikes(self.network.chaos.stalls) {
            self.network.now += self.network.random.millis(300);
            self.play_what_is_due();
        }
    }

    pub(super) fn play_what_is_due(&mut self) {
        while let Some(happening) = self.network.agenda.pop(self.network.now) {
            self.play(happening);
        }
    }

    fn play(&mut self, happening: Happening) {
        let network = &mut self.network;
        match happening {
            Happening::Client(number) => {
                network.awaited[number] = false;
                match self.clients.get_mut(number) {
                    Some(client) => client.go_on(network, &mut self.random, self.stopping),
                    None => {
                        let client = &mut self.datagram_clients[number - self.clients.len()];
                        client.go_on(number, network, &mut self.random, self.stopping);
                    }
                }
            }
            Happening::Edge(link, edge) => {
                network.links[link].edges_planned -= 1;
                let owed = &mut network.links[link].edge;
                owed.readable |= edge.readable;
                owed.writable |= edge.writable;
            }
            Happening::ListenerEdge(listener) => {
                network.listeners[listener].edges_planned -= 1;
                network.listeners[listener].edge = true;
            }
            Happening::SocketEdge(socket, edge) => {
                network.sockets[socket].edges_planned -= 1;
                let owed = &mut network.sockets[socket].edge;
                *owed = Readiness {
                    readable: owed.readable || edge.readable,
                    writable: owed.writable || edge.writable,
                    in_doubt: false,
                };
            }
            Happening::Datagram(socket, datagram) => network.datagram_arrives(socket, datagram),
            Happening::Reply(client, payload) => {
                if let Err(wrong) = self.datagram_clients[client].receive(&payload) {
                    self.fail(format!("UDP client {client} got {wrong}"));
                }
            }
            Happening::Calm => network.note(|| "the faults are over".to_owned()),
            Happening::Job(id) => self.jobs_due.push_back(id),
            Happening::Command(command) => self.command(command),
            Happening::DiskFull(full) => self.disk.memory.set_capacity(if full { 0 } else { u64::MAX }),
        }
    }

    /// The server is told something. Who is not served before it stops is excused.
    fn command(&mut self, command: Command) {
        self.network.note(|| format!("command {command:?}"));
        self.commands.push(command);
        if command != Command::Report {
            self.stopping = true;
            self.excuse_those_that_are_left("the stop of the server");
        }
    }

    fn excuse_those_that_are_left(&mut self, why: &'static str) {
        for link in 0..self.network.links.len() {
            if self.network.links[link].server != ServerEnd::Closed {
                self.network.hit(link, why);
            }
        }
    }

    /// The power is lost, and comes back.
    fn restart(&mut self, left: MemoryDisk) {
        self.stopping = false;
        self.network.chaos.crash_at = None;
        self.network.agenda.forget_server();
        self.network.note(|| "the server starts again".to_owned());
        self.network.dark = false;
        for link in &mut self.network.links {
            link.token = None;
        }
        self.network.retired.clear();
        self.network.stale_notices = 0;
        self.network.first_in_short = None;
        let chaos = &self.network.chaos;
        left.set_capacity(if chaos.disk_full.contains(&self.network.now) { 0 } else { u64::MAX });
        self.disk = StormyDisk::new(left, chaos, self.random.split());
        self.jobs_due.clear();
        self.commands.clear();
    }
}

/// Whether a client waits for something that it is not owed: it is hostile, and the server has closed.
fn is_given_up(client: &Client) -> bool {
    !client.plan.honest
}

/// How the life of one server ended.
enum Life {
    Stopped(Stopped),
    Crashed(MemoryDisk),
}

/// One simulation.
pub(super) fn run(seed: u64, tracing: bool) -> Result<Report, Failure> {
    let mut random = Random::new(seed);
    let chaos = Chaos::draw(&mut random);
    let settings = Settings::draw(&mut random);
    let text = settings.text();
    let disk = StormyDisk::new(MemoryDisk::new(), &chaos, random.split());
    let world = World::new(&mut random, chaos, settings, disk, Trace::new(tracing));
    let world = Rc::new(RefCell::new(world));
    let mut report = Report::default();
    let recorder = tracing.then(Told::start);
    let result = catch_unwind(AssertUnwindSafe(|| live(&world, &text, &mut report))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a text")))
    });
    let mut world = world.borrow_mut();
    report.calls = world.network.calls;
    report.connections = world.network.links.len();
    report.elapsed = world.network.now;
    report.seen = std::mem::take(&mut world.network.seen);
    for client in world.clients.iter().filter(|client| client.plan.honest) {
        match client.state {
            State::Served => report.served += 1,
            _ => report.excused += 1,
        }
    }
    match result {
        Ok(()) => Ok(report),
        Err(what) => {
            let (steps, xray) = (world.network.trace.take(), xray::last(None).unwrap_or_default());
            drop(recorder);
            Err(Failure { seed, turn: report.turns, what, steps, xray })
        }
    }
}

fn live(world: &Rc<RefCell<World>>, text: &str, report: &mut Report) -> Result<(), String> {
    let mut registry = Registry::built_in();
    let example = r"printf 'j\5' | nc -N 127.0.0.1 9000";
    registry.stream_fn("tale", "Says more than it is asked.", example, |_| Teller::default());
    let buffers_max = world.borrow().network.chaos.buffers_max;
    let config = Config::parse("simulation", text, &registry).map_err(|problems| problems.to_string())?;
    let origin = Instant::now();
    loop {
        let disk = world.borrow().disk.clone();
        let kernel = SimulatedKernel { world: Rc::clone(world), disk, origin };
        let mut reactor = Reactor::with_kernel(kernel, &config, &registry).map_err(|error| error.to_string())?;
        reactor.limit_buffers(buffers_max);
        let life = one_life(world, &mut reactor, report)?;
        for stats in reactor.endpoints().iter().map(Endpoint::stats) {
            let reasons = [&stats.closed, &stats.refused, &stats.error_answers, &stats.paused]
                .into_iter()
                .flat_map(Tally::iter)
                .map(|(reason, _)| reason);
            world.borrow_mut().network.seen.extend(reasons);
        }
        match life {
            Life::Stopped(stopped) => {
                world.borrow_mut().network.seen.insert(match stopped {
                    Stopped::InOrder => "a stop in order",
                    Stopped::AtOnce => "a stop at once",
                });
                return checks::after_the_end(world, &reactor);
            }
            Life::Crashed(left) => {
                report.crashes += 1;
                world.borrow_mut().excuse_those_that_are_left("the loss of power");
                drop(reactor);
                let jobs = std::mem::take(&mut world.borrow_mut().jobs);
                drop(jobs);
                world.borrow_mut().restart(left);
                checks::files(&world.borrow(), &world.borrow().disk.memory)?;
            }
        }
    }
}

fn one_life(
    world: &Rc<RefCell<World>>,
    reactor: &mut Reactor<SimulatedKernel>,
    report: &mut Report,
) -> Result<Life, String> {
    let mut turns_in_no_time = 0;
    loop {
        let before = world.borrow().network.now;
        let turn = reactor.turn(None).map_err(|error| error.to_string())?;
        report.turns += 1;
        let left = world.borrow().disk.left_by_crash();
        if let Some(left) = left {
            return Ok(Life::Crashed(left));
        }
        checks::after_a_turn(world, reactor)?;
        if let Turn::Stopped(stopped) = turn {
            return Ok(Life::Stopped(stopped));
        }
        let mut world = world.borrow_mut();
        if let Some(failure) = world.failure.take() {
            return Err(failure);
        }
        turns_in_no_time = if world.network.now == before { turns_in_no_time + 1 } else { 0 };
        if turns_in_no_time > TURNS_IN_NO_TIME_MAX || report.turns > TURNS_MAX {
            return Err("the loop spins".to_owned());
        }
        if world.network.now > world.patience() {
            return Err(checks::describe_the_unserved(&world));
        }
        if !world.stopping && world.is_settled() {
            checks::at_rest(&world, reactor)?;
            world.command(Command::Stop);
            world.stopping = true;
        }
    }
}
