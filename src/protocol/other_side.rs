//! The other side: steps that connect to another server, and join two connections.

use super::connect::{Connect, ConnectError, Target};
use super::job::Continuation;
use super::step::{Reply, Step, Then};
use super::{Context, StreamProtocol};
use crate::token::ConnectionId;

impl Step {
    /// Connects to `target`. The new connection belongs to the same listener, whose limits it has and against whose
    /// `max_connections` it counts. `make` makes its protocol, and is passed the number of the connection that asked. Meanwhile
    /// that one waits as for a job, and it cannot have a job at the same time. Then the driver calls `then`, a method of its
    /// protocol, with the number of the new connection or the reason why there is none, and the input that has not been consumed.
    ///
    /// The places of the target are tried in their order, until one connects or the time has passed. Names are looked up on a worker
    /// thread; if no worker takes the lookup, the driver delivers [`Event::NoWorker`](super::Event::NoWorker). If the
    /// connection that asked closes meanwhile, the socket that connects is closed. Until `then` has been called, only
    /// `on_open` of the new protocol is called, if that asks only for input. Each of the two then goes on by itself, unless
    /// they [relay](Self::relay). `examples/relay.rs` uses both.
    pub fn connect<P: StreamProtocol, Q: StreamProtocol>(
        target: Target,
        make: impl FnOnce(ConnectionId) -> Q + Send + 'static,
        then: fn(&mut P, Result<ConnectionId, ConnectError>, &[u8], &mut Context<'_>) -> Reply,
    ) -> Self {
        let make = Box::new(move |asker| make(asker).boxed());
        let answer = Box::new(move |result| Continuation::new(result, then));
        Self::of(Then::Connect(Box::new(Connect::new(target, make, answer))))
    }

    /// Joins the connection with `other`, one of the same listener, for good: what either peer sends goes to the other peer, and
    /// neither protocol is called again but for `on_close`. Output that is pending, and input that neither protocol has
    /// consumed, come first. Both leave their groups, and messages to them are refused or dropped.
    ///
    /// A peer that reads slowly blocks the other one, with at most `max_pending_output` bytes between them. A FIN is passed
    /// on after all bytes before it, a reset as a reset. `idle_timeout` runs while neither peer sends and nothing is pending;
    /// `write_timeout` and `lifetime` hold for each of the two. Both end together. A graceful stop waits for a relay as for contents
    /// ([`Within::Body`](super::Within::Body)). If `other` cannot be joined, the driver delivers [`Event::NoRelay`](super::Event::NoRelay): it has closed or
    /// is about to, belongs to another listener, waits for a job, stores an upload, or relays already.
    pub const fn relay(other: ConnectionId) -> Self {
        Self::of(Then::Relay(other))
    }
}
