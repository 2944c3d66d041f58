//! Runs one simulation: a server runs in the world, again after each loss of power, until it has stopped.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::chaos::Chaos;
use super::clients::State;
use super::disk::FaultyDisk;
use super::guard::{Guard, Named};
use super::kernel::SimulatedKernel;
use super::other_ends::Relay;
use super::random::Random;
use super::reloads::Reloads;
use super::settings::{Service, Settings};
use super::tale::Teller;
use super::trace::Trace;
use super::world::World;
use super::{Failure, Report, checks};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::kernel::Command;
use crate::reactor::{Reactor, Stopped, Turn};
use crate::registry::Registry;
use crate::stats::Tally;
use crate::testing::MemoryDisk;
use crate::xray::{self, SimulatedClock};

/// Turns of the loop without any time passing; more would be a loop that spins.
const TURNS_IN_NO_TIME_MAX: u32 = 5000;

/// Turns of one simulation.
const TURNS_MAX: u64 = 300_000;

/// How the run of one server ended.
enum Life {
    Stopped(Stopped),
    Crashed(MemoryDisk),
}

/// Runs one simulation, and keeps its last steps if `tracing`.
pub(super) fn run(seed: u64, tracing: bool) -> Result<Report, Failure> {
    let mut random = Random::new(seed);
    let chaos = Chaos::draw(&mut random);
    let settings = Settings::draw(&mut random);
    let text = settings.text();
    let disk = FaultyDisk::new(MemoryDisk::new(), &chaos, random.split());
    let mut reloads = Reloads::draw(seed, chaos.until);
    let mut world = World::new(&mut random, chaos, settings, disk, Trace::new(tracing));
    reloads.schedule(&mut world);
    world.network.guard = world.settings.rules.clone().map(Guard::new);
    let world = Rc::new(RefCell::new(world));
    let mut report = Report::default();
    let recorder = tracing.then(SimulatedClock::start);
    let result =
        catch_unwind(AssertUnwindSafe(|| live(&world, &text, &mut reloads, &mut report))).unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
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

fn live(world: &Rc<RefCell<World>>, text: &str, reloads: &mut Reloads, report: &mut Report) -> Result<(), String> {
    let mut registry = Registry::built_in();
    let example = r"printf 'j\5' | nc -N 127.0.0.1 9000";
    registry.stream_fn("tale", "Answers with much more than it is asked.", example, |_| Teller::default());
    let ledger = world.borrow().ledger.clone();
    let example = r"printf 'j\0' | nc 127.0.0.1 9001";
    registry.stream_fn("gossip", "Sends messages as its clients command.", example, move |_| ledger.protocol());
    let (fates, first) = (world.borrow().settings.relays.clone(), world.borrow().relayed);
    registry.stream_fn("relay", "Relays to one of several servers.", "nc 127.0.0.1 9002", move |peer| {
        // The port says which client it is.
        let client = peer.address().map_or(0, |address| usize::from(address.port()) - 20_000 - first);
        Relay::new(&fates[client], client)
    });
    let arrivals = world.borrow().network.guard.as_ref().map(Guard::arrivals).unwrap_or_default();
    registry.stream_fn("guarded", "Says who asks.", "echo '?' | nc -N 127.0.0.1 9003", move |peer| {
        Named::new(peer, &arrivals)
    });
    let registry = Arc::new(registry);
    let opening = world.borrow().settings.opening;
    let opens = opening.opens();
    let pipes_max = world.borrow().network.chaos.pipes.as_ref().map_or(0, |pipes| pipes.most);
    let buffers_max = world.borrow().network.chaos.buffers_max;
    let config = Config::parse("simulation", text, &registry).map_err(|problems| problems.to_string())?;
    let origin = Instant::now();
    loop {
        let disk = world.borrow().disk.clone();
        let kernel = SimulatedKernel { world: Rc::clone(world), disk, origin };
        let mut reactor = Reactor::with_kernel(kernel, &config, &registry).map_err(|error| error.to_string())?;
        reactor.limit_buffers(buffers_max, pipes_max);
        if let Some(opens) = opens {
            reactor.open_with(opens);
            world.borrow_mut().network.seen.insert(opening.name());
        }
        reloads.prepare(&mut reactor, text, &registry);
        let life = one_life(world, &mut reactor, reloads, report)?;
        for stats in reactor.endpoints().iter().map(Endpoint::stats) {
            let reasons = [&stats.closed, &stats.refused, &stats.error_answers, &stats.paused, &stats.undelivered]
                .into_iter()
                .flat_map(Tally::iter)
                .map(|(reason, _)| reason);
            world.borrow_mut().network.seen.extend(reasons);
        }
        match life {
            Life::Stopped(stopped) => {
                world.borrow_mut().network.seen.insert(match stopped {
                    Stopped::Gracefully => "a graceful stop",
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

/// Sends messages to the connections of `gossip`, as other threads do while the loop is between two turns.
fn other_threads_send(world: &Rc<RefCell<World>>, reactor: &Reactor<SimulatedKernel>) {
    let world = &mut *world.borrow_mut();
    world.ledger.begin_turn();
    if world.settings.gossips == 0 || world.network.now >= world.network.chaos.until || !world.own.strikes(100) {
        return;
    }
    let gossip = Service::Gossip.address();
    if let Some(endpoint) = reactor.endpoints().iter().find(|endpoint| endpoint.address() == Some(gossip)) {
        world.ledger.send_from_outside(&endpoint.sender(), world.own.within(0..1000));
    }
}

fn one_life(
    world: &Rc<RefCell<World>>,
    reactor: &mut Reactor<SimulatedKernel>,
    reloads: &mut Reloads,
    report: &mut Report,
) -> Result<Life, String> {
    let mut turns_in_no_time = 0;
    loop {
        let before = world.borrow().network.now;
        other_threads_send(world, reactor);
        let turn = reactor.turn(None).map_err(|error| error.to_string())?;
        report.turns += 1;
        let left = world.borrow().disk.left_by_crash();
        if let Some(left) = left {
            return Ok(Life::Crashed(left));
        }
        reloads.check(world, reactor)?;
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
