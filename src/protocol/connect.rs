//! Outgoing connections: where to, how long, and what the protocol that asked is answered. `other_side.rs` has the steps.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use super::StreamProtocol;
use super::job::Continuation;
use crate::limits::{CONNECT_ADDRESSES_MAX, CONNECT_TIMEOUT};
use crate::panics::Foreign;
use crate::token::ConnectionId;

/// Where [`Step::connect`](super::Step::connect) connects to: places that are tried in their order, and the time for all of them.
///
/// ```
/// use std::time::Duration;
/// use reactor::protocol::Target;
///
/// let one = "127.0.0.1:80".parse::<Target>()?;
/// let all = ["[::1]:80", "localhost:8080"].into_iter().map(str::parse).collect::<Result<Target, _>>()?;
/// assert_eq!(one.or(all).within(Duration::from_secs(3)).to_string(), "127.0.0.1:80, [::1]:80, localhost:8080");
/// assert!("localhost".parse::<Target>().is_err(), "no port");
/// # Ok::<(), reactor::protocol::BadTarget>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    places: Vec<Place>,
    within: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Address(SocketAddr),
    Name(Box<str>, u16),
}

impl Target {
    fn of(places: Vec<Place>) -> Self {
        Self { places, within: CONNECT_TIMEOUT }
    }

    /// Returns this target, followed by the places of `other`. The time stays as it is.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.places.extend(other.places);
        self
    }

    /// Sets the time for all places together. Default: 10 seconds. Each address is given an equal part of the time that is
    /// left, so that one that does not answer leaves time for the next. A name lookup cannot be interrupted
    /// (`getaddrinfo(3)`): if it takes longer than `time`, the answer comes when it ends.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: time, ..self }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::of(vec![Place::Address(address)])
    }
}

impl FromIterator<Self> for Target {
    /// The places of all targets, with the default time.
    fn from_iter<I: IntoIterator<Item = Self>>(targets: I) -> Self {
        Self::of(targets.into_iter().flat_map(|target| target.places).collect())
    }
}

/// An address with a port, or a name with a port.
impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (name, port) = text.rsplit_once(':').ok_or(BadTarget(()))?;
        let is_name = !name.is_empty() && !name.contains([':', '[', ']', '/']) && !name.contains(char::is_whitespace);
        match port.parse() {
            Ok(port) if is_name => Ok(Self::of(vec![Place::Name(name.into(), port)])),
            _ => Err(BadTarget(())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.places.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            match place {
                Place::Address(address) => write!(f, "{address}")?,
                Place::Name(name, port) => write!(f, "{name}:{port}")?,
            }
        }
        Ok(())
    }
}

/// A text that is no [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTarget(());

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address or a name, with a port, such as 127.0.0.1:80, [::1]:80 or example.org:80")
    }
}

impl std::error::Error for BadTarget {}

/// Why no connection was made. If several addresses were tried, the error of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target has no address.
    NoAddress,
    /// The name lookup failed (`getaddrinfo(3)`).
    Lookup,
    /// No program listens at the address (`ECONNREFUSED`).
    Refused,
    /// The time of the target has passed.
    TimedOut,
    /// `max_connections` of the listener is reached, or no descriptor is left.
    NoRoom,
    /// The server is stopping.
    Stopping,
    /// Any other error of the socket, such as an unreachable network.
    Failed(io::ErrorKind),
}

impl ConnectError {
    /// Returns the meaning of an error of `connect(2)`.
    pub(crate) fn of(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            kind => Self::Failed(kind),
        }
    }

    /// Returns the name of the counter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoAddress => "no address",
            Self::Lookup => "name lookup",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::NoRoom => "no room",
            Self::Stopping => "shutdown",
            Self::Failed(_) => "socket error",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(kind) => write!(f, "{kind}"),
            _ => f.write_str(self.name()),
        }
    }
}

impl std::error::Error for ConnectError {}

pub(super) type Make = dyn FnOnce(ConnectionId) -> Box<dyn StreamProtocol> + Send;
pub(super) type Answer = dyn FnOnce(Result<ConnectionId, ConnectError>) -> Continuation + Send;

/// A connection that a protocol asks for: where to, what its protocol is, and what is called with the result.
pub(crate) struct Connect {
    target: Target,
    /// The addresses that have not been tried.
    addresses: VecDeque<SocketAddr>,
    make: Foreign<Box<Make>>,
    answer: Box<Answer>,
}

impl Connect {
    pub(super) fn new(target: Target, make: Box<Make>, answer: Box<Answer>) -> Self {
        Self { target, addresses: VecDeque::new(), make: Foreign::new(make), answer }
    }

    /// The time for all addresses.
    pub(crate) fn within(&self) -> Duration {
        self.target.within
    }

    /// Whether names must be looked up, which blocks.
    pub(crate) fn needs_lookup(&self) -> bool {
        self.target.places.iter().any(|place| matches!(place, Place::Name(..)))
    }

    /// Finds the addresses: the first [`CONNECT_ADDRESSES_MAX`]. Blocks if names must be looked up.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn find_addresses(&mut self) -> Result<(), ConnectError> {
        let mut failed = false;
        for place in mem::take(&mut self.target.places) {
            match place {
                Place::Address(address) => self.addresses.push_back(address),
                Place::Name(name, port) => match (&*name, port).to_socket_addrs() {
                    Ok(found) => self.addresses.extend(found),
                    Err(_) => failed = true,
                },
            }
            if self.addresses.len() >= CONNECT_ADDRESSES_MAX {
                break;
            }
        }
        self.addresses.truncate(CONNECT_ADDRESSES_MAX);
        match self.addresses.is_empty() {
            false => Ok(()),
            true if failed => Err(ConnectError::Lookup),
            true => Err(ConnectError::NoAddress),
        }
    }

    /// Takes the address to be tried next. Returns it with the part of `left` that it is given.
    pub(crate) fn next_address(&mut self, left: Duration) -> Option<(SocketAddr, Duration)> {
        let share = left / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
        self.addresses.pop_front().map(|address| (address, share))
    }

    /// Returns the call of the protocol that asked, with an error.
    pub(crate) fn fails(self, error: ConnectError) -> Continuation {
        (self.answer)(Err(error))
    }

    /// Returns the function that makes the protocol of the new connection for the asker that it is passed, and the one that makes
    /// the call of the asker.
    pub(crate) fn into_parts(mut self) -> Option<(Box<Make>, Box<Answer>)> {
        Some((self.make.take()?, self.answer))
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("target", &self.target).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(target: Target) -> Connect {
        Connect::new(target, Box::new(|_| unreachable!()), Box::new(|_| unreachable!()))
    }

    fn addresses(target: Target) -> Result<Vec<SocketAddr>, ConnectError> {
        let mut connect = connect(target);
        connect.find_addresses().map(|()| connect.addresses.into())
    }

    #[test]
    fn a_target_is_an_address_or_a_name_with_a_port() {
        for text in ["127.0.0.1:80", "[::1]:0", "localhost:80", "a.b-c.example:65535"] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.to_owned()));
        }
        for text in ["", ":80", "localhost", "localhost:", "localhost:65536", "::1:80", "[::1]", "a b:1", "tcp://a:1"] {
            assert_eq!(text.parse::<Target>(), Err(BadTarget(())), "{text}");
        }
    }

    #[test]
    fn names_become_their_addresses_in_place_and_the_number_is_bounded() {
        let target = |text: &str| text.parse::<Target>().expect("a target");
        let found = addresses(target("192.0.2.1:1").or(target("localhost:2")).or(target("192.0.2.3:3"))).expect("some");
        assert!(found.len() >= 3 && found[1..found.len() - 1].iter().all(|at| at.ip().is_loopback() && at.port() == 2));
        let many = (0..100).map(|_| target("192.0.2.1:1")).collect();
        assert_eq!(addresses(many).map(|found| found.len()), Ok(CONNECT_ADDRESSES_MAX));
        assert_eq!(addresses([].into_iter().collect()), Err(ConnectError::NoAddress));
        assert_eq!(addresses(target("name.invalid:1")), Err(ConnectError::Lookup));
    }

    #[test]
    fn each_address_is_given_an_equal_part_of_the_time_that_is_left() {
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut connect = connect([1, 2, 3].map(|_| Target::from(address)).into_iter().collect());
        connect.find_addresses().expect("three addresses");
        for (left, share) in [(9, 3), (8, 4), (7, 7)] {
            let next = connect.next_address(Duration::from_secs(left));
            assert_eq!(next, Some((address, Duration::from_secs(share))));
        }
        assert_eq!(connect.next_address(Duration::MAX), None);
    }
}
