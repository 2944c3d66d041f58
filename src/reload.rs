//! The part of a reload that may block, run by a worker: it reads the new configuration, compares it with the one in force, looks
//! up names and opens services. The loop does the rest (`reactor/reload.rs`): it binds, and swaps everything or nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::bind::{self, Candidates, Opened};
use crate::config::{AccessRules, Config, ListenerConfig, difference};
use crate::gate::Gate;
use crate::kernel::{Disk, addresses, users};
use crate::messages::Alarm;
use crate::registry::Registry;

/// Where the configuration is read from.
pub(crate) struct Source {
    /// The protocols.
    registry: Arc<Registry>,
    /// Reads and checks it.
    read: Box<Read>,
}

/// Reads the configuration, or returns all problems.
type Read = dyn Fn() -> Result<Config, String> + Send + Sync;

impl Source {
    /// Makes a source that `read` reads, with the protocols of `registry`.
    pub(crate) fn new<E: fmt::Display>(
        registry: Arc<Registry>,
        read: impl Fn() -> Result<Config, E> + Send + Sync + 'static,
    ) -> Self {
        Self { registry, read: Box::new(move || read().map_err(|error| error.to_string())) }
    }
}

/// A new configuration with everything that can be prepared for it.
pub(crate) struct Prepared {
    /// The configuration.
    pub(crate) config: Config,
    /// What each of its listeners was before.
    pub(crate) listeners: Vec<Before>,
    /// What differs, a line each.
    pub(crate) differences: Vec<String>,
    /// The configuration without secrets, as JSON.
    pub(crate) shown: Arc<str>,
}

/// What a listener of the new configuration was in the old one.
pub(crate) enum Before {
    /// The same, with this index.
    Same(u16),
    /// One at the same address.
    Other {
        /// Its index.
        index: u16,
        /// A new service, if protocol or options differ.
        service: Option<Opened>,
        /// The users whose processes may connect from now on; `None` for all.
        allowed: Option<Box<[u32]>>,
        /// Which peers may come from now on, and how often.
        gate: Box<Gate>,
    },
    /// Nothing: it is to be bound.
    Nothing(Candidates, Opened),
}

/// Prepares a reload: all of it may block. `old` is the configuration in force, whose listeners are bound to the addresses
/// `bound`; `None` for a Unix socket.
///
/// # Errors
/// All problems, a line each.
pub(crate) fn prepare(
    source: &Source,
    old: &Config,
    bound: &[Option<SocketAddr>],
    disk: &Arc<dyn Disk>,
    alarm: &Arc<Alarm>,
) -> Result<Prepared, Vec<String>> {
    let mut config = (source.read)().map_err(|problems| problems.lines().map(str::to_owned).collect::<Vec<_>>())?;
    let pairs = pair(old, &config, bound);
    for (listener, pair) in
        config.listeners.iter_mut().zip(&pairs).filter(|(listener, _)| listener.listen.passed.is_some())
    {
        // Only the socket tells its transport.
        listener.listen.transport =
            pair.map_or(listener.listen.transport, |index| old.listeners[index].listen.transport);
    }
    let mut preparation =
        Preparation { registry: &source.registry, disk, alarm, problems: Vec::new(), differences: Vec::new() };
    preparation.differences = difference::of_the_top(old, &config);
    if old.log != config.log {
        preparation
            .problems
            .push("log: cannot be changed while the server runs; its file is opened again by each SIGHUP".to_owned());
    }
    for (index, listener) in old.listeners.iter().enumerate() {
        if !pairs.contains(&Some(index)) {
            preparation.differences.push(format!("{}: removed {}", listener.name, listener.listen));
        }
    }
    let mut listeners = Vec::new();
    for (listener, pair) in config.listeners.iter().zip(pairs) {
        let before = match pair {
            Some(index) => preparation.compare(index, &old.listeners[index], listener),
            None => preparation.add(listener),
        };
        listeners.extend(before);
    }
    let Preparation { problems, differences, .. } = preparation;
    if !problems.is_empty() {
        return Err(problems);
    }
    let shown = config.without_secrets(&source.registry).into();
    Ok(Prepared { config, listeners, differences, shown })
}

/// Returns for each listener of `new` the index of the listener of `old` that has its address: written in the same way, or
/// `bound` to the address that is meant. Several listeners on port 0 are paired by name, then in their order.
fn pair(old: &Config, new: &Config, bound: &[Option<SocketAddr>]) -> Vec<Option<usize>> {
    let url = |listener: &ListenerConfig| {
        let url = listener.listen.to_string();
        // Only in the name of a host, letters of both cases are the same.
        if listener.listen.host.is_some() { url.to_ascii_lowercase() } else { url }
    };
    let mut unpaired: BTreeMap<String, VecDeque<usize>> = BTreeMap::new();
    for (index, listener) in old.listeners.iter().enumerate() {
        unpaired.entry(url(listener)).or_default().push_back(index);
    }
    let by_name: BTreeMap<_, _> = old.listeners.iter().enumerate().map(|(index, old)| (&old.name, index)).collect();
    let namesake = |listener: &ListenerConfig| {
        let index = *by_name.get(&listener.name)?;
        let same = unpaired.get_mut(&url(listener))?;
        same.iter().position(|other| *other == index).and_then(|place| same.remove(place))
    };
    let mut pairs: Vec<_> = new.listeners.iter().map(namesake).collect();
    for (listener, pair) in new.listeners.iter().zip(&mut pairs).filter(|(_, pair)| pair.is_none()) {
        *pair = unpaired.get_mut(&url(listener)).and_then(VecDeque::pop_front);
    }
    let mut rest: Vec<_> = unpaired.into_values().flatten().collect();
    for (listener, pair) in new.listeners.iter().zip(&mut pairs).filter(|(_, pair)| pair.is_none()) {
        let transport = listener.listen.transport;
        let Ok((meant, _)) = addresses::resolve(&listener.listen) else { continue };
        // A wildcard of one family and a wildcard of both have the same address.
        let Some(meant) = meant.first().filter(|meant| !meant.ip().is_unspecified() && meant.port() != 0) else {
            continue;
        };
        let is_there = |index: &usize| {
            old.listeners[*index].listen.transport == transport && bound.get(*index) == Some(&Some(*meant))
        };
        *pair = rest.iter().position(is_there).map(|place| rest.swap_remove(place));
    }
    pairs
}

/// What a preparation has found so far.
struct Preparation<'p> {
    /// The protocols.
    registry: &'p Registry,
    /// The disk of the services.
    disk: &'p Arc<dyn Disk>,
    /// Tells the loop that connections have been sent messages.
    alarm: &'p Arc<Alarm>,
    /// All problems.
    problems: Vec<String>,
    /// All differences.
    differences: Vec<String>,
}

impl Preparation<'_> {
    /// Compares a listener with the one that has its address.
    fn compare(&mut self, index: usize, old: &ListenerConfig, new: &ListenerConfig) -> Option<Before> {
        let place = index as u16;
        if old == new {
            return Some(Before::Same(place));
        }
        self.differences.extend(difference::of_a_listener(old, new));
        if old.reuse_port != new.reuse_port {
            self.fail(new, "reuse_port cannot be changed by a reload, because the socket is bound already");
        }
        let tells_who_may_come = new.proxy_protocol.is_some() || new.access_rules != AccessRules::default();
        if !new.listen.transport.is_stream() && tells_who_may_come {
            self.fail(new, "proxy_protocol and access are for listeners of streams only");
        }
        if old.receive_buffer.is_some() && new.receive_buffer.is_none() {
            self.fail(
                new,
                "receive_buffer cannot be removed by a reload, because the default of the kernel is not known",
            );
        }
        let (file, new_file) = (&old.access, &new.access);
        let are_same = [
            ("mode", file.mode == new_file.mode),
            ("owner", file.owner == new_file.owner),
            ("group", file.group == new_file.group),
        ];
        for (member, _) in are_same.iter().filter(|(_, is_same)| !is_same) {
            self.fail(
                new,
                &format!("{member} cannot be changed while the server runs: clients may be connecting already"),
            );
        }
        let allowed =
            users::allowed(&new.access).map_err(|error| self.fail(new, &format!("allow_users: {error}"))).ok();
        let serves_the_same = (&old.protocol, &old.options) == (&new.protocol, &new.options);
        let service = if serves_the_same { None } else { Some(self.open(new)?) };
        Some(Before::Other { index: place, service, allowed: allowed?, gate: Box::new(Gate::new(new)) })
    }

    /// Prepares a listener that is new.
    fn add(&mut self, listener: &ListenerConfig) -> Option<Before> {
        if listener.listen.passed.is_some() {
            self.fail(listener, "a passed socket can be taken only at the start");
            return None;
        }
        self.differences.push(format!("{}: added {} {}", listener.name, listener.protocol, listener.listen));
        let candidates = bind::candidates(listener).map_err(|error| self.problems.push(error.to_string())).ok();
        let service = self.open(listener);
        Some(Before::Nothing(candidates?, service?))
    }

    /// Opens the service of a listener.
    fn open(&mut self, listener: &ListenerConfig) -> Option<Opened> {
        let opened = bind::open(listener, listener.listen.transport, self.registry, Arc::clone(self.disk), self.alarm);
        opened.map_err(|error| self.problems.push(error.to_string())).ok()
    }

    /// Notes that a listener cannot become what it should.
    fn fail(&mut self, listener: &ListenerConfig, what: &str) {
        self.problems.push(format!("{}: {what}", listener.name));
    }
}

#[cfg(test)]
mod tests;
