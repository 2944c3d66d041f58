//! A snapshot: what the loop copies of its state for a protocol that inquires, and what can be inquired.
//!
//! The loop only copies, and a worker makes the text. Counters take microseconds to copy; the table of slots takes a pass over
//! all of them, and a recording is some mebibytes. So a snapshot owns everything that it has.

#![warn(clippy::missing_docs_in_private_items)]

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::address::Transport;
use crate::peer::Peer;
use crate::stats::{Reloads, Stats, Tally};
use crate::token::ConnectionId;

/// What a protocol inquires: each question costs the loop as much as it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether the server is ready: [`Snapshot::readiness`] and nothing else.
    Readiness,
    /// All counters: everything but [`Snapshot::table`].
    Counters,
    /// All counters, and what each connection waits for, which takes a pass over the slots.
    Connections(Wanted),
    /// To start a recording of the loop: [`Snapshot::is_recording`].
    StartRecording,
    /// To end the recording that this connection has started: [`Snapshot::tape`].
    FinishRecording,
}

/// Which rows of the table a question wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The name of the only listener, if one is chosen.
    pub(crate) listener: Option<String>,
    /// Rows at most.
    pub(crate) rows_max: usize,
}

/// The state of the loop at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Whether new connections should come to this server.
    pub(crate) readiness: Readiness,
    /// How the loop spends its time.
    pub(crate) pulse: Pulse,
    /// Slots that wait for a visit.
    pub(crate) ready_slots: usize,
    /// Events and results that came for an owner that had closed.
    pub(crate) stale_notices: u64,
    /// Pending output of all connections together, and its limit, in bytes.
    pub(crate) pending_bytes: (usize, usize),
    /// Descriptors that connections may need, and their limit if there is one.
    pub(crate) descriptors: (usize, Option<usize>),
    /// Buffers of uploads: lent, and free.
    pub(crate) buffers: (usize, usize),
    /// Visits that ended with work left, because their budget was used up.
    pub(crate) spent_visits: u64,
    /// The numbers of reloads.
    pub(crate) reloads: Reloads,
    /// Whether the last reload failed.
    pub(crate) has_reload_failed: bool,
    /// When the configuration in force was read, or found to be in force.
    pub(crate) loaded_at: Option<SystemTime>,
    /// Log lines that were not written.
    pub(crate) lost_log_lines: u64,
    /// Jobs: those that a worker runs, and those that wait for a worker.
    pub(crate) jobs: (usize, usize),
    /// The listeners in the order of the configuration.
    pub(crate) doors: Vec<Door>,
    /// What each connection waits for.
    pub(crate) table: Table,
    /// The configuration with all defaults and without secrets, as JSON.
    pub(crate) configuration: Arc<str>,
    /// Whether a recording has started; false if another one was running.
    pub(crate) is_recording: bool,
    /// What was recorded.
    pub(crate) tape: Option<Box<dyn Tape>>,
}

/// A recording of the loop.
pub(crate) trait Tape: fmt::Debug + Send + Sync {
    /// Writes the recording in this form.
    ///
    /// # Errors
    /// Errors of `to`.
    fn write(&self, form: Form, to: &mut dyn Write) -> io::Result<()>;
}

/// A form in which a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A page with a timeline.
    Page,
    /// One line for each record.
    Text,
    /// Trace events in JSON.
    TraceEvents,
}

/// Whether new connections should come to this server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// They should.
    #[default]
    Ready,
    /// A listener does not accept for now. The text names the listener and the reason.
    Paused(String),
    /// The server serves for `shutdown_delay` more, and then stops.
    Leaving,
    /// The server is stopping.
    Stopping,
}

impl Readiness {
    /// Returns why new connections should go to another server, in a few words; `None` if this one is ready.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Paused(why) => Some(why),
            Self::Leaving => Some("draining"),
            Self::Stopping => Some("stopping"),
        }
    }
}

/// A listener, for streams or datagrams.
#[derive(Debug)]
pub(crate) struct Door {
    /// The name in the configuration.
    pub(crate) name: String,
    /// The name of the protocol.
    pub(crate) protocol: String,
    /// The transport.
    pub(crate) transport: Transport,
    /// The address.
    pub(crate) url: String,
    /// Open connections.
    pub(crate) open: usize,
    /// The limit of open connections.
    pub(crate) open_max: usize,
    /// The counters.
    pub(crate) stats: Stats,
    /// Why accepting is paused, if it is.
    pub(crate) paused: Option<String>,
    /// Connections in the kernel's accept queue, and its limit, if the system reports them.
    pub(crate) accept_queue: Option<(u32, u32)>,
    /// Datagrams that the kernel dropped because the receive buffer was full, if the system reports them.
    pub(crate) kernel_drops: Option<u32>,
}

/// The slots that wait for something, the longest wait first.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// A row for each slot, up to a limit.
    pub(crate) rows: Vec<Row>,
    /// All slots by state.
    pub(crate) all: Tally,
    /// The slots without a row by state.
    pub(crate) rest: Tally,
}

/// One slot.
pub(crate) struct Row {
    /// The number of its owner.
    pub(crate) number: ConnectionId,
    /// The peer of a connection.
    pub(crate) peer: Option<Peer>,
    /// The proxy through which the peer has come, if one has named it.
    pub(crate) proxy: Option<Peer>,
    /// The name of the listener.
    pub(crate) listener: String,
    /// The age of its owner.
    pub(crate) age: Duration,
    /// The state in a word.
    pub(crate) state: &'static str,
    /// The bytes of a connection.
    pub(crate) moved: Option<Moved>,
    /// Bytes of output not sent yet.
    pub(crate) pending_bytes: usize,
    /// The time until its next deadline.
    pub(crate) deadline: Option<Duration>,
    /// What it waits for, in a sentence.
    pub(crate) why: Box<dyn fmt::Display + Send + Sync>,
}

/// Bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes received.
    pub(crate) received: u64,
    /// Bytes sent.
    pub(crate) sent: u64,
    /// Whether the connection is older than the counting, so that some of its bytes are not counted.
    pub(crate) is_part: bool,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("number", &self.number).field("state", &self.state).finish_non_exhaustive()
    }
}

/// How the loop spends its time, since it was first inquired about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// The work of each turn: from the end of its wait to the begin of the next one.
    pub(crate) turns: Histogram,
    /// For each turn in which a deadline was due: the time from the earliest deadline to that turn.
    pub(crate) lateness: Histogram,
    /// Nanoseconds between turns: of waiting for events, or for the program that drives the turns.
    pub(crate) waited: u64,
}

/// Durations by their order of magnitude.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// The number of durations in each bucket; a bucket does not include the ones below it.
    pub(crate) counts: [u64; Self::BUCKETS],
    /// The sum of all durations in nanoseconds.
    pub(crate) sum: u64,
}

impl Histogram {
    /// Buckets: the last one has no upper bound.
    pub(crate) const BUCKETS: usize = 16;

    /// Adds a duration in nanoseconds.
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        let microseconds = nanoseconds.saturating_sub(1) / 1000;
        let bucket = microseconds.checked_ilog2().map_or(0, |log| log as usize / 2 + 1);
        self.counts[bucket.min(Self::BUCKETS - 1)] += 1;
        self.sum += nanoseconds;
    }

    /// Returns the upper bound of a bucket, which belongs to it, in microseconds: powers of four.
    pub(crate) fn bound(bucket: usize) -> u64 {
        1 << (2 * bucket)
    }

    /// Returns the number of durations.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_upper_bound_and_not_the_next_nanosecond() {
        for bucket in 0..Histogram::BUCKETS - 1 {
            let bound = Histogram::bound(bucket) * 1000;
            for (nanoseconds, expected) in [(bound, bucket), (bound + 1, bucket + 1)] {
                let mut histogram = Histogram::default();
                histogram.add(nanoseconds);
                assert_eq!((histogram.counts[expected], histogram.sum), (1, nanoseconds), "{nanoseconds} ns");
            }
        }
    }

    #[test]
    fn no_duration_is_too_short_or_too_long_for_a_bucket() {
        let mut histogram = Histogram::default();
        histogram.add(0);
        histogram.add(u64::MAX);
        assert_eq!((histogram.counts[0], histogram.counts[Histogram::BUCKETS - 1], histogram.count()), (1, 1, 2));
    }
}
