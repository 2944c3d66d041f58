//! What a listener serves, and its options.

use std::fmt;
use std::io;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StreamProtocol;
use crate::disk::Disk;
use crate::peer::Peer;

/// What a listener serves: made once, from its options. A protocol needs none if the type of its options is all the check that
/// they need: see [`Registry::stream_with`](crate::Registry::stream_with).
pub trait Service: Send + Sized + 'static {
    /// The name by which a configuration chooses it.
    const NAME: &'static str;
    /// One sentence on what it does.
    const ABOUT: &'static str;
    /// One line of shell that tries it.
    const TRY: &'static str;
    /// What `options` in the configuration may say. Use `#[serde(default, deny_unknown_fields)]`; [`NoOptions`] for none.
    type Options: Serialize + DeserializeOwned + JsonSchema + Default;

    /// Checks what the type of an option cannot say. Opens and creates nothing.
    ///
    /// # Errors
    /// Everything that is wrong, each with the path of its option.
    fn check(options: &Self::Options) -> Result<(), Vec<OptionError>> {
        let _ = options;
        Ok(())
    }

    /// Makes the service; called once for each listener, before anything is served.
    ///
    /// # Errors
    /// What it needs cannot be had: a directory, say.
    fn open(options: Self::Options, setup: &Setup<'_>) -> Result<Self, SetupError>;
}

/// A service over TCP.
pub trait StreamService: Service {
    /// File descriptors that one connection may need besides its socket.
    const DESCRIPTORS: usize = 0;

    /// The protocol for a connection that has just been accepted.
    ///
    /// # Errors
    /// [`Refusal`]: the connection is closed before anything is read of it or sent.
    fn connect(&self, peer: &Peer) -> Admission;
}

/// What [`StreamService::connect`] returns: the protocol of the new connection, or why there is none.
pub type Admission = Result<Box<dyn StreamProtocol>, Refusal>;

/// What [`Registry::stream_fn`](crate::Registry::stream_fn) makes for a connection: a protocol, or a [`Result`] if it may refuse.
pub trait IntoAdmission {
    /// The same as [`StreamService::connect`] returns it.
    ///
    /// # Errors
    /// [`Refusal`]: the connection is closed.
    fn into_admission(self) -> Admission;
}

impl<P: StreamProtocol> IntoAdmission for P {
    fn into_admission(self) -> Admission {
        Ok(self.boxed())
    }
}

impl<P: StreamProtocol> IntoAdmission for Result<P, Refusal> {
    fn into_admission(self) -> Admission {
        self.map(P::boxed)
    }
}

/// Makes the protocols of one listener, as [`Registry::stream_with`](crate::Registry::stream_with) asks for it.
pub struct Acceptor {
    /// Called for each connection.
    pub(crate) connect: Box<dyn Fn(&Peer) -> Admission + Send>,
    /// File descriptors that one connection may need besides its socket.
    pub(crate) descriptors: usize,
}

impl Acceptor {
    /// Calls `connect` for each connection that has just been accepted. It returns the protocol, or a [`Result`] if it may
    /// refuse.
    pub fn new<A: IntoAdmission>(connect: impl Fn(&Peer) -> A + Send + 'static) -> Self {
        Self { connect: Box::new(move |peer| connect(peer).into_admission()), descriptors: 0 }
    }

    /// Sets how many file descriptors one connection may need besides its socket: none unless this is called.
    #[must_use]
    pub fn descriptors(self, descriptors: usize) -> Self {
        Self { descriptors, ..self }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("descriptors", &self.descriptors).finish_non_exhaustive()
    }
}

/// A connection that is not served; the name of its counter, a few words that do not depend on the peer.
///
/// ```
/// use reactor::protocol::{
///     Admission, NoOptions, Peer, Refusal, Service, Setup, SetupError, StreamService, greeting::Greeting,
/// };
///
/// /// Greets this machine only, whatever address it listens on.
/// struct LocalGreeting(Greeting);
///
/// impl Service for LocalGreeting {
///     const NAME: &'static str = "local-greeting";
///     const ABOUT: &'static str = "Greets this machine.";
///     const TRY: &'static str = "nc 127.0.0.1 9000";
///     type Options = <Greeting as Service>::Options;
///
///     fn open(options: Self::Options, setup: &Setup<'_>) -> Result<Self, SetupError> {
///         Ok(Self(Greeting::open(options, setup)?))
///     }
/// }
///
/// impl StreamService for LocalGreeting {
///     fn connect(&self, peer: &Peer) -> Admission {
///         match peer.ip() {
///             Some(address) if !address.is_loopback() => Err(Refusal("not local")),
///             _ => self.0.connect(peer),
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refusal {}

/// An option that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionError {
    /// Which one, such as `max_request`.
    pub path: String,
    /// What was expected, and what was found.
    pub message: String,
}

impl OptionError {
    /// The option at `path` is wrong, as `message` says.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for OptionError {}

/// What a service is given when it opens.
#[derive(Debug)]
#[non_exhaustive]
pub struct Setup<'a> {
    /// The name of the listener.
    pub name: &'a str,
    /// The disk; every call on it may block, so use it in jobs once the service is open.
    pub disk: Arc<dyn Disk>,
}

impl<'a> Setup<'a> {
    /// What a service named `name` gets, with its files on `disk`.
    #[must_use]
    pub fn new(name: &'a str, disk: Arc<dyn Disk>) -> Self {
        Self { name, disk }
    }
}

/// A service that cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// A directory cannot be used.
    Directory {
        /// Which one.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    Other(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, source } => write!(f, "cannot use the directory {}: {source}", path.display()),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SetupError {}

/// The options of a protocol that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
