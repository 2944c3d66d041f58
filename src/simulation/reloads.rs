//! Reloads of a simulated server, if the seed chooses some: other limits and options, listeners that come, go and change places,
//! mistakes, and an address that cannot be bound. Drawn from a stream of their own, so that a seed without reloads stays as it was.
//!
//! The listeners of the clients stay, so that no client is refused because of a reload.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::agenda::Happening;
use super::kernel::SimulatedKernel;
use super::random::Random;
use super::settings::TAKEN;
use super::world::World;
use crate::config::{Config, Transport};
use crate::kernel::Command;
use crate::reactor::Reactor;
use crate::registry::Registry;
use crate::stats::Reloads as Counts;

/// Ports of listeners that come and go. They have no clients.
const EXTRAS: Range<u16> = 9100..9105;
/// Makes the stream of reloads another one than all others of a seed.
const STREAM: u64 = 0x7265_6c6f_6164;

/// The reloads of one simulation.
#[derive(Debug)]
pub(super) struct Reloads {
    /// When they are asked for.
    at: Vec<Duration>,
    /// Chooses what each of them reads.
    random: Arc<Mutex<Random>>,
    /// The reloads that have ended, and the listeners after them.
    last: (Counts, String),
}

impl Reloads {
    pub(super) fn draw(seed: u64, until: Duration) -> Self {
        let mut random = Random::new(seed ^ STREAM).split();
        let mut at = Vec::new();
        if random.strikes(300) {
            for _ in 0..random.within(1..6) {
                let first = random.millis(until.as_millis() as u64);
                let several = random.pick(&[1, 1, 2, 3]);
                at.extend((0..several).map(|_| first + random.millis(1)));
            }
        }
        Self { at, random: Arc::new(Mutex::new(random)), last: Default::default() }
    }

    /// Puts the signals on the agenda.
    pub(super) fn schedule(&self, world: &mut World) {
        for at in &self.at {
            world.network.agenda.add(*at, Happening::Command(Command::Reload));
        }
    }

    /// Makes a server read its configurations here.
    pub(super) fn prepare(&mut self, reactor: &mut Reactor<SimulatedKernel>, text: &str, registry: &Arc<Registry>) {
        if self.at.is_empty() {
            return;
        }
        self.last = (reactor.reloads(), arrangement(reactor));
        let (random, text, protocols) = (Arc::clone(&self.random), text.to_owned(), Arc::clone(registry));
        let read = move || {
            let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
            Config::parse("simulation", &draft(&mut random, &text), &protocols)
        };
        reactor.reload_with(Arc::clone(registry), read);
    }

    /// Checks after a turn that only a reload which was done has changed the listeners.
    pub(super) fn check(
        &mut self,
        world: &Rc<RefCell<World>>,
        reactor: &Reactor<SimulatedKernel>,
    ) -> Result<(), String> {
        if self.at.is_empty() {
            return Ok(());
        }
        let now = (reactor.reloads(), arrangement(reactor));
        let network = &mut world.borrow_mut().network;
        if now.0.failed > self.last.0.failed {
            network.seen.insert("a reload that fails");
        }
        if now.0.done > self.last.0.done {
            network.seen.insert("a reload");
            // The listeners may have other indices.
            network.first_in_short = None;
        } else if now.1 != self.last.1 {
            return Err(format!("without a reload the listeners\n{}have become\n{}", self.last.1, now.1));
        }
        self.last = now;
        Ok(())
    }
}

/// Returns the number of listeners over TCP and of UDP sockets that no client uses.
pub(super) fn extras(reactor: &Reactor<SimulatedKernel>) -> (usize, usize) {
    let extra = reactor
        .endpoints()
        .iter()
        .filter(|endpoint| endpoint.address().is_some_and(|address| EXTRAS.contains(&address.port())));
    let (tcp, udp): (Vec<_>, Vec<_>) = extra.partition(|endpoint| endpoint.transport() == Transport::Tcp);
    (tcp.len(), udp.len())
}

/// Describes what a failed reload must not change, a line for each listener.
fn arrangement(reactor: &Reactor<SimulatedKernel>) -> String {
    let listeners = reactor.endpoints().iter();
    listeners
        .map(|it| format!("{} {} {} {} {:?}\n", it.name(), it.protocol(), it.url(), it.backlog, it.limits.idle_timeout))
        .collect()
}

/// Returns the text that a reload reads.
fn draft(random: &mut Random, text: &str) -> String {
    let mut config: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(listeners) = config["listeners"].as_array_mut() else { return text.to_owned() };
    for listener in listeners.iter_mut() {
        let is_tcp = listener["listen"].as_str().is_some_and(|url| url.starts_with("tcp"));
        if is_tcp && random.strikes(300) {
            listener["limits"]["idle_timeout"] = json!(random.pick(&["28s", "29s", "30s"]));
        }
        if is_tcp && random.strikes(200) {
            listener["backlog"] = json!(random.within(1000..1003));
        }
        if listener["protocol"] == "sum" && random.strikes(300) {
            listener["options"] = json!({ "max_request": random.pick(&["4KiB", "5KiB"]) });
        }
    }
    let url = |transport: &str, port: u16| format!("{transport}://127.0.0.1:{port}");
    for port in EXTRAS {
        if random.flip() {
            let transport = random.pick(&["tcp", "tcp", "udp"]);
            listeners.push(json!({ "listen": url(transport, port), "protocol": "sum" }));
        }
    }
    if random.strikes(200) {
        listeners.push(json!({ "listen": url(random.pick(&["tcp", "udp"]), TAKEN), "protocol": "sum" }));
    }
    random.shuffle(listeners);
    if random.strikes(100) { "{".to_owned() } else { config.to_string() }
}
