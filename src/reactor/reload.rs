//! Reloading: a new configuration takes effect as a whole, or not at all.
//!
//! ```text
//! reload            a signal, or a call of a `Handle`: submits a job
//!  └ prepare        src/reload.rs, on a worker: reads, compares, looks up names, opens services
//! note_reloaded     the result of the job
//!  └ apply
//!     ├ bind_all    binds what is new; after one failure all of that is closed
//!     ├ change_all  changes living sockets; after one failure all of that is undone
//!     └ swap        arranges the endpoints again and points each slot to its endpoint; this cannot fail
//! cut_removed       the connections of a removed listener have taken too long: resets them
//! discard           makes a job drop the services that nothing uses any more: the end of a service may block
//! ```

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::kept::InForce;
use super::stop::Stop;
use super::{Owner, Reactor, Slot};
use crate::amounts::Count;
use crate::bind::{self, NotBound, Opened};
use crate::config::{Config, ListenerConfig};
use crate::endpoint::Successor;
use crate::gate::Gate;
use crate::job::{Job, Outcome};
use crate::kernel::{Kernel, Panicked, Token};
use crate::limits::{RELOAD_LINES_MAX, RETIRED_ENDPOINTS_MAX};
use crate::protocol::DatagramProtocol;
use crate::registry::Registry;
use crate::reload::{Before, Prepared, Source, prepare};
use crate::stats::Reloads;
use crate::time::Time;

/// The token of the job of a reload, which no slot has.
pub(super) const RELOADER: Token = Token { slot: u32::MAX, generation: 0 };

/// The token of the jobs that drop services, which no slot has either.
pub(super) const DISCARDER: Token = Token { slot: u32::MAX, generation: 1 };

/// The number by which the kernel knows its workers: no listener has it, unless there are 65,536 of them.
const LANE: u16 = u16::MAX;

/// Why there is no reload without [`Reactor::reload_with`].
const NO_SOURCE: &str = "there is nothing to reload: the server was started without a configuration file";

/// The result of the job.
type Result<T> = std::result::Result<T, Vec<String>>;

/// Whether a reload runs, and how many have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReloadState {
    /// Whether one is being prepared.
    pub(crate) is_running: bool,
    /// Those that have ended.
    pub(crate) reloads: Reloads,
}

/// What a listener of the new configuration comes from: its endpoint, and what is new about it.
struct Next<'c> {
    /// The index of its endpoint.
    index: u16,
    /// Its configuration, and which peers may come by it, if it differs.
    change: Option<(&'c ListenerConfig, Box<Gate>)>,
    /// Its new service, if it has one.
    service: Option<Opened>,
    /// The users whose processes may connect from now on, if its configuration differs; `None` for all.
    allowed: Option<Box<[u32]>>,
}

impl Next<'_> {
    /// Keeps the endpoint of a listener as it is.
    fn unchanged(index: u16) -> Self {
        Self { index, change: None, service: None, allowed: None }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Makes [`Handle::reload`](crate::Handle::reload) and SIGHUP call `read` for a new configuration, on a worker thread. Its
    /// protocols are those of `registry`.
    ///
    /// A reload takes effect as a whole, or not at all; each difference and each problem is logged. Connections keep the limits and
    /// the protocol with which they were accepted. `docs/configuration.md` says what can be reloaded.
    ///
    /// ```
    /// use std::path::Path;
    /// use std::sync::Arc;
    ///
    /// use reactor::{Config, Reactor, Registry};
    ///
    /// let registry = Arc::new(Registry::built_in());
    /// let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "time" }] }"#;
    /// let mut reactor = Reactor::bind(&Config::parse("inline.json", text, &registry)?, &registry)?;
    /// let protocols = Arc::clone(&registry);
    /// reactor.reload_with(registry, move || Config::read(Path::new("is-not-there.json"), &protocols));
    /// reactor.handle().reload();
    /// while reactor.reloads().failed == 0 {
    ///     reactor.turn(None)?;
    /// }
    /// assert_eq!(reactor.endpoints()[0].name(), "time-tcp");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload_with<E: fmt::Display>(
        &mut self,
        registry: Arc<Registry>,
        read: impl Fn() -> std::result::Result<Config, E> + Send + Sync + 'static,
    ) {
        self.in_force.source = Some(Arc::new(Source::new(registry, read)));
    }

    /// The numbers of reloads so far.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.in_force.counts
    }

    /// Returns whether a reload runs and how many have ended, and why the last one failed, if it did.
    pub(crate) fn reload_state(&self) -> (ReloadState, Option<&str>) {
        let InForce { is_running, counts, failure, .. } = &self.in_force;
        (ReloadState { is_running: *is_running, reloads: *counts }, failure.as_deref())
    }

    /// Begins a reload. While one runs, one more follows it; during a stop there is none.
    pub(super) fn begin_reload(&mut self) {
        if !self.is_ready() {
            return log::info!("reload: ignored, because the server is stopping");
        }
        let Some(source) = self.in_force.source.clone() else {
            // A service manager waits for the end of each reload that it asks for.
            return self.end_reload(Err(vec![NO_SOURCE.to_owned()]));
        };
        if std::mem::replace(&mut self.in_force.is_running, true) {
            self.in_force.again = true;
            return;
        }
        let config = Arc::clone(&self.in_force.config);
        let bound: Vec<_> = self.endpoints.current().iter().map(|endpoint| endpoint.address()).collect();
        let (disk, alarm) = (self.kernel.disk(), Arc::clone(&self.alarm));
        let mut job = Job::new(move || prepare(&source, &config, &bound, &disk, &alarm));
        job.listener = LANE;
        if let Err(why) = self.kernel.submit(RELOADER, job) {
            self.end_reload(Err(vec![format!("no worker prepares it: {why}")]));
        }
    }

    /// Continues a reload with the result of its job.
    #[cold]
    pub(super) fn note_reloaded(&mut self, result: std::result::Result<Outcome, Panicked>) {
        if !self.is_ready() {
            log::info!("reload: given up, because the server is stopping");
            return self.discard(vec![result]);
        }
        let bug = |panicked: Panicked| vec![format!("a bug: {panicked}{}", panicked.detail())];
        let prepared = result.map_err(bug).and_then(|outcome| {
            outcome.downcast::<Result<Prepared>>().unwrap_or_else(|_| Err(vec!["a bug: another result".to_owned()]))
        });
        let applied = prepared.and_then(|prepared| self.apply(prepared));
        self.end_reload(applied);
    }

    /// Logs how a reload has ended, and begins the next one if it was asked for.
    fn end_reload(&mut self, applied: Result<Vec<String>>) {
        match applied {
            Ok(differences) => {
                self.in_force.counts.done += 1;
                self.in_force.failure = None;
                self.in_force.loaded_at = self.kernel.wall_clock();
                log_lines(log::Level::Info, &differences);
                log::info!("reload: done; {}", Count(differences.len() as u64, "difference"));
            }
            Err(problems) => {
                self.in_force.counts.failed += 1;
                self.in_force.failure = problems.first().cloned();
                log_lines(log::Level::Error, &problems);
                log::error!("reload: failed; everything stays as it was");
            }
        }
        self.in_force.is_running = false;
        if std::mem::take(&mut self.in_force.again) {
            self.begin_reload();
        }
    }

    /// Puts a prepared configuration into force. Returns the differences.
    ///
    /// # Errors
    /// All problems. Nothing has changed then.
    fn apply(&mut self, prepared: Prepared) -> Result<Vec<String>> {
        let Prepared { config, listeners, differences, shown } = prepared;
        let config = Arc::new(config);
        if differences.is_empty() {
            return Ok(differences);
        }
        let first_new = self.endpoints.len();
        let (successors, mut problems) = self.bind_all(&config, listeners);
        let removed = self.endpoints.current().len() + self.endpoints.len() - first_new - successors.len();
        let connections = self.connections();
        // Only a connection keeps what a listener was before.
        let in_use = connections[..self.endpoints.current().len()].iter().filter(|count| **count > 0).count();
        let stays = |next: &&Next<'_>| next.change.is_none() && connections[usize::from(next.index)] > 0;
        let retiring = in_use - successors.iter().filter(stays).count();
        if self.endpoints.retired() + retiring > RETIRED_ENDPOINTS_MAX {
            problems.push(format!(
                "after earlier reloads, connections still use {} earlier versions of listeners, of at most {RETIRED_ENDPOINTS_MAX} with those of this reload: try again when they have ended",
                self.endpoints.retired()
            ));
        }
        if self.endpoints.len() + retiring > usize::from(u16::MAX) {
            problems.push(bind::BindError::Listeners.to_string());
        }
        let added = self.endpoints.len() - first_new;
        problems.extend(self.missing_descriptors(&successors, removed, added).map(|missing| missing.to_string()));
        if problems.is_empty() {
            // Last, because it is not known what the kernel has chosen before a socket was changed.
            problems = self.change_all(&successors);
        }
        if problems.is_empty() {
            // First, because removed listeners have the new `shutdown_timeout`.
            self.settle_for(Arc::clone(&config));
            self.swap(successors, &connections, removed, added);
            self.inquired.configuration = shown;
            Ok(differences)
        } else {
            self.unbind(successors, first_new);
            Err(problems)
        }
    }

    /// Binds the listeners that are new, behind all endpoints. Returns what happens to each listener, and all problems.
    fn bind_all<'c>(&mut self, config: &'c Config, listeners: Vec<Before>) -> (Vec<Next<'c>>, Vec<String>) {
        let (mut successors, mut problems, mut unused) = (Vec::new(), Vec::new(), Vec::new());
        for (listener, before) in config.listeners.iter().zip(listeners) {
            match before {
                Before::Same(index) => successors.push(Next::unchanged(index)),
                Before::Other { index, service, allowed, gate } => {
                    successors.push(Next { index, change: Some((listener, gate)), service, allowed });
                }
                Before::Nothing(candidates, opened) => match self.open_door(listener, opened, &candidates) {
                    Ok(index) => successors.push(Next::unchanged(index)),
                    Err(NotBound { error, opened }) => {
                        problems.push(error.to_string());
                        unused.extend(opened);
                    }
                },
            }
        }
        self.discard(unused);
        (successors, problems)
    }

    /// Returns the error of a reload after which no connection would have the descriptors that it needs.
    fn missing_descriptors(&self, successors: &[Next<'_>], removed: usize, added: usize) -> Option<bind::BindError> {
        let needed = successors.iter().filter_map(|next| match &next.service {
            Some(Opened::Stream(service)) => Some(1 + service.descriptors),
            Some(Opened::Datagram(_)) => None,
            None => self.endpoints[next.index].service.as_ref().map(|service| 1 + service.descriptors),
        });
        let (least, most) = (needed.max()?, self.totals.descriptors_max.saturating_add(removed));
        let missing = (least + added).checked_sub(most).filter(|missing| *missing > 0)?;
        Some(bind::BindError::Descriptors(missing))
    }

    /// Changes the living sockets of the listeners that differ. After a failure, sets their old options again. Returns all problems.
    fn change_all(&mut self, successors: &[Next<'_>]) -> Vec<String> {
        let others = successors.iter().filter_map(|next| Some((next.index, next.change.as_ref()?.0)));
        let mut problems = Vec::new();
        for (index, listener) in others.clone() {
            if let Err(error) = self.change_socket(index, listener) {
                problems.push(format!("{}: its socket cannot be changed: {error}", listener.name));
            }
        }
        if !problems.is_empty() {
            let in_force = Arc::clone(&self.in_force.config);
            for (index, _) in others {
                let old = &in_force.listeners[usize::from(index)];
                if let Err(error) = self.change_socket(index, old) {
                    log::warn!("reload: {}: the old options of its socket cannot be set again: {error}", old.name);
                }
            }
        }
        problems
    }

    /// Sets the options of `config` on the socket of a listener.
    fn change_socket(&mut self, index: u16, config: &ListenerConfig) -> io::Result<()> {
        let door = self.endpoints[index].door.slot;
        match self.slots.get(door as usize).map(|slot| &slot.owner) {
            Some(Owner::Listener(listener)) => {
                self.kernel.change_listener(&listener.socket, &bind::listen_options(config, false))
            }
            Some(Owner::Mailbox(mailbox)) => {
                self.kernel.change_socket(&mailbox.socket, &bind::bind_options(config, false))
            }
            _ => Ok(()),
        }
    }

    /// Undoes [`Reactor::bind_all`].
    fn unbind(&mut self, successors: Vec<Next<'_>>, first_new: usize) {
        let doors: Vec<_> = self.endpoints.iter().skip(first_new).map(|endpoint| endpoint.door.slot).collect();
        let closed: HashSet<_> = doors.iter().copied().collect();
        // Nothing has visited these slots, and no event has come for them, so that they may be freed in the middle of a turn.
        self.queues.doors.retain(|key| !closed.contains(key));
        doors.into_iter().for_each(|door| self.reap_slot(door));
        let unused = self.endpoints.truncate(first_new);
        self.discard(unused);
        self.discard(successors.into_iter().filter_map(|successor| successor.service).collect());
    }

    /// Returns the number of connections by the index of their endpoint.
    fn connections(&self) -> Vec<usize> {
        let mut connections = vec![0; self.endpoints.len()];
        for (_, slot) in self.slots.iter().filter(|(_, slot)| !slot.is_door()) {
            connections[usize::from(slot.endpoint)] += 1;
        }
        connections
    }

    /// Puts the new listeners into force. Removed ones begin to stop.
    fn swap(&mut self, successors: Vec<Next<'_>>, connections: &[usize], removed: usize, added: usize) {
        let until = self.moment.now.after(self.time_to_finish());
        let successors = successors.into_iter().map(|next| self.successor(next)).collect();
        let moves = self.endpoints.rearrange(successors, connections, until);
        self.discard(moves.replaced);
        let mut visits = Vec::new();
        for (key, slot) in &mut self.slots {
            let moves = if slot.is_door() { &moves.doors } else { &moves.connections };
            slot.endpoint = moves[usize::from(slot.endpoint)];
            // A listener whose limit was raised may accept again.
            if slot.is_door() || self.endpoints[slot.endpoint].stopping {
                visits.push(key as u32);
            }
        }
        visits.into_iter().for_each(|key| self.queue(key));
        if self.totals.descriptors_max != usize::MAX {
            self.totals.descriptors_max = (self.totals.descriptors_max + removed).saturating_sub(added);
        }
        self.reserve_pipes();
        if removed > 0 {
            self.stop = Stop::No(self.stop.deadline().min(until));
        }
    }

    /// Returns what happens to an endpoint. The protocol of a datagram socket changes here: the driver has it.
    fn successor<'c>(&mut self, Next { index, change, service, allowed }: Next<'c>) -> Successor<'c> {
        let (stream, datagram) = match service {
            Some(Opened::Stream(service)) => (Some(service), None),
            Some(Opened::Datagram(protocol)) => (None, Some(protocol)),
            None => (None, None),
        };
        let door = self.endpoints[index].door.slot;
        if let (Some((config, _)), Some(Slot { owner: Owner::Mailbox(mailbox), .. })) =
            (&change, self.slots.get_mut(door as usize))
        {
            let replaced = mailbox.renew(&config.name, datagram);
            self.discard(replaced.into_iter().collect());
        }
        Successor { index, change, service: stream, allowed }
    }

    /// Notes that a slot of an endpoint is free. On the path of each connection that ends, so only a branch for those that no reload
    /// has retired.
    #[inline]
    pub(super) fn leave_endpoint(&mut self, index: u16) {
        if self.endpoints.is_retired(index) {
            let unused = self.endpoints.leave(index);
            self.discard(unused.into_iter().collect());
        }
    }

    /// Drops the protocol of a datagram socket that has closed: on a worker, unless the server ends with it.
    pub(super) fn end_protocol(&mut self, protocol: Box<dyn DatagramProtocol>) {
        if self.is_ready() {
            self.discard(vec![protocol]);
        }
    }

    /// Rule 10: makes a worker drop what nothing uses any more, such as services that have been replaced.
    #[cold]
    fn discard<T: Send + 'static>(&mut self, unused: Vec<T>) {
        if unused.is_empty() {
            return;
        }
        let mut job = Job::discarding(Some(Box::new(unused)), None);
        job.listener = LANE;
        if let Err(why) = self.kernel.submit(DISCARDER, job) {
            log::warn!("reload: no worker drops an old service, so the loop has done it: {why}");
        }
    }

    /// Takes over the members that concern the whole server, and warns of what an administrator should know of the new configuration.
    fn settle_for(&mut self, config: Arc<Config>) {
        let known: HashSet<_> = self.in_force.config.warnings().into_iter().collect();
        let warnings: Vec<_> = config.warnings().into_iter().filter(|warning| !known.contains(warning)).collect();
        log_lines(log::Level::Warn, &warnings);
        self.totals.pending_bytes_max = config.max_pending_output_total;
        self.lent.budget.set_slow_turn(config.slow_turn);
        self.kernel.limit_workers(config.workers);
        self.kernel.busy_poll(config.busy_poll);
        self.in_force.config = config;
    }

    /// Resets the connections of removed listeners that have not finished in time.
    #[cold]
    pub(super) fn cut_removed(&mut self) {
        let now = self.moment.now;
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| endpoint.until <= now) {
            (endpoint.cut, endpoint.until) = (true, Time::NEVER);
        }
        self.cut_slots();
        let next = self.endpoints.iter().map(|endpoint| endpoint.until).min().unwrap_or(Time::NEVER);
        self.stop = match self.stop {
            Stop::Leaving(_, until) => Stop::Leaving(next.min(until), until),
            _ => Stop::No(next),
        };
    }
}

impl<K: Kernel> Slot<K> {
    /// Whether its owner is a listener or a datagram socket.
    fn is_door(&self) -> bool {
        matches!(self.owner, Owner::Listener(_) | Owner::Mailbox(_))
    }
}

/// Logs the panic of a service whose end a job has awaited.
#[cold]
pub(super) fn note_discarded(result: std::result::Result<Outcome, Panicked>) {
    if let Err(panicked) = result {
        log::error!("reload: a bug: an old service panicked at its end{}", panicked.detail());
    }
}

/// Logs lines, at most [`RELOAD_LINES_MAX`].
fn log_lines(level: log::Level, lines: &[String]) {
    for line in lines.iter().take(RELOAD_LINES_MAX) {
        log::log!(level, "reload: {line}");
    }
    if let Some(more) = lines.len().checked_sub(RELOAD_LINES_MAX).filter(|more| *more > 0) {
        log::log!(level, "reload: and {more} more");
    }
}
