//! The options of sockets.

use std::time::Duration;

/// The options of a TCP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that the kernel holds before they are accepted (`listen(2)`).
    pub backlog: u32,
    /// Time of silence before the kernel probes a peer (`tcp(7)`: `TCP_KEEPIDLE`); accepted connections inherit it.
    pub keepalive: Option<Duration>,
    /// Whether an IPv6 wildcard also takes IPv4 (`ipv6(7)`: `IPV6_V6ONLY` off).
    pub both_families: bool,
    /// Whether other processes of the same user may listen on the same address (`socket(7)`: `SO_REUSEPORT`).
    pub reuse_port: bool,
}

impl ListenOptions {
    /// Options with `backlog` and `keepalive`, for `both_families` or one.
    #[must_use]
    pub const fn new(backlog: u32, keepalive: Option<Duration>, both_families: bool) -> Self {
        Self { backlog, keepalive, both_families, reuse_port: false }
    }

    /// Sets whether other processes of the same user may listen on the same address.
    #[must_use]
    pub const fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }
}

/// The options of a UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindOptions {
    /// Bytes of the receive buffer, if not the default (`socket(7)`: `SO_RCVBUF`).
    pub receive_buffer_bytes: Option<usize>,
    /// Whether an IPv6 wildcard also takes IPv4 (`ipv6(7)`: `IPV6_V6ONLY` off).
    pub both_families: bool,
    /// Whether other processes of the same user may receive at the same address (`socket(7)`: `SO_REUSEPORT`).
    pub reuse_port: bool,
}

impl BindOptions {
    /// Options with `receive_buffer_bytes`, for `both_families` or one.
    #[must_use]
    pub const fn new(receive_buffer_bytes: Option<usize>, both_families: bool) -> Self {
        Self { receive_buffer_bytes, both_families, reuse_port: false }
    }

    /// Sets whether other processes of the same user may receive at the same address.
    #[must_use]
    pub const fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }
}
