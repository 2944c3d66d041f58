//! From JSON to a checked configuration; every problem with line, column and path.
//!
//! ```text
//! text ─▶ document      the values of the JSON, with their positions
//!      ─▶ deserialize   serde over the document; repeated after each error, so that all errors are found
//!      ─▶ members       the members of the file, as types
//!      ─▶ check         what types cannot express
//!      ─▶ Config        or Problems, in the order of the text
//! ```

mod check;
mod coming;
pub(crate) mod difference;
mod log;
mod members;
mod schema;
mod secrets;
mod taken;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::Value;

pub use coming::{AccessRules, Others, ProxyProtocol};
pub use log::{ACCESS_LOG, Access, LogConfig, LogFormat};
pub use schema::schema;

pub use crate::address::access::{Account, FileMode, UnixAccess};
pub use crate::address::{Family, Listen, Transport, UnixAddress};
use crate::json::quoted;
pub use crate::json::{Problem, Problems};
use crate::limits::{BACKLOG, CONFIG_BYTES_MAX, Limits};
pub use crate::network::Network;
use crate::registry::Registry;
pub use crate::units;
use coming::ProxyMembers;
use members::{FileMembers, LimitsMembers, ListenerMembers, LogMembers, bytes, size};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<ListenerConfig>,
    /// The limits of all listeners for streams. A listener's own limits take precedence.
    pub limits: Limits,
    /// Bytes of output pending for all connections together, above which the server reads less.
    pub max_pending_output_total: usize,
    /// The duration of a turn of the loop above which a warning names the listeners that were served; `None` for never.
    pub slow_turn: Option<Duration>,
    /// The most worker threads for the jobs of each listener; they are started when needed.
    pub workers: usize,
    /// How long the loop looks for events before it sleeps; zero for not at all.
    pub busy_poll: Duration,
    /// Time for connections to finish their requests when the server stops.
    pub shutdown_timeout: Duration,
    /// Time for which the server goes on serving after the first signal to stop.
    pub shutdown_delay: Duration,
    /// The log.
    pub log: LogConfig,
}

/// One listener.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// The name: unique and without white space.
    pub name: String,
    /// The address to listen on.
    pub listen: Listen,
    /// The name of the protocol, which is registered for the transport of `listen`. For a passed socket, the start checks that.
    pub protocol: String,
    /// The options of the protocol, checked and complete.
    pub options: Value,
    /// Streams: the limits of the listener, with the limits at the top for those left out. Datagrams: the defaults, without effect.
    pub limits: Limits,
    /// Streams: connections that the kernel queues before they are accepted (`listen(2)`).
    pub backlog: u32,
    /// UDP: bytes of the kernel's receive buffer (`socket(7)`: `SO_RCVBUF`); `None` for the default.
    pub receive_buffer: Option<usize>,
    /// Whether other processes of the same user may listen on the same address (`socket(7)`: `SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Unix sockets: who may connect.
    pub access: UnixAccess,
    /// Streams: the proxies whose connections begin with a PROXY header; `None` if there are none.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Streams: the networks that may come, and those that may not.
    pub access_rules: AccessRules,
}

/// Why a configuration file was rejected.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file can be read, but is wrong.
    Wrong(Problems),
}

impl Config {
    /// The text of the embedded default configuration, which serves every built-in protocol on a port of its own, except those
    /// for administrators: `admin` and `agent`.
    pub const EMBEDDED: &str = include_str!("config/default.json");

    /// Returns all defaults, and no listener. [`Config::add_listener`] adds listeners.
    #[must_use]
    pub fn without_listeners() -> Self {
        Self::from(&FileMembers::default())
    }

    /// Checks the text of a configuration; `file` is the name of the file in its problems.
    ///
    /// ```
    /// use reactor::Registry;
    /// use reactor::config::Config;
    ///
    /// let problems = Config::parse("my.json", r#"{ "listeners": [{ "protocol": "smu" }] }"#, &Registry::built_in());
    /// assert_eq!(
    ///     problems.unwrap_err().to_string(),
    ///     "my.json:1:17: listeners[0]: missing member \"listen\"\n\
    ///      my.json:1:31: listeners[0].protocol: unknown protocol \"smu\"; did you mean \"sum\"?"
    /// );
    /// ```
    ///
    /// # Errors
    /// All problems of the text.
    pub fn parse(file: &str, text: &str, registry: &Registry) -> Result<Self, Problems> {
        check::check(file, text, registry)
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file is not a regular file, cannot be read, or is wrong.
    pub fn read(path: &Path, registry: &Registry) -> Result<Self, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        let file = path.display().to_string();
        let content = read_bounded(path).map_err(unreadable)?;
        if content.len() > CONFIG_BYTES_MAX {
            let message = format!("expected a file of at most {}, found a larger one", size(CONFIG_BYTES_MAX));
            return Err(ReadError::Wrong(Problems::one(&file, "", 0, message)));
        }
        let text = str::from_utf8(&content).map_err(|error| {
            let valid = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            ReadError::Wrong(Problems::one(
                &file,
                &valid,
                valid.len(),
                "expected UTF-8, found an invalid byte".to_owned(),
            ))
        })?;
        Self::parse(&file, text, registry).map_err(ReadError::Wrong)
    }

    /// Adds a listener from `PROTOCOL=URL`, with the limits at the top and the default options of the protocol.
    ///
    /// # Errors
    /// What is wrong with the argument, in a sentence.
    pub fn add_listener(&mut self, argument: &str, registry: &Registry) -> Result<(), String> {
        let (name, url) = argument
            .split_once('=')
            .ok_or_else(|| "expected PROTOCOL=URL, such as \"sum=tcp://127.0.0.1:5656\"".to_owned())?;
        let protocol = registry.protocol(name)?;
        let listen: Listen = url.parse().map_err(|expected| format!("{expected}, found {}", quoted(url)))?;
        if listen.passed.is_none() {
            protocol.speaks(listen.transport)?;
        }
        let clash = |first: &ListenerConfig| listen.clash(&first.listen, &format!("the listener {}", first.name));
        if let Some(clash) = self.listeners.iter().find_map(clash) {
            return Err(clash);
        }
        let options = (protocol.options.checked_defaults)().map_err(|errors| {
            let reasons: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
            format!("expected options, which only a configuration file can set ({})", reasons.join("; "))
        })?;
        let limits = if listen.transport.is_stream() { self.limits.clone() } else { Limits::default() };
        self.listeners.push(ListenerConfig {
            name: String::new(),
            listen,
            protocol: name.to_owned(),
            options,
            limits,
            backlog: BACKLOG,
            receive_buffer: None,
            reuse_port: false,
            access: UnixAccess::default(),
            proxy_protocol: None,
            access_rules: AccessRules::default(),
        });
        self.name_the_nameless();
        Ok(())
    }

    /// Returns the embedded default configuration.
    ///
    /// # Errors
    /// A built-in protocol is not in the registry.
    pub fn embedded(registry: &Registry) -> Result<Self, Problems> {
        Self::parse("the embedded configuration", Self::EMBEDDED, registry)
    }

    /// Returns the configuration as JSON, with all defaults. [`Config::parse`] makes an equal configuration from it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&FileMembers::from(self)).unwrap_or_default()
    }

    /// Names listeners without a name after protocol and scheme, with a number if that name is taken.
    fn name_the_nameless(&mut self) {
        let mut taken: BTreeSet<String> = self.listeners.iter().map(|listener| listener.name.clone()).collect();
        let mut numbers = BTreeMap::new();
        for listener in self.listeners.iter_mut().filter(|listener| listener.name.is_empty()) {
            let stem = format!("{}-{}", listener.protocol, listener.listen.scheme());
            let number = numbers.entry(stem.clone()).or_insert(1);
            listener.name = stem.clone();
            while !taken.insert(listener.name.clone()) {
                *number += 1;
                listener.name = format!("{stem}-{number}");
            }
        }
    }
}

impl From<&FileMembers> for Config {
    fn from(file: &FileMembers) -> Self {
        Self {
            listeners: Vec::new(),
            limits: Limits::from(&file.limits),
            max_pending_output_total: bytes(file.max_pending_output_total),
            slow_turn: Some(file.slow_turn.as_std()).filter(|time| !time.is_zero()),
            workers: file.workers,
            shutdown_timeout: file.shutdown_timeout.as_std(),
            shutdown_delay: file.shutdown_delay.as_std(),
            busy_poll: file.busy_poll.as_std(),
            log: LogConfig::from(&file.log),
        }
    }
}

impl From<&Config> for FileMembers {
    fn from(config: &Config) -> Self {
        Self {
            schema: None,
            listeners: config.listeners.iter().map(ListenerMembers::from).collect(),
            limits: LimitsMembers::from(&config.limits),
            max_pending_output_total: size(config.max_pending_output_total),
            slow_turn: units::Span::new(config.slow_turn.unwrap_or_default()),
            workers: config.workers,
            shutdown_timeout: units::Span::new(config.shutdown_timeout),
            shutdown_delay: units::Span::new(config.shutdown_delay),
            busy_poll: units::Span::new(config.busy_poll),
            log: LogMembers::from(&config.log),
        }
    }
}

impl From<&ListenerConfig> for ListenerMembers {
    fn from(listener: &ListenerConfig) -> Self {
        let is_stream = listener.listen.transport.is_stream();
        let has_file = matches!(listener.listen.unix, Some(UnixAddress::Path(_)));
        Self {
            name: Some(listener.name.clone()),
            listen: Some(listener.listen.clone()),
            protocol: Some(listener.protocol.clone()),
            options: Some(listener.options.clone()),
            limits: is_stream.then(|| LimitsMembers::from(&listener.limits)),
            backlog: (is_stream && listener.listen.passed.is_none()).then_some(listener.backlog),
            receive_buffer: listener.receive_buffer.map(size),
            reuse_port: listener.reuse_port,
            mode: has_file.then_some(listener.access.mode),
            owner: listener.access.owner.clone(),
            group: listener.access.group.clone(),
            allow_users: listener.access.allow_users.clone(),
            proxy_protocol: listener.proxy_protocol.as_ref().map(ProxyMembers::from),
            access: (listener.access_rules != AccessRules::default()).then(|| (&listener.access_rules).into()),
        }
    }
}

/// Reads a file, but at most one byte more than is allowed. Does not wait for the writer of a FIFO (`fifo(7)`).
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Wrong(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests;
