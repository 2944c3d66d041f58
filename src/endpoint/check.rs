//! Rules of the table of endpoints that are true between two turns. The simulation checks them after each turn.

use super::Endpoints;
use crate::kernel::Token;

/// What a slot is to its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenant {
    /// The listener or UDP socket.
    Door(Token),
    /// A connection without a protocol.
    Opening,
    /// A connection, or what is left of it.
    Connection,
}

impl Endpoints {
    /// Checks the table against all slots, each with the index of its endpoint.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self, slots: impl Iterator<Item = (u16, Tenant)>) -> Result<(), &'static str> {
        let (mut referring, mut open, mut opening) = (vec![0; self.len()], vec![0; self.len()], vec![0; self.len()]);
        for (index, tenant) in slots {
            let Some(endpoint) = self.get(usize::from(index)) else {
                return Err("a slot refers to an endpoint that does not exist");
            };
            let home = usize::from(endpoint.home);
            if home >= self.len() {
                return Err("the home of an endpoint does not exist");
            }
            referring[usize::from(index)] += 1;
            match tenant {
                Tenant::Door(token) if endpoint.door != token => {
                    return Err("the slot of a listener refers to the endpoint of another one");
                }
                Tenant::Door(_) => {}
                Tenant::Opening | Tenant::Connection => {
                    open[home] += 1;
                    opening[home] += usize::from(tenant == Tenant::Opening);
                }
            }
        }
        for (index, endpoint) in self.iter().enumerate() {
            let home = usize::from(endpoint.home);
            let is_retired = index >= self.current().len();
            let is_in_use = self.iter().any(|other| usize::from(other.home) == index && other.slots > 0);
            let rules = [
                (is_retired || home == index, "an endpoint of the configuration has another home"),
                (
                    self.get(home).is_some_and(|it| usize::from(it.home) == home),
                    "the home of an endpoint is not its own",
                ),
                (endpoint.connections == open[index], "the connections of a listener and its elders do not add up"),
                (endpoint.opening == opening[index], "the openings of a listener and its elders do not add up"),
                (!is_retired || endpoint.slots == referring[index], "the slots of a retired endpoint do not add up"),
                (!is_retired || endpoint.service.is_none() || is_in_use, "the service of a removed listener is kept"),
            ];
            if let Some((_, broken)) = rules.iter().find(|(kept, _)| !kept) {
                return Err(broken);
            }
        }
        Ok(())
    }
}
