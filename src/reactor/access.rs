//! The access log: one line for each connection when it ends, which says who ended it, in which phase and after how much. What it
//! says about UDP is in `drops.rs`, what it says about stored files in `protocol/file/saved.rs`.
//!
//! It costs nothing while it is off, which is the default: then nothing here is called except for one branch when a connection
//! begins and one when it ends. While it is on, a protocol that counts requests wraps the protocol of each connection, and
//! the [ledger](super::ledger) counts bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::kv::Value;
use log::{Level, Record};

use super::Reactor;
use super::drops::Drops;
use super::ledger::Account;
use crate::config::{ACCESS_LOG, Access};
use crate::connection::opener::PROBE;
use crate::kernel::{Kernel, Token};
use crate::peer::Peer;
use crate::protocol::{CloseReason, ConnectionId, Counting, StreamProtocol, Within};
use crate::time::Time;

/// Which connections get a line, and what only this log counts about those that are open.
#[derive(Debug, Default)]
pub(super) struct AccessLog {
    /// The connections that get a line.
    which: Access,
    /// Those that are open, by slot.
    entries: Vec<Entry>,
    /// What UDP sockets have dropped.
    pub(super) drops: Drops,
}

/// One connection.
#[derive(Debug, Clone)]
struct Entry {
    /// When it was accepted.
    since: Time,
    /// The number of its requests.
    requests: Arc<AtomicU64>,
}

/// How far a connection had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was refused before it had a slot.
    Refused,
    /// It had no protocol yet.
    Opening,
    /// A worker was running its job.
    Working,
    /// It was joined with another connection.
    Relaying,
    /// Its protocol was in the middle of this.
    Within(Within),
}

/// What the line says about a connection, beside its listener, its peer and the reason.
struct Ending {
    /// Its number.
    conn: Token,
    /// How far it had come.
    stage: Stage,
    /// Its bytes.
    account: Account,
    /// The number of its requests.
    requests: u64,
    /// The seconds since it was accepted.
    open_seconds: f64,
}

impl AccessLog {
    /// Makes the log of the connections that `which` names.
    pub(super) fn new(which: Access) -> Self {
        Self { which, ..Self::default() }
    }

    /// Whether any connection gets a line.
    pub(super) fn is_on(&self) -> bool {
        self.which != Access::Off
    }

    /// Whether a connection that ended for this reason gets a line.
    fn wants(&self, reason: CloseReason) -> bool {
        match self.which {
            Access::Off => false,
            Access::Errors => !matches!(reason, CloseReason::Eof | CloseReason::Finished),
            Access::All => true,
        }
    }

    /// Notes that a connection was taken into a slot.
    pub(super) fn begin(&mut self, slot: u32, now: Time) {
        if self.is_on() {
            let entry = Entry { since: now, requests: Arc::default() };
            let index = slot as usize;
            if self.entries.len() <= index {
                self.entries.resize(index + 1, entry.clone());
            }
            self.entries[index] = entry;
        }
    }

    /// Returns the protocol of the connection in `slot`; while the log is on, with one before it that counts requests.
    pub(super) fn counting(&self, slot: u32, protocol: Box<dyn StreamProtocol>) -> Box<dyn StreamProtocol> {
        match self.entries.get(slot as usize) {
            Some(entry) => Box::new(Counting::new(protocol, Arc::clone(&entry.requests))),
            None => protocol,
        }
    }
}

impl<K: Kernel> Reactor<K> {
    /// Logs the end of the connection in slot `key`.
    pub(super) fn log_access(&self, key: u32, peer: &Peer, reason: CloseReason, stage: Stage) {
        if self.access.wants(reason) {
            let slot = &self.slots[key as usize];
            let entry = self.access.entries.get(key as usize);
            let ending = Ending {
                conn: slot.token(key),
                stage,
                account: self.ledger.account(key),
                requests: entry.map_or(0, |entry| entry.requests.load(Ordering::Relaxed)),
                open_seconds: entry.map_or(0.0, |entry| seconds(self.moment.now, entry.since)),
            };
            self.write_access(slot.endpoint, peer, reason, &ending);
        }
    }

    /// Logs that a connection was refused before it had a slot.
    pub(super) fn log_refused(&self, conn: Token, endpoint: u16, peer: &Peer, reason: &'static str) {
        let reason = CloseReason::Refused(reason);
        if self.access.wants(reason) {
            let account = Account::default();
            let ending = Ending { conn, stage: Stage::Refused, account, requests: 0, open_seconds: 0.0 };
            self.write_access(endpoint, peer, reason, &ending);
        }
    }

    /// Writes the line of a connection that has ended, unless a proxy has only looked whether the server is there.
    #[cold]
    fn write_access(&self, endpoint: u16, peer: &Peer, reason: CloseReason, ending: &Ending) {
        let Ending { conn, stage, account, requests, open_seconds } = *ending;
        let (proxies, id) = (&self.endpoints[endpoint].site.proxies, ConnectionId::of(conn));
        let is_probe = reason == CloseReason::Refused(PROBE) || proxies.is_itself(id);
        if is_probe || !log::log_enabled!(target: ACCESS_LOG, Level::Info) {
            return;
        }
        let proxy = proxies.of(id);
        let fields = [
            ("listener", Value::from(self.endpoints[endpoint].name())),
            ("conn", Value::from_display(&conn)),
            ("peer", Value::from_display(peer)),
            ("reason", reason.name().into()),
            ("who", who(reason).into()),
            ("phase", phase(reason, stage, account).into()),
            ("in", account.received.into()),
            ("out", account.sent.into()),
            ("requests", requests.into()),
            ("open_s", open_seconds.into()),
            ("proxy", proxy.as_ref().map_or_else(Value::null, Value::from_display)),
        ];
        // Only a connection that came through a proxy has the last one.
        let fields = &fields[..fields.len() - usize::from(proxy.is_none())];
        let what = if stage == Stage::Refused { "refused" } else { "closed" };
        let mut record = Record::builder();
        record.level(Level::Info).target(ACCESS_LOG).key_values(&fields);
        log::logger().log(&record.args(format_args!("{what}")).build());
    }
}

/// Returns the seconds from `since` to `now`, to a microsecond.
fn seconds(now: Time, since: Time) -> f64 {
    now.duration_from(since).as_micros() as f64 / 1e6
}

/// Returns who ended a connection: the peer, we, the end of the connection that it belonged to, one of our deadlines, or an error of
/// a socket, of a protocol or of the system.
const fn who(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Eof => "peer",
        CloseReason::Transport(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => "peer",
        CloseReason::Finished | CloseReason::Refused(_) | CloseReason::OutputTotal => "us",
        CloseReason::Asked | CloseReason::Shutdown => "us",
        CloseReason::OtherSide => "other",
        CloseReason::Idle | CloseReason::RequestTimeout | CloseReason::OpeningTimeout => "deadline",
        CloseReason::Lifetime | CloseReason::WriteTimeout => "deadline",
        CloseReason::Bug(_) | CloseReason::NoWorker | CloseReason::Transport(_) => "error",
    }
}

/// Returns the phase in which it was decided that a connection ends.
fn phase(reason: CloseReason, stage: Stage, account: Account) -> &'static str {
    let interrupts = matches!(reason, CloseReason::Transport(_) | CloseReason::Shutdown | CloseReason::Lifetime);
    match stage {
        Stage::Refused => "arriving",
        Stage::Opening => "handshake",
        _ if matches!(reason, CloseReason::WriteTimeout | CloseReason::OutputTotal) => "sending",
        _ if interrupts && account.pending => "sending",
        Stage::Relaying => "relaying",
        Stage::Working => "working",
        _ if reason == CloseReason::NoWorker => "working",
        Stage::Within(Within::Request) => "request",
        Stage::Within(Within::Body) => "body",
        Stage::Within(Within::Nothing) if account.received == 0 => "arriving",
        // A request that came in one piece was refused, or showed a bug.
        Stage::Within(Within::Nothing) if matches!(reason, CloseReason::Refused(_) | CloseReason::Bug(_)) => "request",
        Stage::Within(Within::Nothing) => "idle",
    }
}

#[cfg(test)]
mod tests;
