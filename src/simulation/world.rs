//! The world around the server: the network, the clients, the disk, and the events.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use super::agenda::Happening;
use super::chaos::Chaos;
use super::clients::datagram::DatagramClient;
use super::clients::{Client, State, gossip, guarded, honest, hostile, relayed};
use super::disk::FaultyDisk;
use super::gossip::Ledger;
use super::link::ServerEnd;
use super::network::{Network, wall_clock_at};
use super::other_ends::OtherEnd;
use super::random::Random;
use super::settings::{Service, Settings};
use super::trace::Trace;
use crate::kernel::{Command, Readiness, Token};
use crate::protocol::Job;
use crate::testing::MemoryDisk;

/// Everything except the server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) network: Network,
    pub(super) settings: Settings,
    pub(super) clients: Vec<Client>,
    pub(super) datagram_clients: Vec<DatagramClient>,
    /// What the connections of `gossip` have sent each other.
    pub(super) ledger: Ledger,
    /// The first client that is relayed.
    pub(super) relayed: usize,
    /// What the server has connected to.
    pub(super) other_ends: Vec<OtherEnd>,
    /// Decides what only some seeds have.
    pub(super) own: Random,
    random: Random,
    pub(super) disk: FaultyDisk,
    /// The jobs that workers have taken.
    pub(super) jobs: BTreeMap<u64, (Token, Job)>,
    pub(super) jobs_due: VecDeque<u64>,
    pub(super) jobs_submitted: u64,
    pub(super) commands: Vec<Command>,
    /// Whether the server was asked to stop; no other server will start.
    pub(super) stopping: bool,
    pub(super) failure: Option<String>,
}

impl World {
    pub(super) fn new(random: &mut Random, chaos: Chaos, settings: Settings, disk: FaultyDisk, trace: Trace) -> Self {
        // From a stream of its own, so that a seed without them stays the same.
        let mut own = random.clone().split().split();
        let honest_count = random.within(1..12);
        // If all clients use one service, they reach limits that they do not reach on several.
        let crowded = random.strikes(300).then(|| random.pick(&Service::ALL));
        let mut clients: Vec<_> = (0..honest_count + random.within(0..12))
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
        let first = clients.len();
        clients.extend(others(first, &settings, &mut own));
        let extra = first..clients.len();
        let count = clients.len() + datagram_clients.len();
        let mut network = Network::new(chaos, settings.opening, random.split(), trace, count);
        let until = network.chaos.until.as_millis() as u64;
        for number in 0..count {
            let random = if extra.contains(&number) { &mut own } else { &mut *random };
            let latest = random.pick(&[until, until, 10, 0]);
            network.wake(number, random.millis(latest));
        }
        for (at, command) in network.chaos.stop_at.into_iter().chain(network.chaos.stop_again_at) {
            network.agenda.add(at, Happening::Command(command));
        }
        let full = network.chaos.disk_full.clone();
        let fills = [(full.start, true), (full.end, false)].into_iter().filter(|_| !full.is_empty());
        fills.for_each(|(at, is_full)| network.agenda.add(at, Happening::DiskFull(is_full)));
        network.agenda.add(network.chaos.until, Happening::Calm);
        network.agenda.add(Duration::from_secs(1), Happening::Command(Command::Report));
        Self {
            network,
            relayed: first + settings.gossips,
            settings,
            clients,
            datagram_clients,
            ledger: Ledger::default(),
            other_ends: Vec::new(),
            own,
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

    /// Whether the loop need not wait any longer: a check failed, the power is lost, or all clients are done.
    pub(super) fn is_over(&self) -> bool {
        let over = self.failure.is_some() || self.network.powered_off || self.network.now > self.patience();
        over || (!self.stopping && self.is_settled())
    }

    /// Returns the time by which all clients must be done: hostile clients may have to be waited for one by one.
    pub(super) fn patience(&self) -> Duration {
        self.network.chaos.until + hostile::PATIENCE * (2 + self.clients.len() as u32)
    }

    /// Whether the faults have stopped, all clients are done, and the server has closed all connections.
    pub(super) fn is_settled(&self) -> bool {
        self.network.now >= self.network.chaos.until
            && self.jobs.is_empty()
            && self.clients.iter().all(|client| client.state != State::Busy || is_given_up(client))
            && self.datagram_clients.iter().all(|client| client.done)
            && self.network.links.iter().all(|link| link.server == ServerEnd::Closed)
    }

    /// Notes that a fault hit the connection of `token`.
    pub(super) fn hit(&mut self, token: Token, what: &'static str) {
        let links = &self.network.links;
        let registered = links.iter().rposition(|link| link.token == Some(token));
        // A new connection is visited before it is registered, and so before the kernel learns its token.
        let is_new = |link: &usize| links[*link].token.is_none() && links[*link].server == ServerEnd::Open;
        if let Some(link) = registered.or_else(|| self.network.used.filter(is_new)) {
            self.network.hit(link, what);
        }
    }

    /// Perhaps lets events happen in the middle of a turn.
    pub(super) fn preempt(&mut self) {
        if self.network.strikes(self.network.chaos.preemptions) {
            self.network.now += self.network.random.millis(2);
            self.play_what_is_due();
        }
    }

    /// Perhaps lets the work since the last reading of the clock take long.
    pub(super) fn work(&mut self) {
        if self.network.strikes(self.network.chaos.long_work) {
            self.network.now += self.network.random.millis(3);
            self.play_what_is_due();
        }
    }

    /// Perhaps stalls the loop before it sees the events.
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
                    None => self.wakes_another(number),
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
            Happening::Connected(link, error) => network.connected(link, error),
            Happening::Calm => network.note(|| "the faults have stopped".to_owned()),
            Happening::Job(id) => self.jobs_due.push_back(id),
            Happening::Command(command) => self.command(command),
            Happening::DiskFull(full) => self.disk.memory.set_capacity(if full { 0 } else { u64::MAX }),
        }
    }

    /// Lets a client over UDP act, or another end.
    fn wakes_another(&mut self, number: usize) {
        let at = number - self.clients.len();
        match self.datagram_clients.get_mut(at) {
            Some(client) => client.go_on(number, &mut self.network, &mut self.random, self.stopping),
            None => {
                let other_end = &mut self.other_ends[at - self.datagram_clients.len()];
                other_end.go_on(number, &mut self.network, &mut self.own);
            }
        }
    }

    /// Sends the server a command. Clients that are not served before a stop are excused.
    pub(super) fn command(&mut self, command: Command) {
        self.network.note(|| format!("command {command:?}"));
        self.commands.push(command);
        // Running jobs may finish at this very moment.
        if self.jobs.len() > self.jobs_due.len() && self.random.flip() {
            self.jobs_due = self.jobs.keys().copied().collect();
        }
        if !matches!(command, Command::Report | Command::Reload) {
            self.stopping = true;
            self.excuse_those_that_are_left("the stop of the server");
        }
    }

    pub(super) fn excuse_those_that_are_left(&mut self, why: &'static str) {
        for link in 0..self.network.links.len() {
            if self.network.links[link].server != ServerEnd::Closed {
                self.network.hit(link, why);
            }
        }
    }

    /// Prepares the world for a new server after a loss of power.
    pub(super) fn restart(&mut self, left: MemoryDisk) {
        self.stopping = false;
        self.network.chaos.crash_at = None;
        self.network.agenda.forget_server();
        self.network.note(|| "the server starts again".to_owned());
        self.network.powered_off = false;
        for link in &mut self.network.links {
            link.token = None;
        }
        self.network.retired.clear();
        self.network.stale_notices = 0;
        self.network.first_in_short = None;
        self.ledger.restart();
        self.network.replace_the_guard();
        let chaos = &self.network.chaos;
        left.set_capacity(if chaos.disk_full.contains(&self.network.now) { 0 } else { u64::MAX });
        self.disk = FaultyDisk::new(left, chaos, self.random.split());
        self.jobs_due.clear();
        self.commands.clear();
    }
}

/// Makes the clients of `gossip`, of `relay` and of the guarded listener; the first one has the number `first`.
fn others(first: usize, settings: &Settings, own: &mut Random) -> Vec<Client> {
    let gossips: Vec<_> = (0..settings.gossips).map(|_| gossip::plan(own)).collect();
    let relays: Vec<_> = settings.relays.iter().map(|fates| relayed::plan(fates, own)).collect();
    let plans = gossips.into_iter().chain(relays).map(|plan| (None, plan));
    let guarded = settings
        .rules
        .iter()
        .flat_map(|rules| rules.clients.iter().map(move |ip| (Some(*ip), guarded::plan(*ip, rules.admit(*ip)))));
    let client = |(number, (from, plan))| Client::new(first + number, plan).coming_from(from);
    plans.chain(guarded).enumerate().map(client).collect()
}

/// Whether the end of a client is not awaited, because it is hostile.
fn is_given_up(client: &Client) -> bool {
    !client.plan.honest
}
