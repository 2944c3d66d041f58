//! Opens the services and binds the sockets of a checked configuration.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::address::{Address, Family, Transport, UnixAddress};
use crate::config::{AccessRules, ListenerConfig};
use crate::endpoint::Endpoint;
use crate::errno;
use crate::kernel::{
    BindOptions, Disk, FileOptions, Kernel, ListenOptions, Passed, PassedSocket, Token, addresses, users,
};
use crate::limits::{FEW_DESCRIPTORS, Limits, RESERVED_DESCRIPTORS};
use crate::messages::{Alarm, Attended};
use crate::protocol::{Acceptor, DatagramProtocol, Setup, SetupError};
use crate::registry::Registry;

/// The reason why a server cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// An address cannot be bound.
    Address {
        /// The name of the listener.
        listener: String,
        /// The configured address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// A passed socket is missing, or is not one for this listener.
    Passed {
        /// The name of the listener.
        listener: String,
        /// The configured address, as in `fd:web`.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// Sockets were passed that no listener has; a description of each. Their clients would wait for ever.
    PassedAndLeft(Vec<String>),
    /// A directory cannot be used.
    Directory {
        /// The name of the listener.
        listener: String,
        /// The directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A service cannot be opened.
    Service {
        /// The name of the listener.
        listener: String,
        /// The reason.
        message: String,
    },
    /// Too few descriptors are left for even one connection; the number that are missing.
    Descriptors(usize),
    /// There are more than 65,536 listeners.
    Listeners,
    /// The poll cannot be opened.
    Poll(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassedAndLeft(sockets) => {
                write!(f, "no listener has what was passed: {}", sockets.join(", "))
            }
            Self::Address { listener, address, source } | Self::Passed { listener, address, source } => {
                write!(f, "{listener}: cannot listen on {address}: {source}")
            }
            Self::Directory { listener, path, source } => {
                write!(f, "{listener}: cannot use the directory {}: {source}", path.display())
            }
            Self::Service { listener, message } => write!(f, "{listener}: {message}"),
            Self::Descriptors(missing) => {
                let are = if *missing == 1 { "is" } else { "are" };
                write!(f, "the limit of file descriptors is too low: at least {missing} more {are} needed (ulimit -n)")
            }
            Self::Listeners => f.write_str("there are more than 65,536 listeners"),
            Self::Poll(error) => write!(f, "cannot open a poll: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// A bound listener.
pub(crate) struct Bound<K: Kernel> {
    /// The socket, registered with the kernel.
    pub(crate) socket: Socket<K>,
    /// Its local address.
    pub(crate) address: Address,
    /// The only address family, if there is one.
    pub(crate) family: Option<Family>,
    /// The users whose processes may connect; `None` for all.
    pub(crate) allowed: Option<Box<[u32]>>,
    /// Makes the protocols of connections; `None` for datagrams.
    pub(crate) service: Option<Acceptor>,
    /// The messages between its connections.
    pub(crate) exchange: Arc<Attended>,
}

impl<K: Kernel> Bound<K> {
    fn stream(socket: K::Listener, address: Address, family: Option<Family>, service: Acceptor) -> Self {
        let exchange = Arc::clone(&service.exchange);
        let socket = Socket::Listener(socket);
        Self { socket, address, family, allowed: None, service: Some(service), exchange }
    }

    fn datagram(
        socket: K::Socket,
        address: Address,
        family: Option<Family>,
        service: Box<dyn DatagramProtocol>,
    ) -> Self {
        let (socket, exchange) = (Socket::Datagram(socket, service), Attended::ended());
        Self { socket, address, family, allowed: None, service: None, exchange }
    }
}

/// The socket of a listener.
pub(crate) enum Socket<K: Kernel> {
    /// A listener for streams.
    Listener(K::Listener),
    /// A socket for datagrams and its protocol.
    Datagram(K::Socket, Box<dyn DatagramProtocol>),
}

/// An open service.
pub(crate) enum Opened {
    /// Over streams: makes the protocols of connections.
    Stream(Acceptor),
    /// Over datagrams: the protocol of the socket.
    Datagram(Box<dyn DatagramProtocol>),
}

/// A listener that is not bound, with its service, whose end may block.
pub(crate) struct NotBound {
    /// Why.
    pub(crate) error: Box<BindError>,
    /// The service, if it is still there.
    pub(crate) opened: Option<Opened>,
}

impl From<BindError> for NotBound {
    fn from(error: BindError) -> Self {
        Self { error: Box::new(error), opened: None }
    }
}

impl From<NotBound> for BindError {
    fn from(NotBound { error, .. }: NotBound) -> Self {
        *error
    }
}

/// What a listener is bound to, with every name looked up.
pub(crate) enum Candidates {
    /// Internet addresses.
    Inet {
        /// The addresses to try, in order.
        addresses: Vec<SocketAddr>,
        /// Whether an IPv6 socket takes IPv4 as well.
        both_families: bool,
    },
    /// A Unix socket.
    Unix {
        /// Its address.
        address: UnixAddress,
        /// Its file, if the address is a path.
        file: FileOptions,
        /// The users whose processes may connect; `None` for all.
        allowed: Option<Box<[u32]>>,
    },
}

/// Opens the service of a listener over `transport`, which may block.
pub(crate) fn open(
    config: &ListenerConfig,
    transport: Transport,
    registry: &Registry,
    disk: Arc<dyn Disk>,
    alarm: &Arc<Alarm>,
) -> Result<Opened, BindError> {
    let exchange = match transport.is_stream() {
        true => Attended::new(Arc::clone(alarm), config.limits.max_pending_output),
        false => Attended::ended(),
    };
    let setup = Setup::with_exchange(&config.name, disk, Arc::clone(&exchange));
    let protocol = registry.find(&config.protocol);
    let unknown = || SetupError::Other(format!("protocol {} is not available over this transport", config.protocol));
    let options = config.options.clone();
    let opened = match transport.is_stream() {
        true => {
            let open = protocol.and_then(|protocol| protocol.stream.as_ref());
            open.ok_or_else(unknown)
                .and_then(|open| open(options, &setup))
                .map(|service| Opened::Stream(Acceptor { exchange, ..service }))
        }
        false => {
            let open = protocol.and_then(|protocol| protocol.datagram.as_ref());
            open.ok_or_else(unknown).and_then(|open| open(options, &setup)).map(Opened::Datagram)
        }
    };
    opened.map_err(|error| unopened(config, error))
}

/// Looks up what the address of a listener names, which may block: hosts, users and groups.
pub(crate) fn candidates(config: &ListenerConfig) -> Result<Candidates, BindError> {
    let found = match &config.listen.unix {
        Some(unix) => users::file_options(&config.access).and_then(|file| {
            let allowed = users::allowed(&config.access)?;
            Ok(Candidates::Unix { address: unix.clone(), file, allowed })
        }),
        None => addresses::resolve(&config.listen)
            .map(|(addresses, both_families)| Candidates::Inet { addresses, both_families }),
    };
    found.map_err(|source| address_error(config, source))
}

/// Binds a listener, whose service is open. `endpoints` are the listeners that are already bound.
///
/// At a reload this runs on the loop. For a Unix socket with a path that means a few calls on one local directory, and none of them
/// waits for another process: the lock is tried, not awaited, and the socket that probes for a living server does not block.
pub(crate) fn bind<K: Kernel>(
    kernel: &mut K,
    config: &ListenerConfig,
    opened: Opened,
    candidates: &Candidates,
    endpoints: &[Endpoint],
    token: Token,
) -> Result<Bound<K>, NotBound> {
    let failed = |error| address_error(config, error);
    let family = config.listen.family;
    match (opened, candidates) {
        (Opened::Stream(service), Candidates::Inet { addresses, both_families }) => {
            let candidates = (&addresses[..], *both_families);
            let bound = at_first_address(config, candidates, endpoints, |address, both_families| {
                kernel.listen(address, &listen_options(config, both_families), token)
            });
            match bound {
                Ok((socket, address)) => Ok(Bound::stream(socket, address, family, service)),
                Err(error) => Err(NotBound { error: Box::new(error), opened: Some(Opened::Stream(service)) }),
            }
        }
        (Opened::Datagram(service), Candidates::Inet { addresses, both_families }) => {
            let candidates = (&addresses[..], *both_families);
            let bound = at_first_address(config, candidates, endpoints, |address, both_families| {
                kernel.bind(address, &bind_options(config, both_families), token)
            });
            match bound {
                Ok((socket, address)) => Ok(Bound::datagram(socket, address, family, service)),
                Err(error) => Err(NotBound { error: Box::new(error), opened: Some(Opened::Datagram(service)) }),
            }
        }
        (Opened::Stream(service), Candidates::Unix { address, file, allowed }) => {
            match kernel.listen_unix(address, file, config.backlog, token) {
                Ok(socket) => {
                    let bound = Bound::stream(socket, Address::Unix(address.clone()), None, service);
                    Ok(Bound { allowed: allowed.clone(), ..bound })
                }
                Err(error) => Err(NotBound { error: Box::new(failed(error)), opened: Some(Opened::Stream(service)) }),
            }
        }
        (Opened::Datagram(service), Candidates::Unix { address, file, .. }) => {
            match kernel.bind_unix(address, file, token) {
                Ok(socket) => Ok(Bound::datagram(socket, Address::Unix(address.clone()), None, service)),
                Err(error) => Err(NotBound { error: Box::new(failed(error)), opened: Some(Opened::Datagram(service)) }),
            }
        }
    }
}

/// Returns the options of a TCP listener.
pub(crate) fn listen_options(config: &ListenerConfig, both_families: bool) -> ListenOptions {
    ListenOptions::new(config.backlog, config.limits.tcp_keepalive, both_families).reuse_port(config.reuse_port)
}

/// Returns the options of a UDP socket.
pub(crate) fn bind_options(config: &ListenerConfig, both_families: bool) -> BindOptions {
    BindOptions::new(config.receive_buffer, both_families).reuse_port(config.reuse_port)
}

/// Takes the passed socket `name` of a listener, then opens the service for its transport.
pub(crate) fn passed<K: Kernel>(
    kernel: &mut K,
    config: &ListenerConfig,
    name: &str,
    registry: &Registry,
    token: Token,
    alarm: &Arc<Alarm>,
) -> Result<Bound<K>, BindError> {
    let wrong =
        |source| BindError::Passed { listener: config.name.clone(), address: config.listen.to_string(), source };
    let Passed { socket, address, family } = kernel.passed(name, config.limits.tcp_keepalive, token).map_err(wrong)?;
    let transport = match socket {
        PassedSocket::Listener(_) => Transport::Tcp,
        PassedSocket::Datagram(_) => Transport::Udp,
    };
    if let Some(protocol) = registry.find(&config.protocol) {
        protocol.speaks(transport).map_err(|message| wrong(io::Error::other(message)))?;
    }
    if !transport.is_stream() && (config.proxy_protocol.is_some() || config.access_rules != AccessRules::default()) {
        return Err(wrong(io::Error::other("proxy_protocol and access are for listeners of streams only")));
    }
    match (socket, open(config, transport, registry, kernel.disk(), alarm)?) {
        (PassedSocket::Listener(socket), Opened::Stream(service)) => {
            Ok(Bound::stream(socket, address.into(), family, service))
        }
        (PassedSocket::Datagram(socket), Opened::Datagram(service)) => {
            Ok(Bound::datagram(socket, address.into(), family, service))
        }
        _ => Err(wrong(io::ErrorKind::InvalidInput.into())),
    }
}

/// Checks that each passed socket has a listener: clients of another one would wait in its queue for ever.
pub(crate) fn every_passed_socket_is_served<K: Kernel>(kernel: &K) -> Result<(), BindError> {
    let left = kernel.passed_and_left();
    if left.is_empty() { Ok(()) } else { Err(BindError::PassedAndLeft(left)) }
}

/// Tries the addresses in order; the second is tried only where the first address family is unavailable.
fn at_first_address<S>(
    config: &ListenerConfig,
    (addresses, both_families): (&[SocketAddr], bool),
    endpoints: &[Endpoint],
    mut bind: impl FnMut(SocketAddr, bool) -> io::Result<(S, SocketAddr)>,
) -> Result<(S, Address), BindError> {
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses.iter().copied() {
        result = bind(address, both_families && address.is_ipv6())
            .map_err(|error| taken_by_us(error, config.listen.transport, address, endpoints));
        if !result.as_ref().is_err_and(errno::is_missing_family) {
            break;
        }
    }
    result.map(|(socket, address)| (socket, address.into())).map_err(|source| address_error(config, source))
}

/// Returns the error of a listener whose address cannot be bound.
fn address_error(config: &ListenerConfig, source: io::Error) -> BindError {
    BindError::Address { listener: config.name.clone(), address: config.listen.to_string(), source }
}

/// Adds to an error the listener of this server that already has the address, if there is one: two host names may
/// resolve to the same address.
fn taken_by_us(error: io::Error, transport: Transport, address: SocketAddr, endpoints: &[Endpoint]) -> io::Error {
    let has_it = |endpoint: &&Endpoint| {
        let Some(other) = endpoint.address() else { return false };
        let is_every = other.ip().is_unspecified() || address.ip().is_unspecified();
        endpoint.transport() == transport && other.port() == address.port() && (is_every || other.ip() == address.ip())
    };
    match endpoints.iter().find(has_it) {
        Some(endpoint) if error.kind() == io::ErrorKind::AddrInUse => {
            let message = format!("the listener {} already has this address ({})", endpoint.name(), endpoint.url());
            io::Error::new(error.kind(), message)
        }
        _ => error,
    }
}

fn unopened(config: &ListenerConfig, error: SetupError) -> BindError {
    let listener = config.name.clone();
    match error {
        SetupError::Directory { path, source } => BindError::Directory { listener, path, source },
        SetupError::Other(message) => BindError::Service { listener, message },
    }
}

/// Returns the number of descriptors that the connections of an endpoint may take.
fn wanted(endpoint: &Endpoint) -> usize {
    endpoint.limits.max_connections.saturating_mul(endpoint.descriptors())
}

/// Returns the number of descriptors for the connections that the configuration asks for: [`wanted`] where `max_connections` differs from
/// the default.
pub(crate) fn wished(endpoints: &[Endpoint]) -> usize {
    let default = Limits::default().max_connections;
    let asks = |endpoint: &&Endpoint| endpoint.transport().is_stream() && endpoint.limits.max_connections != default;
    endpoints.iter().filter(asks).map(wanted).fold(0, usize::saturating_add)
}

/// Returns the number of descriptors for connections, after a reserve. Warns if that number is small, or smaller than
/// the configuration asks for: `max_connections` counts as asked for only if it differs from the default.
pub(crate) fn descriptors_for_connections<K: Kernel>(kernel: &K, endpoints: &[Endpoint]) -> Result<usize, BindError> {
    let Some(free) = kernel.descriptors_free() else { return Ok(usize::MAX) };
    let streams = || endpoints.iter().filter(|endpoint| endpoint.transport().is_stream());
    let least = streams().map(Endpoint::descriptors).max().unwrap_or(0);
    let available = free.saturating_sub(RESERVED_DESCRIPTORS);
    if available < least {
        return Err(BindError::Descriptors(least + RESERVED_DESCRIPTORS - free));
    }
    let in_all = streams().map(wanted).fold(0, usize::saturating_add);
    if available < wished(endpoints) || available < in_all.min(FEW_DESCRIPTORS) {
        let are_left =
            if available == 1 { "1 file descriptor is".into() } else { format!("{available} file descriptors are") };
        log::warn!(
            "{are_left} left for connections (an upload takes two), fewer than max_connections of all listeners together: \
             the remaining connections wait in the accept queue (ulimit -n)"
        );
    }
    Ok(available)
}
