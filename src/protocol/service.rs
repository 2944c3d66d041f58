//! The service of a listener, and its options.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StreamProtocol;
use crate::disk::Disk;
use crate::limits::{TICK_MAX, TICK_MIN};
use crate::messages::{Attended, Sender};
use crate::peer::Peer;

/// What a listener serves. Made once for each listener, from the options in the configuration.
///
/// A protocol needs no service if the types of its options are enough to check them: see
/// [`Registry::stream_with`](crate::Registry::stream_with). [`Refusal`] has an example of a complete service.
pub trait Service: Send + Sized + 'static {
    /// The name by which a configuration chooses the protocol.
    const NAME: &'static str;
    /// One sentence on what the protocol does, for `reactor protocols`.
    const ABOUT: &'static str;
    /// One line of shell that tries the protocol, for `reactor protocols`.
    const TRY: &'static str;
    /// The type of the member `options` in the configuration. It needs `#[serde(default, deny_unknown_fields)]`, so that
    /// options may be left out and misspelt ones are reported. [`NoOptions`] is for a protocol without options.
    type Options: Serialize + DeserializeOwned + JsonSchema + Default;

    /// Checks what the types of the options cannot express, such as a range. Must not open or create anything, because
    /// `reactor check` calls it too.
    ///
    /// ```
    /// # use reactor::protocol::OptionError;
    /// # struct Options { most: u64 }
    /// # struct Limited;
    /// # impl Limited {
    /// fn check(options: &Options) -> Result<(), Vec<OptionError>> {
    ///     match options.most {
    ///         1..=10 => Ok(()),
    ///         found => Err(vec![OptionError::new("most", format!("expected 1 to 10, found {found}"))]),
    ///     }
    /// }
    /// # }
    /// # assert!(Limited::check(&Options { most: 10 }).is_ok() && Limited::check(&Options { most: 11 }).is_err());
    /// ```
    ///
    /// # Errors
    /// All problems, each with the path of its option.
    fn check(options: &Self::Options) -> Result<(), Vec<OptionError>> {
        let _ = options;
        Ok(())
    }

    /// Makes the service. Called once for each listener, before the server accepts connections, so it may block.
    ///
    /// # Errors
    /// A resource that the service needs, such as a directory, cannot be used. The server does not start.
    fn open(options: Self::Options, setup: &Setup<'_>) -> Result<Self, SetupError>;
}

/// A service over TCP.
pub trait StreamService: Service {
    /// File descriptors that one connection may need besides its socket. The server counts them when it limits the number
    /// of connections by the descriptors that it may open.
    const DESCRIPTORS: usize = 0;

    /// Returns the protocol for a connection that has just been accepted. Runs on the loop's thread, so it must not block.
    ///
    /// # Errors
    /// [`Refusal`]: the connection is closed before anything is read from the peer or sent.
    fn connect(&self, peer: &Peer) -> Admission;
}

/// What [`StreamService::connect`] returns: the protocol of the new connection, or why the connection is refused.
pub type Admission = Result<Box<dyn StreamProtocol>, Refusal>;

/// What the function of [`Registry::stream_fn`](crate::Registry::stream_fn) returns: a protocol, or a [`Result`] if it may refuse.
pub trait IntoAdmission {
    /// Converts the value into what [`StreamService::connect`] returns.
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

/// Makes the protocols of one listener; the function of [`Registry::stream_with`](crate::Registry::stream_with) returns it.
pub struct Acceptor {
    /// Called for each connection.
    pub(crate) connect: Box<dyn Fn(&Peer) -> Admission + Send>,
    /// File descriptors that one connection may need besides its socket.
    pub(crate) descriptors: usize,
    /// The regular call of the service.
    pub(crate) tick: Option<Tick>,
    /// The messages between the connections; the server sets it.
    pub(crate) exchange: Arc<Attended>,
}

/// The regular call of a service.
pub(crate) struct Tick {
    /// The interval.
    pub(crate) every: Duration,
    /// When the next call is due; `None` before the loop has started.
    pub(crate) due: Option<Instant>,
    /// What is called.
    pub(crate) call: Box<OnTick>,
}

type OnTick = dyn FnMut(Instant, &Sender) + Send;

impl Acceptor {
    /// Creates an acceptor that calls `connect` for each connection that has just been accepted. `connect` returns the protocol,
    /// or a [`Result`] if it may refuse the connection. It runs on the loop's thread, so it must not block.
    pub fn new<A: IntoAdmission>(connect: impl Fn(&Peer) -> A + Send + 'static) -> Self {
        Self {
            connect: Box::new(move |peer| connect(peer).into_admission()),
            descriptors: 0,
            tick: None,
            exchange: Attended::ended(),
        }
    }

    /// Sets the number of file descriptors that one connection may need besides its socket. Default: 0.
    #[must_use]
    pub fn descriptors(self, descriptors: usize) -> Self {
        Self { descriptors, ..self }
    }

    /// Makes the loop call `tick` each `every`, at least a millisecond, while the listener is open: with the time of the turn, and a
    /// sender of messages to the connections of the listener. Like a protocol it must not block. A late loop calls it late, but not
    /// twice in a row. If it panics, the log says so and the next call comes as usual.
    #[must_use]
    pub fn tick(self, every: Duration, tick: impl FnMut(Instant, &Sender) + Send + 'static) -> Self {
        Self { tick: Some(Tick { every: every.clamp(TICK_MIN, TICK_MAX), due: None, call: Box::new(tick) }), ..self }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("descriptors", &self.descriptors).finish_non_exhaustive()
    }
}

/// A connection that is refused. The text is the name of its counter: a few words, the same for every peer.
///
/// ```
/// use reactor::protocol::{
///     Admission, NoOptions, Peer, Refusal, Service, Setup, SetupError, StreamService, greeting::Greeting,
/// };
///
/// /// Greets clients of this machine only, whatever address the listener has.
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

/// A problem with one option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionError {
    /// The path of the option, such as `max_request` or `sizes[1].most`; empty for all options.
    pub path: String,
    /// What was expected and what was found, such as `expected at most 10, found 12`.
    pub message: String,
}

impl OptionError {
    /// Creates a problem of the option at `path`.
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

/// What a service receives when it is opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Setup<'a> {
    /// The name of the listener in the configuration.
    pub name: &'a str,
    /// The disk. Every call may block, so after `open` use it in jobs only.
    pub disk: Arc<dyn Disk>,
    /// The messages between the connections of the listener.
    exchange: Arc<Attended>,
}

impl<'a> Setup<'a> {
    /// Creates the setup of a listener named `name`, whose files are on `disk`. Its [sender](Self::sender) reaches no connection.
    #[must_use]
    pub fn new(name: &'a str, disk: Arc<dyn Disk>) -> Self {
        Self::with_exchange(name, disk, Attended::ended())
    }

    /// Creates the setup of a listener whose connections can be sent messages.
    pub(crate) const fn with_exchange(name: &'a str, disk: Arc<dyn Disk>, exchange: Arc<Attended>) -> Self {
        Self { name, disk, exchange }
    }

    /// Returns a sender of messages to the connections of the listener, for the threads of the service.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.exchange.sender()
    }
}

/// Why a service cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// A directory cannot be used.
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Any other reason, as a sentence for the administrator.
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

/// The options of a protocol without options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
