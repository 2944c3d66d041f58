//! The table of endpoints. In front are those of the configuration, in its order. Behind them are those that a reload has retired
//! and that still have connections, because a connection keeps the limits with which it was accepted.
//!
//! An endpoint is retired in two ways. If its listener has been *removed*, it finishes like a server that stops. If its listener has
//! got other limits or another protocol, the endpoint stays in front with its counters, and its old connections go to an *elder*: a
//! copy with the old limits. The endpoint in front is then the elder's home, and counts its connections.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut, Index, IndexMut};

use super::Endpoint;
use crate::config::ListenerConfig;
use crate::gate::Gate;
use crate::protocol::Acceptor;
use crate::time::Time;

/// All endpoints. A slot stores the index of its endpoint in two bytes.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// Those of the configuration, then the retired ones.
    list: Vec<Endpoint>,
    /// The number of those in front.
    current: usize,
    /// Numbers of lanes that no endpoint has any more.
    free_lanes: Vec<u16>,
    /// The number of lanes so far.
    lanes: u16,
}

/// What happens to a listener at a reload.
pub(crate) struct Successor<'c> {
    /// Its old index.
    pub(crate) index: u16,
    /// Its new configuration, and which peers may come by it, if it differs.
    pub(crate) change: Option<(&'c ListenerConfig, Box<Gate>)>,
    /// Its new service, if it has one.
    pub(crate) service: Option<Acceptor>,
    /// The users whose processes may connect from now on, if its configuration differs; `None` for all.
    pub(crate) allowed: Option<Box<[u32]>>,
}

/// The new indices by old index, for sockets that listen and for connections.
pub(crate) struct Moves {
    /// Of listeners and UDP sockets.
    pub(crate) doors: Vec<u16>,
    /// Of connections.
    pub(crate) connections: Vec<u16>,
    /// Services that new ones have replaced.
    pub(crate) replaced: Vec<Acceptor>,
}

impl Endpoints {
    /// Appends a listener. It is in front after the next [`Endpoints::set_current`] or [`Endpoints::rearrange`].
    pub(crate) fn push(&mut self, mut endpoint: Endpoint) {
        endpoint.home = self.list.len() as u16;
        endpoint.lane = self.free_lanes.pop().unwrap_or_else(|| {
            self.lanes = self.lanes.wrapping_add(1);
            self.lanes.wrapping_sub(1)
        });
        self.list.push(endpoint);
    }

    /// Makes all endpoints those of the configuration.
    pub(crate) fn set_current(&mut self) {
        self.current = self.list.len();
    }

    /// Removes the endpoints from `length` on, which have no slots. Returns their services.
    pub(crate) fn truncate(&mut self, length: usize) -> Vec<Acceptor> {
        let removed = self.list.split_off(length);
        self.free_lanes.extend(removed.iter().map(|endpoint| endpoint.lane));
        removed.into_iter().filter_map(|endpoint| endpoint.service).collect()
    }

    /// The endpoints of the configuration, in its order.
    pub(crate) fn current(&self) -> &[Endpoint] {
        &self.list[..self.current]
    }

    /// The endpoint that counts the connections of this one: itself, unless this is an elder.
    pub(crate) fn home(&mut self, index: u16) -> &mut Endpoint {
        let home = self[index].home;
        &mut self[home]
    }

    /// The index of the endpoint that counts the connections of this one.
    pub(crate) fn home_of(&self, index: u16) -> u16 {
        self[index].home
    }

    /// The endpoints that count connections: those of the configuration, and removed ones.
    pub(crate) fn homes(&self) -> impl Iterator<Item = &Endpoint> {
        self.list
            .iter()
            .enumerate()
            .filter(|(index, endpoint)| usize::from(endpoint.home) == *index)
            .map(|(_, home)| home)
    }

    /// Returns the number of retired endpoints that still have slots.
    pub(crate) fn retired(&self) -> usize {
        self.list[self.current..].iter().filter(|endpoint| endpoint.slots > 0).count()
    }

    /// Moves what elders have counted to their homes.
    pub(crate) fn gather(&mut self) {
        for index in self.current..self.list.len() {
            let home = usize::from(self.list[index].home);
            if home != index {
                let counted = mem::take(&mut self.list[index].stats);
                self.list[home].stats.absorb(&counted);
            }
        }
    }

    /// Notes that a slot refers to the endpoint: a connection that keeps old limits may connect to another server.
    pub(crate) fn enter(&mut self, index: u16) {
        if self.is_retired(index) {
            self[index].slots += 1;
        }
    }

    /// Whether a reload has retired the endpoint, so that its slots are counted.
    #[inline]
    pub(crate) fn is_retired(&self, index: u16) -> bool {
        usize::from(index) >= self.current
    }

    /// Notes that a slot of a retired endpoint is free. With the last one, returns what a removed listener has opened.
    #[cold]
    pub(crate) fn leave(&mut self, index: u16) -> Option<Acceptor> {
        let endpoint = self.list.get_mut(usize::from(index))?;
        endpoint.slots = endpoint.slots.saturating_sub(1);
        if endpoint.slots > 0 {
            return None;
        }
        let home = endpoint.home;
        self.gather();
        let is_in_use = |endpoint: &Endpoint| endpoint.home == home && endpoint.slots > 0;
        if self.is_retired(home) && !self.list.iter().any(is_in_use) { self[home].service.take() } else { None }
    }

    /// Arranges the table for a new configuration. `successors` are its listeners, in its order; endpoints in front that are not
    /// among them are removed, and must finish `until` that time. `slots`: the number of connections by index.
    pub(crate) fn rearrange(&mut self, successors: Vec<Successor<'_>>, slots: &[usize], until: Time) -> Moves {
        self.gather();
        let were_current = self.current;
        let mut old: Vec<_> = mem::take(&mut self.list).into_iter().map(Some).collect();
        let mut moves = Moves { doors: vec![0; old.len()], connections: vec![0; old.len()], replaced: Vec::new() };
        let mut elders = Vec::new();
        for Successor { index, change, service, allowed } in successors {
            let from = usize::from(index);
            let Some(mut endpoint) = old[from].take() else { continue };
            let to = self.list.len() as u16;
            (moves.doors[from], moves.connections[from]) = (to, to);
            if let Some((config, gate)) = change {
                let (elder, replaced) = endpoint.renew(config, gate, service, allowed);
                moves.replaced.extend(replaced);
                if slots[from] > 0 && !endpoint.serves_like(&elder) {
                    elders.push((from, Endpoint { slots: slots[from], ..elder }));
                } else {
                    endpoint.site.proxies = elder.site.proxies;
                }
            }
            self.list.push(endpoint);
        }
        self.current = self.list.len();
        for (from, elder) in elders {
            moves.connections[from] = self.list.len() as u16;
            self.list.push(elder);
        }
        self.keep_retired(old, were_current, slots, until, &mut moves);
        for endpoint in &mut self.list {
            endpoint.home = moves.doors[usize::from(endpoint.home)];
        }
        for index in self.current..self.list.len() {
            let Endpoint { stopping, until, .. } = self.list[usize::from(self.list[index].home)];
            if stopping {
                (self.list[index].stopping, self.list[index].until) = (true, until);
            }
        }
        moves
    }

    /// Appends the endpoints of removed listeners, and earlier retired ones that are still needed.
    fn keep_retired(
        &mut self,
        old: Vec<Option<Endpoint>>,
        were_current: usize,
        slots: &[usize],
        until: Time,
        moves: &mut Moves,
    ) {
        let mut needed = vec![false; old.len()];
        for endpoint in old.iter().flatten().filter(|endpoint| endpoint.slots > 0).chain(&self.list[self.current..]) {
            needed[usize::from(endpoint.home)] = true;
        }
        for (from, endpoint) in old.into_iter().enumerate() {
            let Some(mut endpoint) = endpoint else { continue };
            if from < were_current {
                // Its own socket is one slot more.
                endpoint.slots = slots[from] + 1;
                (endpoint.stopping, endpoint.until) = (true, until);
            } else if endpoint.slots == 0 && !needed[from] {
                if usize::from(endpoint.home) == from {
                    self.free_lanes.push(endpoint.lane);
                }
                continue;
            }
            let to = self.list.len() as u16;
            (moves.doors[from], moves.connections[from]) = (to, to);
            self.list.push(endpoint);
        }
    }
}

impl Deref for Endpoints {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.list
    }
}

impl DerefMut for Endpoints {
    fn deref_mut(&mut self) -> &mut [Endpoint] {
        &mut self.list
    }
}

impl Index<u16> for Endpoints {
    type Output = Endpoint;

    #[inline]
    fn index(&self, index: u16) -> &Endpoint {
        &self.list[usize::from(index)]
    }
}

impl IndexMut<u16> for Endpoints {
    #[inline]
    fn index_mut(&mut self, index: u16) -> &mut Endpoint {
        &mut self.list[usize::from(index)]
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}
