//! The members of a configuration file, as types.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coming::{AccessMembers, ProxyMembers};
use super::log::{Access, LogConfig, LogFormat, Mode};
use crate::address::Listen;
use crate::address::access::{Account, FileMode};
use crate::limits::{Limits, WORKERS, WORKERS_MAX};
use crate::units::{Rate, Size, Span};

/// The whole configuration file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Configuration")]
pub(super) struct FileMembers {
    /// The path of the JSON Schema of this file, for editors; ignored by the server.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) schema: Option<String>,
    /// The listeners; at least one.
    #[schemars(length(min = 1))]
    pub(super) listeners: Vec<ListenerMembers>,
    /// The limits of all listeners for streams. A listener's own limits take precedence.
    pub(super) limits: LimitsMembers,
    /// Output pending for all connections together, above which the server reads less.
    pub(super) max_pending_output_total: Size,
    /// A turn of the loop that takes longer is logged as a warning; 0s for never.
    pub(super) slow_turn: Span,
    /// The most worker threads for the jobs of each listener, such as writing uploads; started when needed.
    #[schemars(range(min = 1, max = WORKERS_MAX))]
    pub(super) workers: usize,
    /// How long the loop looks for events before it sleeps; 0s for not at all.
    pub(super) busy_poll: Span,
    /// Time for connections to finish their requests when the server stops.
    pub(super) shutdown_timeout: Span,
    /// Time for which the server goes on serving after it was asked to stop, so that a load balancer notices; 0s for none.
    pub(super) shutdown_delay: Span,
    /// Where the log goes, in which form, and whether it has a line for each connection.
    pub(super) log: LogMembers,
}

/// The log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Log")]
pub(super) struct LogMembers {
    /// The form of the lines. With auto: text, and for systemd-journald text with priorities.
    pub(super) format: LogFormat,
    /// Whether a connection gets a line when it ends: off, errors for those that did not end normally, or all.
    pub(super) access: Access,
    /// The file to append to; stderr if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PathBuf")]
    pub(super) file: Option<PathBuf>,
    /// The mode of the file if the server creates it.
    pub(super) file_mode: Mode,
}

/// One listener.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub(super) struct ListenerMembers {
    /// A unique name for logs and output. If left out: protocol and scheme, such as sum-tcp, with a number if that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) name: Option<String>,
    /// The address to listen on: tcp, tcp4, tcp6, udp, udp4 or udp6, then host and port, as in tcp://127.0.0.1:5656; or unix or
    /// unixgram, then an absolute path or an abstract name, as in unix:///run/sum.sock and unix:@sum. Or a socket that the service
    /// manager passes at the start, by name or number: fd:web, fd:3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Listen")]
    pub(super) listen: Option<Listen>,
    /// The name of the protocol to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) protocol: Option<String>,
    /// The options of the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub(super) options: Option<Value>,
    /// Streams only: the limits of this listener; a limit that is left out is taken from the limits at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LimitsMembers")]
    pub(super) limits: Option<LimitsMembers>,
    /// Streams only: connections that the kernel queues before they are accepted; 1024 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 2_147_483_647))]
    pub(super) backlog: Option<u32>,
    /// UDP only: the size of the kernel's receive buffer; the kernel's default if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size")]
    pub(super) receive_buffer: Option<Size>,
    /// Whether other processes of the same user may listen on the same address, each with its own queue.
    pub(super) reuse_port: bool,
    /// Unix sockets with a path only: the permissions of the file; 0600 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FileMode")]
    pub(super) mode: Option<FileMode>,
    /// Unix sockets with a path only: the owner of the file, by name or number; the user of the server if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Account")]
    pub(super) owner: Option<Account>,
    /// Unix sockets with a path only: the group of the file, by name or number; the group of the server if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Account")]
    pub(super) group: Option<Account>,
    /// Unix streams only: the users whose processes may connect, by name or number; all that the mode admits if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Account>", length(min = 1))]
    pub(super) allow_users: Option<Vec<Account>>,
    /// Streams only: the proxies in front, whose connections begin with a PROXY header that names the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProxyMembers")]
    pub(super) proxy_protocol: Option<ProxyMembers>,
    /// TCP, or behind a proxy: the networks that may come, and those that may not; all may if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AccessMembers")]
    pub(super) access: Option<AccessMembers>,
}

/// The bounds of a listener and its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(super) struct LimitsMembers {
    /// The most connections at a time; further ones wait in the accept queue.
    #[schemars(range(min = 1))]
    pub(super) max_connections: usize,
    /// The most connections at a time from one address; 0 for no limit.
    pub(super) max_connections_per_ip: usize,
    /// The most connections accepted in a second (/s), a minute (/m) or an hour (/h); further ones wait in the accept queue. 0/s
    /// for no limit.
    pub(super) connection_rate: Rate,
    /// The most connections in a period from one address; further ones are refused. 0/s for no limit.
    pub(super) connection_rate_per_ip: Rate,
    /// The first bits of an IPv4 address that count as one address.
    #[schemars(range(min = 1, max = 32))]
    pub(super) ip_prefix_v4: u8,
    /// The first bits of an IPv6 address that count as one address.
    #[schemars(range(min = 1, max = 128))]
    pub(super) ip_prefix_v6: u8,
    /// Time without a byte received, a job finished or output drained, after which a connection is closed.
    pub(super) idle_timeout: Span,
    /// The most time from the first byte of a request to its last; 0s for no limit.
    pub(super) request_timeout: Span,
    /// The most time from connecting to closing; 0s for no limit.
    pub(super) lifetime: Span,
    /// Time in which the peer acknowledges no output, after which the connection is reset.
    pub(super) write_timeout: Span,
    /// Bytes a second that a peer must acknowledge while output is pending; 0B for no limit.
    pub(super) min_send_rate: Size,
    /// The most time between the server's FIN and the peer's.
    pub(super) linger_timeout: Span,
    /// Silence after which the kernel probes the peer; 0s for never.
    pub(super) tcp_keepalive: Span,
    /// Output pending for one connection, at which the server stops reading from it.
    pub(super) max_pending_output: Size,
}

impl Default for FileMembers {
    fn default() -> Self {
        Self {
            schema: None,
            listeners: Vec::new(),
            limits: LimitsMembers::default(),
            max_pending_output_total: Size::bytes(256 << 20),
            slow_turn: Span::from_millis(250),
            workers: WORKERS,
            busy_poll: Span::new(Duration::ZERO),
            shutdown_timeout: Span::new(Duration::from_secs(10)),
            shutdown_delay: Span::new(Duration::ZERO),
            log: LogMembers::default(),
        }
    }
}

impl Default for LogMembers {
    fn default() -> Self {
        Self { format: LogFormat::Auto, access: Access::Off, file: None, file_mode: Mode(0o640) }
    }
}

impl Default for LimitsMembers {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl FileMembers {
    /// Returns the members that are zero and must not be.
    pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        zeros([
            ("max_pending_output_total", self.max_pending_output_total.as_u64() == 0),
            ("workers", self.workers == 0),
            ("shutdown_timeout", self.shutdown_timeout.as_std().is_zero()),
        ])
    }
}

impl ListenerMembers {
    /// Returns the members that are zero and must not be.
    pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        zeros([
            ("backlog", self.backlog == Some(0)),
            ("receive_buffer", self.receive_buffer.is_some_and(|size| size.as_u64() == 0)),
        ])
    }
}

impl LimitsMembers {
    /// Returns the members that are zero and must not be.
    pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        zeros([
            ("max_connections", self.max_connections == 0),
            ("ip_prefix_v4", self.ip_prefix_v4 == 0),
            ("ip_prefix_v6", self.ip_prefix_v6 == 0),
            ("idle_timeout", self.idle_timeout.as_std().is_zero()),
            ("write_timeout", self.write_timeout.as_std().is_zero()),
            ("linger_timeout", self.linger_timeout.as_std().is_zero()),
            ("max_pending_output", self.max_pending_output.as_u64() == 0),
        ])
    }
}

fn zeros<const N: usize>(members: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    members.into_iter().filter(|(_, is_zero)| *is_zero).map(|(name, _)| name)
}

impl From<&LogMembers> for LogConfig {
    fn from(members: &LogMembers) -> Self {
        let LogMembers { format, access, ref file, file_mode } = *members;
        Self { format, access, file: file.clone(), file_mode: file_mode.0 }
    }
}

impl From<&LogConfig> for LogMembers {
    fn from(config: &LogConfig) -> Self {
        let LogConfig { format, access, ref file, file_mode } = *config;
        Self { format, access, file: file.clone(), file_mode: Mode(file_mode) }
    }
}

/// Zero in the file means no limit.
impl From<&LimitsMembers> for Limits {
    fn from(members: &LimitsMembers) -> Self {
        let optional = |span: Span| Some(span.as_std()).filter(|time| !time.is_zero());
        let some_rate = |rate: Rate| Some(rate).filter(|rate| rate.count() != 0);
        Self {
            max_connections: members.max_connections,
            max_connections_per_ip: (members.max_connections_per_ip != 0).then_some(members.max_connections_per_ip),
            connection_rate: some_rate(members.connection_rate),
            connection_rate_per_ip: some_rate(members.connection_rate_per_ip),
            ip_prefix_v4: members.ip_prefix_v4,
            ip_prefix_v6: members.ip_prefix_v6,
            idle_timeout: members.idle_timeout.as_std(),
            request_timeout: optional(members.request_timeout),
            lifetime: optional(members.lifetime),
            write_timeout: members.write_timeout.as_std(),
            min_send_rate: NonZeroUsize::new(bytes(members.min_send_rate)),
            linger_timeout: members.linger_timeout.as_std(),
            tcp_keepalive: optional(members.tcp_keepalive),
            max_pending_output: bytes(members.max_pending_output),
        }
    }
}

impl From<&Limits> for LimitsMembers {
    fn from(limits: &Limits) -> Self {
        let or_zero = |time: Option<Duration>| Span::new(time.unwrap_or_default());
        Self {
            max_connections: limits.max_connections,
            max_connections_per_ip: limits.max_connections_per_ip.unwrap_or(0),
            connection_rate: limits.connection_rate.unwrap_or(Rate::ZERO),
            connection_rate_per_ip: limits.connection_rate_per_ip.unwrap_or(Rate::ZERO),
            ip_prefix_v4: limits.ip_prefix_v4,
            ip_prefix_v6: limits.ip_prefix_v6,
            idle_timeout: Span::new(limits.idle_timeout),
            request_timeout: or_zero(limits.request_timeout),
            lifetime: or_zero(limits.lifetime),
            write_timeout: Span::new(limits.write_timeout),
            min_send_rate: size(limits.min_send_rate.map_or(0, NonZeroUsize::get)),
            linger_timeout: Span::new(limits.linger_timeout),
            tcp_keepalive: or_zero(limits.tcp_keepalive),
            max_pending_output: size(limits.max_pending_output),
        }
    }
}

/// Converts a size to bytes in memory; a size that is too large becomes `usize::MAX`.
pub(super) fn bytes(size: Size) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// The reverse of [`bytes`].
pub(super) fn size(bytes: usize) -> Size {
    Size::bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
}
