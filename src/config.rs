//! JSON → checked configuration; every error with line, column and path.
//!
//! ```text
//! text ─▶ document      JSON, and where everything stands in it
//!      ─▶ deserialize   serde over it; run again past each error, so that one run finds them all
//!      ─▶ members       what a file may say, as types
//!      ─▶ check         what no type can say
//!      ─▶ Config        or Problems, in the order of the text
//! ```

mod check;
mod members;
mod schema;
mod taken;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::Value;

pub use schema::schema;

pub use crate::address::{Family, Listen, Transport};
use crate::json::quoted;
pub use crate::json::{Problem, Problems};
use crate::limits::{BACKLOG, CONFIG_BYTES_MAX, Limits};
use crate::registry::Registry;
pub use crate::units;
use members::{FileMembers, LimitsMembers, ListenerMembers, bytes, size};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// What to listen on, in the order of the configuration.
    pub listeners: Vec<ListenerConfig>,
    /// The limits of TCP listeners that have none of their own.
    pub limits: Limits,
    /// Bytes of output pending for all connections together before less is read.
    pub max_pending_output_total: usize,
    /// How long a turn of the loop may take before the log tells whose protocol held it; `None` for never.
    pub slow_turn: Option<Duration>,
    /// Worker threads for the jobs of each listener, started when they are needed.
    pub workers: usize,
    /// Time for connections to finish their requests when the server stops.
    pub shutdown_timeout: Duration,
}

/// One listener.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// Its name, unique and without white space.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// The name of its protocol, which the registry knows for the transport of `listen`.
    pub protocol: String,
    /// The options of its protocol, checked and complete.
    pub options: Value,
    /// TCP: its limits, those of the top level merged in. UDP: the defaults, which mean nothing there.
    pub limits: Limits,
    /// TCP: connections that the kernel holds before they are accepted (`listen(2)`).
    pub backlog: u32,
    /// UDP: bytes of the kernel's receive buffer, if it shall not have its default (`socket(7)`: `SO_RCVBUF`).
    pub receive_buffer: Option<usize>,
}

/// A configuration file that gives no configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can be read, and is wrong.
    Wrong(Problems),
}

impl Config {
    /// The text of the embedded default configuration, which runs all built-in protocols on their own ports.
    pub const EMBEDDED: &str = include_str!("config/default.json");

    /// What a file says that says nothing: all defaults, and no listener. [`Config::add_listener`] adds some.
    #[must_use]
    pub fn without_listeners() -> Self {
        Self::from(&FileMembers::default())
    }

    /// Checks a configuration; `file` is what its problems call it.
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
    /// Everything that is wrong with it, at once.
    pub fn parse(file: &str, text: &str, registry: &Registry) -> Result<Self, Problems> {
        check::check(file, text, registry)
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// It is not a regular file, cannot be read, or is wrong.
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
            ReadError::Wrong(Problems::one(&file, &valid, valid.len(), "expected UTF-8, found another byte".to_owned()))
        })?;
        Self::parse(&file, text, registry).map_err(ReadError::Wrong)
    }

    /// Adds a listener with the limits at the top and the default options of its protocol, from `PROTOCOL=URL`.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn add_listener(&mut self, argument: &str, registry: &Registry) -> Result<(), String> {
        let (name, url) = argument
            .split_once('=')
            .ok_or_else(|| "expected PROTOCOL=URL, such as \"sum=tcp://127.0.0.1:5656\"".to_owned())?;
        let protocol = registry.protocol(name)?;
        let listen: Listen = url.parse().map_err(|expected| format!("{expected}, found {}", quoted(url)))?;
        protocol.speaks(listen.transport)?;
        let clash = |first: &ListenerConfig| listen.clash(&first.listen, &format!("the listener {}", first.name));
        if let Some(clash) = self.listeners.iter().find_map(clash) {
            return Err(clash);
        }
        let options = (protocol.options.checked_defaults)().map_err(|errors| {
            let reasons: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
            format!("expected options in a configuration file ({})", reasons.join("; "))
        })?;
        let limits = match listen.transport {
            Transport::Tcp => self.limits.clone(),
            Transport::Udp => Limits::default(),
        };
        self.listeners.push(ListenerConfig {
            name: String::new(),
            listen,
            protocol: name.to_owned(),
            options,
            limits,
            backlog: BACKLOG,
            receive_buffer: None,
        });
        self.name_the_nameless();
        Ok(())
    }

    /// The embedded default configuration.
    ///
    /// # Errors
    /// The registry lacks a built-in protocol.
    pub fn embedded(registry: &Registry) -> Result<Self, Problems> {
        Self::parse("the embedded configuration", Self::EMBEDDED, registry)
    }

    /// The configuration as JSON, with all defaults; read again, it gives an equal one.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&FileMembers::from(self)).unwrap_or_default()
    }

    /// Gives listeners without a name that of their protocol and scheme, and a number if it is taken.
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
        }
    }
}

impl From<&ListenerConfig> for ListenerMembers {
    fn from(listener: &ListenerConfig) -> Self {
        let is_tcp = listener.listen.transport == Transport::Tcp;
        Self {
            name: Some(listener.name.clone()),
            listen: Some(listener.listen.clone()),
            protocol: Some(listener.protocol.clone()),
            options: Some(listener.options.clone()),
            limits: is_tcp.then(|| LimitsMembers::from(&listener.limits)),
            backlog: is_tcp.then_some(listener.backlog),
            receive_buffer: listener.receive_buffer.map(size),
        }
    }
}

/// The content of a file, and at most one byte more than is allowed. Opening does not wait for a writer (`fifo(7)`).
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
