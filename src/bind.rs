//! From a checked configuration to services that are open and sockets that are bound.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::address::Transport;
use crate::config::ListenerConfig;
use crate::endpoint::Endpoint;
use crate::errno;
use crate::kernel::{BindOptions, Kernel, ListenOptions, Token, addresses};
use crate::limits::{FEW_DESCRIPTORS, Limits, RESERVED_DESCRIPTORS};
use crate::protocol::{Acceptor, DatagramProtocol, Setup, SetupError};
use crate::registry::Registry;

/// Why a server cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// An address cannot be bound.
    Address {
        /// The name of the listener.
        listener: String,
        /// What the configuration says.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A directory cannot be used.
    Directory {
        /// The name of the listener.
        listener: String,
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A service cannot be opened.
    Service {
        /// The name of the listener.
        listener: String,
        /// Why not.
        message: String,
    },
    /// Too few descriptors are left for even one connection; how many more are needed.
    Descriptors(usize),
    /// There are more than 65,536 listeners.
    Listeners,
    /// The poll cannot be opened.
    Poll(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { listener, address, source } => {
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

/// A listener that is bound.
pub(crate) struct Bound<K: Kernel> {
    pub(crate) socket: Socket<K>,
    pub(crate) address: SocketAddr,
    pub(crate) service: Option<Acceptor>,
}

pub(crate) enum Socket<K: Kernel> {
    Listener(K::Listener),
    Datagram(K::Socket, Box<dyn DatagramProtocol>),
}

/// Opens the service of a listener, then binds its address; `endpoints` are bound already.
pub(crate) fn bind<K: Kernel>(
    kernel: &mut K,
    config: &ListenerConfig,
    registry: &Registry,
    endpoints: &[Endpoint],
    token: Token,
) -> Result<Bound<K>, BindError> {
    let setup = Setup::new(&config.name, kernel.disk());
    let unopened = |error| unopened(config, error);
    let protocol = registry.find(&config.protocol);
    let unknown =
        || unopened(SetupError::Other(format!("there is no protocol {} over this transport", config.protocol)));
    match config.listen.transport {
        Transport::Tcp => {
            let open = protocol.and_then(|protocol| protocol.stream.as_ref()).ok_or_else(unknown)?;
            let service = open(config.options.clone(), &setup).map_err(unopened)?;
            let (socket, address) = at_first_address(config, endpoints, |address, both_families| {
                let options = ListenOptions::new(config.backlog, config.limits.tcp_keepalive, both_families);
                kernel.listen(address, &options, token)
            })?;
            Ok(Bound { socket: Socket::Listener(socket), address, service: Some(service) })
        }
        Transport::Udp => {
            let open = protocol.and_then(|protocol| protocol.datagram.as_ref()).ok_or_else(unknown)?;
            let service = open(config.options.clone(), &setup).map_err(unopened)?;
            let (socket, address) = at_first_address(config, endpoints, |address, both_families| {
                kernel.bind(address, &BindOptions::new(config.receive_buffer, both_families), token)
            })?;
            Ok(Bound { socket: Socket::Datagram(socket, service), address, service: None })
        }
    }
}

/// Tries the addresses in order; only a machine without the family of the first one gets to the second.
fn at_first_address<S>(
    config: &ListenerConfig,
    endpoints: &[Endpoint],
    mut bind: impl FnMut(SocketAddr, bool) -> io::Result<S>,
) -> Result<S, BindError> {
    let result = addresses::resolve(&config.listen).and_then(|(addresses, both_families)| {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            result = bind(address, both_families && address.is_ipv6())
                .map_err(|error| taken_by_us(error, config.listen.transport, address, endpoints));
            if !result.as_ref().is_err_and(errno::lacks_family) {
                break;
            }
        }
        result
    });
    result.map_err(|source| BindError::Address {
        listener: config.name.clone(),
        address: config.listen.to_string(),
        source,
    })
}

/// Names the listener of ours that has an address, if it is one of ours: a name may turn out to mean the same address.
fn taken_by_us(error: io::Error, transport: Transport, address: SocketAddr, endpoints: &[Endpoint]) -> io::Error {
    let has_it = |endpoint: &&Endpoint| {
        let other = endpoint.address();
        let is_every = other.ip().is_unspecified() || address.ip().is_unspecified();
        endpoint.transport() == transport && other.port() == address.port() && (is_every || other.ip() == address.ip())
    };
    match endpoints.iter().find(has_it) {
        Some(endpoint) if error.kind() == io::ErrorKind::AddrInUse => {
            let message = format!("the listener {} has that address ({})", endpoint.name(), endpoint.url());
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

/// How many descriptors connections may take, some being kept in reserve. Says so, once, if that is little, or less than
/// the configuration asks for: `max_connections` of a listener is no wish unless it differs from the default.
pub(crate) fn descriptors_for_connections<K: Kernel>(kernel: &K, endpoints: &[Endpoint]) -> Result<usize, BindError> {
    let Some(free) = kernel.descriptors_free() else { return Ok(usize::MAX) };
    let streams = || endpoints.iter().filter(|endpoint| endpoint.service.is_some());
    let least = streams().map(Endpoint::descriptors).max().unwrap_or(0);
    let available = free.saturating_sub(RESERVED_DESCRIPTORS);
    if available < least {
        return Err(BindError::Descriptors(least + RESERVED_DESCRIPTORS - free));
    }
    let default = Limits::default().max_connections;
    let wanted = |endpoint: &Endpoint| endpoint.limits.max_connections.saturating_mul(endpoint.descriptors());
    let in_all = streams().map(wanted).fold(0, usize::saturating_add);
    let wished = streams().filter(|endpoint| endpoint.limits.max_connections != default);
    let wished = wished.map(wanted).fold(0, usize::saturating_add);
    if available < wished || available < in_all.min(FEW_DESCRIPTORS) {
        let are_left =
            if available == 1 { "1 file descriptor is".into() } else { format!("{available} file descriptors are") };
        log::warn!(
            "{are_left} left for connections (an upload takes two), fewer than max_connections of all listeners together: \
             the rest waits to be accepted (ulimit -n)"
        );
    }
    Ok(available)
}
