//! What a protocol can use and ask during one call.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Proxies;
use crate::address::Address;
use crate::clock::Clock;
use crate::messages::Attended;
use crate::outbox::Outbox;
use crate::peer::{Peer, canonical};
use crate::stats::Tally;
use crate::token::ConnectionId;

/// What a protocol can use and ask during one call. Time is part of it, so that a test can choose the time.
#[non_exhaustive]
pub struct Context<'a> {
    /// The connection's output: append here what the peer is to be sent.
    pub out: &'a mut Outbox,
    /// The monotonic time of this turn of the loop: the same for all calls of a turn.
    pub now: Instant,
    pub(crate) refused: &'a mut Tally,
    pub(crate) place: &'a Place<'a>,
    pub(crate) ends: &'a dyn Ends,
}

/// Where a protocol is called, and its wall clock: the same for all calls of a visit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The connection, or the datagram socket.
    pub(crate) id: ConnectionId,
    /// The listener that the connection or socket belongs to.
    pub(crate) site: &'a Site,
    pub(crate) clock: &'a dyn Clock,
}

/// Both ends of a connection, or of a datagram. They are determined only when a protocol asks.
pub(crate) trait Ends {
    /// The other end of the connection, or the sender of the datagram.
    fn peer(&self) -> Peer;

    /// The address of this machine that the peer reached, as the kernel reports it.
    fn local(&self) -> Option<SocketAddr>;
}

/// What a protocol may know of its listener.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// The address that the listener is bound to.
    pub(crate) address: Address,
    /// The messages between its connections.
    pub(crate) exchange: Arc<Attended>,
    /// The target of the access log, unless it is off.
    pub(crate) access_log: Option<&'static str>,
    /// The proxies of its connections.
    pub(crate) proxies: Proxies,
}

impl Site {
    /// Makes the site of a listener whose connections cannot be sent messages.
    pub(crate) fn new(name: impl Into<String>, address: impl Into<Address>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            exchange: Attended::ended(),
            access_log: None,
            proxies: Proxies::default(),
        }
    }
}

impl Context<'_> {
    /// Counts a request that was answered with an error while its connection goes on, or over UDP. `reason` is the name of the
    /// counter: a few words, the same whatever the peer sent. A datagram without an answer is counted by
    /// [`Dropped`](super::Dropped) instead.
    pub fn refuse(&mut self, reason: &'static str) {
        self.refused.add(reason);
    }

    /// Returns the number of the connection, as the log, the report and the X-ray print it; over UDP the number of the socket.
    /// From now on messages can be [sent](Self::post) to the connection by this number. It may be copied and sent to other
    /// threads: no later connection has it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.place.site.exchange.admit(self.place.id);
        self.place.id
    }

    /// Returns the wall-clock time, which may jump; for durations use `now`.
    #[must_use]
    pub fn wall_clock(&self) -> SystemTime {
        self.place.clock.wall_clock()
    }

    /// Returns the other end of the connection, or the sender of the datagram.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.ends.peer()
    }

    /// Returns the name of the listener in the configuration.
    #[must_use]
    pub fn listener(&self) -> &str {
        &self.place.site.name
    }

    /// Returns the address and port of this machine that the peer reached. It is an IPv4 address if the peer has one, whether
    /// the listener is for IPv4 or for both families. `None` if the kernel does not report it: for a multicast or broadcast
    /// datagram, or a connection that has ended; and over a Unix socket, which has no such address.
    ///
    /// On a TCP listener with a wildcard address each call costs a system call (`getsockname(2)`), so keep the result.
    /// Otherwise a call costs none.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        let Address::Inet(bound) = self.place.site.address else { return None };
        let address = if bound.ip().is_unspecified() { self.ends.local()? } else { bound };
        Some(canonical(address))
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("out", &self.out)
            .field("now", &self.now)
            .field("wall_clock", &self.wall_clock())
            .field("peer", &self.peer())
            .field("id", &self.id())
            .field("listener", &self.place.site.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Credentials;
    use crate::protocol::{DatagramProtocol, Dropped, Reply, Step, StreamProtocol};
    use crate::testing::{Script, ask, ask_as, converse};

    /// Answers with everything that the context tells.
    struct Where;

    fn say(cx: &mut Context<'_>) {
        let local = cx.local_address().map_or_else(|| "?".to_owned(), |address| address.to_string());
        let text = format!("{} {} {local} {}", cx.id(), cx.listener(), cx.peer());
        cx.out.extend_from_slice(text.as_bytes());
    }

    impl StreamProtocol for Where {
        fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
            say(cx);
            Ok(Step::finish())
        }

        fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(Step::finish())
        }
    }

    impl DatagramProtocol for Where {
        fn on_datagram(&mut self, _: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
            say(cx);
            Ok(())
        }
    }

    fn both(script: &Script) -> String {
        let answer = ask_as(&mut Where, b"?", script).expect("an answer");
        assert_eq!(converse(Where, script).sent, answer);
        String::from_utf8(answer).expect("text")
    }

    #[test]
    fn a_test_sets_the_peer_the_number_the_listener_and_the_local_address() {
        assert_eq!(both(&Script::new()), "0.1 test 192.0.2.2:9000 192.0.2.1:40000");
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let script = Script::new()
            .peer(Credentials::new(Some(7), None, None))
            .id(3)
            .listener("door")
            .local_address(address("[::ffff:192.0.2.9]:80"));
        assert_eq!(both(&script), "3.1 door 192.0.2.9:80 unix:pid=7");
        assert_eq!(both(&script.local_address(address("[::]:80"))), "3.1 door ? unix:pid=7");
        let peer = address("192.0.2.5:1");
        assert!(ask(&mut Where, b"?", peer).is_ok_and(|answer| answer.ends_with(b" 192.0.2.5:1")));
    }
}
