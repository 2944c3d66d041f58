//! Registering new sockets. Rule 3: a connection is registered at the end of the turn that accepts it, if it is still there, and is
//! visited before that if the turn has time. So a peer that has left already, or is answered and has sent its FIN, costs no registration.
//!
//! Nothing is lost between the last read and the registration: if a socket is ready when it is registered, an event reports that
//! (`epoll_ctl(2)`, `kqueue(2)`; `poll(2)` reports it in any case).

use super::{Owner, Reactor};
use crate::kernel::Kernel;
use crate::protocol::CloseReason;
use crate::xray;

/// The reason by which a connection is counted that cannot be registered.
const REASON: &str = "cannot be registered";

impl<K: Kernel> Reactor<K> {
    /// Registers the sockets that were accepted in this turn, except those of connections that have closed.
    pub(super) fn register_new(&mut self) {
        for index in 0..self.queues.new.len() {
            self.register(self.queues.new[index]);
        }
        self.queues.new.clear();
    }

    /// Registers the socket of a connection or an opening, unless it has closed.
    fn register(&mut self, key: u32) {
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        let token = slot.token(key);
        let stream = match &mut slot.owner {
            Owner::Connection(connection) => connection.open_socket(),
            Owner::Opening(opening) => opening.open_socket(),
            Owner::Listener(_) | Owner::Mailbox(_) | Owner::Remains(_) => None,
        };
        let Some(stream) = stream else { return };
        xray::go_on_about(token);
        let Err(error) = self.kernel.register(stream, token) else { return };
        log::debug!("{token} {}: closing: it cannot be registered: {error}", self.endpoints[slot.endpoint].name());
        match &mut slot.owner {
            Owner::Connection(connection) => {
                connection.close_at_once(CloseReason::Refused(REASON), &mut self.lent.buffers);
            }
            Owner::Opening(opening) => opening.refuse(REASON),
            Owner::Listener(_) | Owner::Mailbox(_) | Owner::Remains(_) => {}
        }
        self.queue(key);
    }
}
