//! Accepting: what `accept(2)` answers, and which connections the server may admit.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;

use super::agenda::Happening;
use super::link::{Link, ServerEnd};
use super::settings::Service;
use super::world::World;

/// The errors of `accept(2)` that concern one connection.
const CONNECTION_ERRORS: [Errno; 8] = [
    Errno::ECONNABORTED,
    Errno::EPROTO,
    Errno::ENOPROTOOPT,
    Errno::ENETDOWN,
    Errno::ENETUNREACH,
    Errno::EHOSTUNREACH,
    Errno::EOPNOTSUPP,
    Errno::EPERM,
];
/// The errors of `accept(2)` that concern the whole machine.
const MACHINE_ERRORS: [Errno; 6] =
    [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EINVAL, Errno::EBADF];

impl World {
    /// Simulates `accept(2)`, which allocates a descriptor before it looks at the queue.
    pub(super) fn accept(&mut self, listener: usize, drafts: usize) -> io::Result<usize> {
        let network = &mut self.network;
        network.calls += 1;
        if network.strikes(network.chaos.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let open = network.links.iter().filter(|link| link.server == ServerEnd::Open).count();
        let exhausted = network.chaos.descriptors.is_some_and(|most| open + drafts >= most);
        if exhausted || network.chaos.exhaustion.contains(&network.now) {
            network.seen.insert("no descriptor");
            return Err(network.random.pick(&[Errno::EMFILE, Errno::ENFILE]).into());
        }
        if network.strikes(network.chaos.would_block) {
            let at = network.now + network.random.millis(20);
            network.agenda.add(at, Happening::ListenerEdge(listener));
            network.listeners[listener].edges_planned += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if network.strikes(network.chaos.accept_errors) {
            return Err(self.accept_error(listener));
        }
        let link = network.listeners[listener].queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        network.listeners[listener].accepted += 1;
        network.used = Some(link);
        network.links[link].server = ServerEnd::Open;
        network.links[link].accepted_at = network.now;
        Ok(link)
    }

    /// Notes that the server has admitted a connection. If its listener is guarded, the guard counts it, once.
    pub(super) fn note_admitted(&mut self, link: usize) {
        let now = self.network.look_at_the_guard();
        let state = &mut self.network.links[link];
        let is_new = !std::mem::replace(&mut state.visited, true);
        let guarded = state.guarded;
        // A listener that stops serves what is in its queue, whatever its rate.
        if let Some(guard) = self.network.guard.as_mut().filter(|_| is_new && guarded && !self.stopping) {
            guard.accepts(now);
        }
    }

    /// Checks a connection that is closed right after it was accepted: its address may not come or has too many connections, or a
    /// fault hit it.
    pub(super) fn closes_unregistered(&mut self, link: usize) {
        let state = &self.network.links[link];
        if state.token.is_some() || state.hit.is_some() || state.visited {
            return;
        }
        if let Some(reason) = self.network.reason_against(link, self.network.turn_began) {
            return self.network.hit(link, reason);
        }
        let state = &self.network.links[link];
        let Some(client) = self.clients.get(state.client) else { return };
        let others = self.open_from(state.address.ip(), client.plan.service) - 1;
        let most = self.settings.max_connections_per_ip;
        if most > 0 && others >= most && !state.guarded {
            self.network.hit(link, "the limit of its address");
        } else {
            self.fail(format!("link {link} is rejected without a reason"));
        }
    }

    /// Returns the number of open connections of a service from one address.
    pub(super) fn open_from(&self, address: IpAddr, service: Service) -> usize {
        let is_one = |link: &&Link| {
            link.server == ServerEnd::Open
                && link.address.ip() == address
                && self.clients.get(link.client).is_some_and(|client| client.plan.service == service)
        };
        self.network.links.iter().filter(is_one).count()
    }

    fn accept_error(&mut self, listener: usize) -> io::Error {
        let network = &mut self.network;
        if network.random.flip() {
            return network.random.pick(&MACHINE_ERRORS).into();
        }
        if let Some(link) = network.listeners[listener].queue.pop_front() {
            network.hit(link, network.chaos.accept_errors.what);
            network.links[link].server = ServerEnd::Closed;
            network.links[link].break_off();
            network.wake_client_of(link);
        }
        network.random.pick(&CONNECTION_ERRORS).into()
    }
}
