//! Sockets that a service manager has opened and passed to this process (`sd_listen_fds(3)`).
//!
//! The environment announces them: `LISTEN_FDS` is their number, from descriptor 3 on; `LISTEN_PID` is the process that they are
//! for; `LISTEN_FDNAMES` has their names, with colons between them. The manager keeps its own descriptors of these sockets, so
//! they outlive this process, with their accept queues.

mod descriptor;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::sockopt::{ipv6_v6only, socket_type};
use rustix::net::{AddressFamily, SocketType, getsockname};

use crate::address::Family;

/// The first passed descriptor.
const FIRST: RawFd = 3;

/// The name of a socket that the manager has not named (`sd_listen_fds_with_names(3)`).
const UNNAMED: &str = "unknown";

/// The sockets that a service manager has passed to this process, until the listeners with `fd:NAME` take them.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<Entry>);

/// A passed socket.
#[derive(Debug)]
struct Entry {
    number: RawFd,
    name: String,
    /// `None` after a listener has taken it.
    socket: Option<OwnedFd>,
}

/// A passed socket, checked and registered.
#[derive(Debug)]
pub struct Passed<L, S> {
    /// The socket.
    pub socket: PassedSocket<L, S>,
    /// Its local address.
    pub address: SocketAddr,
    /// The only address family that it takes; `None` for both.
    pub family: Option<Family>,
}

/// A passed socket by its transport.
#[derive(Debug)]
pub enum PassedSocket<L, S> {
    /// A listening TCP socket.
    Listener(L),
    /// A UDP socket.
    Datagram(S),
}

impl PassedSockets {
    /// Takes the sockets that the environment announces to this process. Only the first call in a process returns any.
    ///
    /// # Errors
    /// The environment contradicts itself, or announces a descriptor that was not passed.
    pub fn from_environment() -> io::Result<Self> {
        static ARE_TAKEN: AtomicBool = AtomicBool::new(false);
        let Some(announced) = Announced::read(|variable| env::var_os(variable), process::id())? else {
            return Ok(Self::default());
        };
        if ARE_TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        // The first number that is not a passed descriptor ends this loop, however large the announced number is.
        let sockets = (FIRST..=RawFd::MAX).zip(0..announced.count).map(|(number, index)| {
            let name = announced.names.as_ref().and_then(|names| names.get(index)).map_or(UNNAMED, |name| name);
            Ok(Entry { number, name: name.to_owned(), socket: Some(descriptor::take(number)?) })
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Takes the socket with a name or, if `name` is a number, with this descriptor.
    ///
    /// # Errors
    /// There is not exactly one, or another listener has taken it. The message names all passed sockets.
    pub(super) fn take(&mut self, name: &str) -> io::Result<OwnedFd> {
        if self.0.is_empty() {
            return Err(wrong("no socket was passed to this process (LISTEN_FDS, LISTEN_PID)"));
        }
        let number = Some(name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.map(|number| number.parse::<RawFd>());
        let is_meant = |entry: &Entry| match &number {
            Some(number) => *number == Ok(entry.number),
            None => entry.name == name,
        };
        let mut meant = (0..self.0.len()).filter(|index| is_meant(&self.0[*index]));
        let problem = match (meant.next(), meant.next()) {
            (Some(index), None) => match self.0[index].socket.take() {
                Some(socket) => return Ok(socket),
                None => "another listener has taken this socket",
            },
            (Some(_), Some(_)) => "several sockets with this name were passed; a number names one",
            (None, _) => "no such socket was passed",
        };
        Err(wrong(format!("{problem}; passed: {self}")))
    }

    /// Whether a listener has taken this descriptor.
    pub(super) fn has_lent(&self, number: RawFd) -> bool {
        self.0.iter().any(|entry| entry.number == number && entry.socket.is_none())
    }

    /// Forgets a descriptor that its listener closes: the next socket of this process may have the same number. Returns whether it
    /// was passed.
    pub(super) fn forget(&mut self, number: RawFd) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.number != number || entry.socket.is_some());
        self.0.len() < before
    }

    /// Returns the sockets that no listener has taken, as messages name them.
    pub(super) fn left(&self) -> Vec<String> {
        self.0.iter().filter(|entry| entry.socket.is_some()).map(Entry::to_string).collect()
    }
}

/// All of them, in one line.
impl fmt::Display for PassedSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Entry::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd:{} ({})", self.number, self.name.escape_debug())
    }
}

/// What the environment announces.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    count: usize,
    /// `None`: the manager has named nothing.
    names: Option<Vec<String>>,
}

impl Announced {
    /// Returns what the variables announce to the process `id`; `None` if nothing, or if they are for another process, such as
    /// the parent of this one.
    fn read(variable: impl Fn(&str) -> Option<OsString>, id: u32) -> io::Result<Option<Self>> {
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        let (Some(count), Some(process)) = (text("LISTEN_FDS"), text("LISTEN_PID")) else { return Ok(None) };
        if process != id.to_string() {
            return Ok(None);
        }
        let count = count.parse().map_err(|_| wrong(format!("LISTEN_FDS: expected a number, found {count:?}")))?;
        let names = text("LISTEN_FDNAMES").map(|names| names.split(':').map(str::to_owned).collect::<Vec<_>>());
        match &names {
            Some(names) if names.len() != count => {
                Err(wrong(format!("LISTEN_FDNAMES: expected {count} names (LISTEN_FDS), found {}", names.len())))
            }
            _ => Ok(Some(Self { count, names })),
        }
    }
}

/// What a passed socket turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) is_listener: bool,
    pub(super) address: SocketAddr,
    pub(super) family: Option<Family>,
}

impl Found {
    /// Asks the kernel what a socket is.
    ///
    /// # Errors
    /// It is neither a listening TCP socket nor a bound UDP socket.
    pub(super) fn of(socket: &OwnedFd) -> io::Result<Self> {
        let kind = socket_type(socket)
            .map_err(|error| wrong(format!("expected a socket, found another descriptor: {error}")))?;
        let name = getsockname(socket)?;
        let address = match name.address_family() {
            AddressFamily::INET | AddressFamily::INET6 => SocketAddr::try_from(name)?,
            AddressFamily::UNIX => return Err(wrong("expected a TCP or UDP socket, found a Unix socket")),
            other => {
                let number = other.as_raw();
                return Err(wrong(format!("expected a TCP or UDP socket, found address family {number}")));
            }
        };
        if !is_tcp_or_udp(socket) || !matches!(kind, SocketType::STREAM | SocketType::DGRAM) {
            return Err(wrong("expected a TCP or UDP socket, found another transport"));
        }
        let is_listener = kind == SocketType::STREAM;
        if is_listener && !is_listening(socket)? {
            return Err(wrong(format!("expected a listening TCP socket, found one that does not listen ({address})")));
        }
        if address.port() == 0 {
            return Err(wrong("expected a UDP socket with a port, found one that is not bound"));
        }
        let family = match address {
            SocketAddr::V4(_) => Some(Family::V4),
            SocketAddr::V6(_) => ipv6_v6only(socket)?.then_some(Family::V6),
        };
        Ok(Self { is_listener, address, family })
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "openbsd"))]
fn is_tcp_or_udp(socket: &OwnedFd) -> bool {
    use rustix::net::{ipproto, sockopt::socket_protocol};
    matches!(socket_protocol(socket), Ok(Some(ipproto::TCP | ipproto::UDP)))
}

/// The system does not report the transport of a socket, and internet sockets have hardly any other.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "openbsd")))]
fn is_tcp_or_udp(_: &OwnedFd) -> bool {
    true
}

#[cfg(not(target_vendor = "apple"))]
fn is_listening(socket: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(socket)?)
}

/// The system does not report it: the first accept fails if the socket does not listen.
#[cfg(target_vendor = "apple")]
fn is_listening(_: &OwnedFd) -> io::Result<bool> {
    Ok(true)
}

fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

#[cfg(test)]
mod tests;
