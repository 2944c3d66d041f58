//! State of the loop beside its slots: waiting lists, totals, limits of log lines, and the configuration in force.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use super::short::Short;
use super::snapshot::Pulse;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::kernel::Token;
use crate::log_limit::LogLimit;
use crate::reload::Source;
use crate::stats::Reloads;
use crate::time::Time;

/// Slots that wait until another slot frees a resource.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Uploads that wait for a buffer.
    pub(super) buffer: VecDeque<Token>,
    /// Listeners that wait until the slot of a connection is freed.
    pub(super) connections: Vec<u32>,
    /// Listeners that wait for descriptors.
    pub(super) descriptors: Short,
    /// Whether the slot of a connection was freed in this turn.
    pub(super) freed: bool,
}

/// Rule 6: resources of all connections together, with their limits.
#[derive(Debug)]
pub(super) struct Totals {
    /// Bytes of pending output.
    pub(super) pending_bytes: usize,
    /// The limit: `max_pending_output_total`.
    pub(super) pending_bytes_max: usize,
    /// The time at which the slowest readers are reset, while `pending_bytes` is over its limit.
    pub(super) relief: Time,
    /// Descriptors that connections may need.
    pub(super) descriptors: usize,
    /// The limit: the descriptors that the process may open, without those it needs itself.
    pub(super) descriptors_max: usize,
    /// Notices that were ignored because their owner had closed.
    pub(super) stale_notices: u64,
    /// Visits that ended with work left, because their budget was used up.
    pub(super) spent_visits: u64,
    /// The slots of outgoing connections, which do not count for `max_connections_per_ip`.
    pub(super) outgoing: HashSet<u32>,
}

/// Rule 13: log lines that a peer can cause repeatedly, each with its own limit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Accepting is paused.
    pub(super) accept: LogLimit,
    /// A job was refused.
    pub(super) job: LogLimit,
    /// A turn took too long.
    pub(super) slow: LogLimit,
}

/// The configuration in force, and how a new one takes its place (`reactor/reload.rs`).
pub(super) struct InForce {
    /// The configuration. Its listeners are the endpoints in front.
    pub(super) config: Arc<Config>,
    /// Where a new one is read from; `None` if there is nothing to read.
    pub(super) source: Option<Arc<Source>>,
    /// Whether a job is preparing a reload.
    pub(super) is_running: bool,
    /// Whether one more reload was asked for meanwhile.
    pub(super) again: bool,
    /// The numbers of reloads so far.
    pub(super) counts: Reloads,
    /// The first problem of the last reload, if it has failed.
    pub(super) failure: Option<String>,
    /// When the server started, or last reloaded without a problem.
    pub(super) loaded_at: SystemTime,
}

impl InForce {
    /// Makes the state of a server that starts with `config` at the time `loaded_at`.
    pub(super) fn new(config: &Config, loaded_at: SystemTime) -> Self {
        let (config, counts) = (Arc::new(config.clone()), Reloads::default());
        Self { config, source: None, is_running: false, again: false, counts, failure: None, loaded_at }
    }

    /// Notes the transports of passed sockets, which the configuration does not know.
    pub(super) fn note_transports(&mut self, endpoints: &[Endpoint]) {
        let listeners = &mut Arc::make_mut(&mut self.config).listeners;
        for (listener, endpoint) in listeners.iter_mut().zip(endpoints) {
            listener.listen.transport = endpoint.transport();
        }
    }
}

/// What protocols inquire about, beside counters.
#[derive(Debug)]
pub(super) struct Inquired {
    /// How the loop spends its time, once a protocol has inquired about it.
    pub(super) pulse: Option<Box<Pulse>>,
    /// The connection whose protocol records the loop, if one does.
    pub(super) recorder: Option<Token>,
    /// The configuration without secrets, as JSON.
    pub(super) configuration: Arc<str>,
}
