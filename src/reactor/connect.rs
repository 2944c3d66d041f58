//! Outgoing connections: a connection asks for one, and waits as for a job until its socket is connected or no address is left.
//!
//! ```text
//! begin_connect          the errand of a visit
//! ├ connect_next         the next address: `connect(2)`, and a slot for the socket, or the error as the answer
//! │                      the slot opens as in connection/opening.rs; if it fails, `reap` calls `connect_next` again
//! ├ connected            makes the protocol of the new connection, and answers
//! └ cancel_connect       the connection that asked has ended: its socket is closed
//! ```
//!
//! What was asked for travels with the work: in the job that looks up names, then in the opening of the socket. So it ends
//! with the socket, whatever ends that one.

use super::{Owner, Reactor};
use crate::connection::asked::Asked;
use crate::connection::opener::Opens;
use crate::connection::opening::Opening;
use crate::errno;
use crate::job::{Job, Outcome};
use crate::kernel::{Kernel, Panicked, Peer, Token};
use crate::panics::catch;
use crate::protocol::{CloseReason, Connect, ConnectError, ConnectionId};
use crate::stats::Stats;
use crate::time::Time;
use crate::xray::{self, What};

/// What the job that looks up names returns.
struct LookedUp(Box<Asked>, Result<(), ConnectError>);

impl<K: Kernel> Reactor<K> {
    /// Begins to connect for the connection in a slot.
    pub(super) fn begin_connect(&mut self, key: u32, connect: Box<Connect>) {
        let until = self.moment.now.after(connect.within());
        let mut asked = Box::new(Asked { asker: self.token(key), until, connect });
        if asked.connect.needs_lookup() {
            // Rule 10: a lookup blocks. If no worker takes it, the protocol is notified as of any other job.
            return self.submit(
                key,
                Job::new(move || {
                    let found = asked.connect.find_addresses();
                    LookedUp(asked, found)
                }),
            );
        }
        let found = asked.connect.find_addresses();
        self.connect_found(asked, found);
    }

    /// Goes on with the result of a name lookup. Returns any other result.
    pub(super) fn note_looked_up(&mut self, result: Result<Outcome, Panicked>) -> Option<Result<Outcome, Panicked>> {
        match result.map(Outcome::downcast::<LookedUp>) {
            Ok(Ok(LookedUp(asked, found))) => {
                self.connect_found(asked, found);
                None
            }
            Ok(Err(outcome)) => Some(Ok(outcome)),
            Err(panicked) => Some(Err(panicked)),
        }
    }

    /// Tries the first address.
    fn connect_found(&mut self, asked: Box<Asked>, found: Result<(), ConnectError>) {
        match found {
            Ok(()) => self.connect_next(asked, ConnectError::NoAddress),
            Err(error) => self.no_connection(*asked, error),
        }
    }

    /// Tries the next address; if none is left, answers with `error`, the one of the last address.
    pub(super) fn connect_next(&mut self, mut asked: Box<Asked>, mut error: ConnectError) {
        let Some(index) = self.awaiting(asked.asker) else { return self.no_connection(*asked, error) };
        loop {
            let left = asked.until.duration_from(self.moment.now);
            if let Some(why) = self.may_not_connect(index, asked.until) {
                return self.no_connection(*asked, why);
            }
            let keepalive = self.endpoints[index].limits.tcp_keepalive;
            let Some((address, share)) = asked.connect.next_address(left) else {
                return self.no_connection(*asked, error);
            };
            let peer = Peer::from(address);
            let token = self.next_token();
            xray::about(token, || What::Connects { peer: (&peer).into(), endpoint: self.endpoints[index].served });
            let connected = self.kernel.connect(address, keepalive).and_then(|mut stream| {
                // Rule 3: registered once; the edge of the connect is the first.
                match self.kernel.register(&mut stream, token) {
                    Ok(()) => Ok(stream),
                    Err(error) => {
                        self.kernel.close(stream);
                        Err(error)
                    }
                }
            });
            match connected {
                Ok(stream) => {
                    log::debug!("{token} {}: connects to {peer} for {}", self.endpoints[index].name(), asked.asker);
                    let asker = asked.asker;
                    self.access.begin(token.slot, self.moment.now);
                    let opening = Opening::connecting(stream, &peer, Opens::at_once(share), self.moment.now);
                    let owner = self.opens(index, opening.asked_by(asked));
                    self.count_in(token, index, owner);
                    if let Some(Owner::Connection(connection)) = self.slot(asker).map(|slot| &mut slot.owner) {
                        connection.note_other(ConnectionId::of(token));
                    }
                    return;
                }
                Err(failed) => {
                    error = match errno::is_out_of_descriptors(&failed) {
                        true => ConnectError::NoRoom,
                        false => ConnectError::of(failed.kind()),
                    };
                    self.endpoints.home(index).stats.connect_errors.add(error.name());
                    xray::record(|| What::Closed(error.name()));
                    log::debug!("{}: cannot connect to {peer}: {failed}", self.endpoints[index].name());
                }
            }
        }
    }

    /// Returns the listener of a connection that waits for an errand; `None` if it does not, because it has ended.
    fn awaiting(&mut self, asker: Token) -> Option<u16> {
        let slot = self.slot(asker)?;
        matches!(&slot.owner, Owner::Connection(connection) if connection.awaits_errand()).then_some(slot.endpoint)
    }

    /// Returns what prevents one more outgoing connection, if anything does. Rule 6: it counts like one that is accepted.
    fn may_not_connect(&mut self, index: u16, until: Time) -> Option<ConnectError> {
        let connections = self.endpoints.home(index).connections;
        let endpoint = &self.endpoints[index];
        if endpoint.stopping {
            Some(ConnectError::Stopping)
        } else if until <= self.moment.now {
            Some(ConnectError::TimedOut)
        } else if connections >= endpoint.limits.max_connections
            || self.totals.descriptors + endpoint.descriptors() > self.totals.descriptors_max
        {
            Some(ConnectError::NoRoom)
        } else {
            None
        }
    }

    /// Answers that there is no connection.
    fn no_connection(&mut self, asked: Asked, error: ConnectError) {
        log::debug!("{}: no connection: {error}", asked.asker);
        self.answer(asked.asker, Ok(Outcome::of(asked.connect.fails(error))));
    }

    /// Passes the result of an errand to its connection.
    pub(super) fn answer(&mut self, asker: Token, result: Result<Outcome, Panicked>) {
        let now = self.moment.now;
        // Rule 4: the result for an earlier owner of the slot is ignored.
        let Some(slot) = self.slots.get_mut(asker.slot as usize).filter(|slot| slot.generation == asker.generation)
        else {
            return;
        };
        if let Owner::Connection(connection) = &mut slot.owner {
            // If the visit that asked also ended the connection, its slot waits for reaping already.
            let was_over = connection.is_closed();
            connection.note_answer(result, now, &mut self.lent.buffers);
            if !was_over {
                self.queue(asker.slot);
            }
        }
    }

    /// Makes the protocol of a socket that is connected for `asker`, and answers that one.
    pub(super) fn connected(&mut self, key: u32, asker: Token) {
        let is_awaited = self.awaiting(asker).is_some();
        let Some(Owner::Opening(opening)) = self.slots.get_mut(key as usize).map(|slot| &mut slot.owner) else {
            return;
        };
        if !is_awaited {
            // The connection that asked is closing: it is answered when this socket is reaped.
            opening.give_up(CloseReason::OtherSide);
            return self.queue_ended(key);
        }
        let Some((make, answer)) = opening.take_asked().and_then(|asked| asked.connect.into_parts()) else { return };
        match catch(|| make(ConnectionId::of(asker))) {
            Ok(protocol) => {
                let id = ConnectionId::of(self.token(key));
                self.totals.outgoing.insert(key);
                self.start_opened(key, protocol, |stats| stats.connected += 1);
                let waits = match self.slot(id.token()).map(|slot| &mut slot.owner) {
                    Some(Owner::Connection(connection)) => connection.wait_for_asker(ConnectionId::of(asker)),
                    _ => false,
                };
                self.answer(asker, Ok(Outcome::of(answer(Ok(id)))));
                if let (true, Some(Owner::Connection(connection))) =
                    (waits, self.slot(asker).map(|slot| &mut slot.owner))
                {
                    connection.note_other(id);
                }
                self.queue(key);
            }
            Err(panicked) => {
                opening.give_up(CloseReason::Bug("panicked for an outgoing connection"));
                self.queue_ended(key);
                self.answer(asker, Err(panicked));
            }
        }
    }

    /// Makes a new connection go on, if it waits for `asker`.
    pub(super) fn let_go(&mut self, asker: Token, made: Token) {
        let now = self.moment.now;
        if let Some(Owner::Connection(connection)) = self.slot(made).map(|slot| &mut slot.owner)
            && connection.waits_for_asker() == Some(ConnectionId::of(asker))
        {
            xray::about(made, || What::Visit);
            connection.go_on(now);
            self.queue(made.slot);
        }
    }

    /// Closes the socket that connects for a connection which has ended. Returns whether there was one: then no job is out.
    pub(super) fn cancel_connect(&mut self, asker: Token, other: Option<ConnectionId>) -> bool {
        let Some(other) = other.map(ConnectionId::token) else { return false };
        let Some(Owner::Opening(opening)) = self.slot(other).map(|slot| &mut slot.owner) else { return false };
        let is_its_own = opening.asker() == Some(asker);
        if is_its_own {
            opening.give_up(CloseReason::OtherSide);
            self.queue(other.slot);
        }
        is_its_own
    }

    /// Counts a socket that was closed before it was connected. Returns the answer.
    pub(super) fn count_connect_error(stats: &mut Stats, reason: CloseReason) -> ConnectError {
        let error = match reason {
            CloseReason::Transport(kind) => ConnectError::of(kind),
            CloseReason::OpeningTimeout => ConnectError::TimedOut,
            // No one waits for this answer, unless the server is stopping.
            reason => {
                stats.connect_errors.add(reason.name());
                return ConnectError::Stopping;
            }
        };
        stats.connect_errors.add(error.name());
        error
    }
}
