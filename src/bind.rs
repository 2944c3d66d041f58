//! Opens the services and binds the sockets of a checked configuration.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::address::{Address, Transport};
use crate::config::ListenerConfig;
use crate::endpoint::Endpoint;
use crate::errno;
use crate::kernel::{BindOptions, Kernel, ListenOptions, Token, addresses, users};
use crate::limits::{FEW_DESCRIPTORS, Limits, RESERVED_DESCRIPTORS};
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

/// A bound listener.
pub(crate) struct Bound<K: Kernel> {
    /// The socket, registered with the kernel.
    pub(crate) socket: Socket<K>,
    /// Its local address.
    pub(crate) address: Address,
    /// The users whose processes may connect; `None` for all.
    pub(crate) allowed: Option<Box<[u32]>>,
    /// Makes the protocols of connections; `None` for datagrams.
    pub(crate) service: Option<Acceptor>,
}

/// The socket of a listener.
pub(crate) enum Socket<K: Kernel> {
    /// A listener for streams.
    Listener(K::Listener),
    /// A socket for datagrams and its protocol.
    Datagram(K::Socket, Box<dyn DatagramProtocol>),
}

/// Opens the service of a listener, then binds its address. `endpoints` are the listeners that are already bound.
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
        || unopened(SetupError::Other(format!("protocol {} is not available over this transport", config.protocol)));
    let failed = |error| address_error(config, error);
    let allowed = users::allowed(&config.access).map_err(failed)?;
    if config.listen.transport.is_stream() {
        let open = protocol.and_then(|protocol| protocol.stream.as_ref()).ok_or_else(unknown)?;
        let service = open(config.options.clone(), &setup).map_err(unopened)?;
        let (socket, address) = match &config.listen.unix {
            Some(unix) => {
                let options = users::file_options(&config.access).map_err(failed)?;
                let socket = kernel.listen_unix(unix, &options, config.backlog, token).map_err(failed)?;
                (socket, Address::Unix(unix.clone()))
            }
            None => at_first_address(config, endpoints, |address, both_families| {
                let options = ListenOptions::new(config.backlog, config.limits.tcp_keepalive, both_families);
                kernel.listen(address, &options, token)
            })?,
        };
        Ok(Bound { socket: Socket::Listener(socket), address, allowed, service: Some(service) })
    } else {
        let open = protocol.and_then(|protocol| protocol.datagram.as_ref()).ok_or_else(unknown)?;
        let service = open(config.options.clone(), &setup).map_err(unopened)?;
        let (socket, address) = match &config.listen.unix {
            Some(unix) => {
                let options = users::file_options(&config.access).map_err(failed)?;
                let socket = kernel.bind_unix(unix, &options, token).map_err(failed)?;
                (socket, Address::Unix(unix.clone()))
            }
            None => at_first_address(config, endpoints, |address, both_families| {
                kernel.bind(address, &BindOptions::new(config.receive_buffer, both_families), token)
            })?,
        };
        Ok(Bound { socket: Socket::Datagram(socket, service), address, allowed, service: None })
    }
}

/// Tries the addresses in order; the second is tried only where the first address family is unavailable.
fn at_first_address<S>(
    config: &ListenerConfig,
    endpoints: &[Endpoint],
    mut bind: impl FnMut(SocketAddr, bool) -> io::Result<(S, SocketAddr)>,
) -> Result<(S, Address), BindError> {
    let result = addresses::resolve(&config.listen).and_then(|(addresses, both_families)| {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            result = bind(address, both_families && address.is_ipv6())
                .map_err(|error| taken_by_us(error, config.listen.transport, address, endpoints));
            if !result.as_ref().is_err_and(errno::is_missing_family) {
                break;
            }
        }
        result
    });
    result.map(|(socket, address)| (socket, address.into())).map_err(|source| address_error(config, source))
}

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

/// Returns the number of descriptors for connections, after a reserve. Warns if that number is small, or smaller than
/// the configuration asks for: `max_connections` counts as asked for only if it differs from the default.
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
             the remaining connections wait in the accept queue (ulimit -n)"
        );
    }
    Ok(available)
}
