use std::io;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::client::failure::{Context as _, Result};

/// The kinds of errors of a request; [`Kind::ALL`] explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Closed,
    Reset,
    Io,
    Timeout,
    Lost,
    Refused,
    Wrong,
    Short,
    Long,
    Unasked,
}

impl Kind {
    /// All kinds, with name and meaning.
    pub(crate) const ALL: [(Self, &str, &str); 11] = [
        (Self::Connect, "connect", "the connection failed"),
        (Self::Closed, "closed", "the server closed before it had answered; with --reconnect, also between requests"),
        (
            Self::Reset,
            "reset",
            "the server reset the connection before it had answered; with --reconnect, also between requests",
        ),
        (Self::Io, "io", "another error of the socket"),
        (Self::Timeout, "timeout", "no whole answer came for too long"),
        (Self::Lost, "lost", "no datagram came for too long; of chat, a line did not come to a member"),
        (Self::Refused, "refused", "the server refused an upload or a line; over UDP, the network refused a request"),
        (Self::Wrong, "wrong", "the answer was wrong"),
        (
            Self::Short,
            "short",
            "of raw, the answer was too short: it ended, or its time had passed, before it was whole",
        ),
        (Self::Long, "long", "of raw, the answer was too long: more bytes came with it, or after it"),
        (Self::Unasked, "unasked", "bytes came that were not an answer to any request"),
    ];
}

/// Why a connection, or its request, has ended.
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn connect(error: &io::Error) -> Self {
        Self::new(Kind::Connect, format!("cannot connect: {error}"))
    }

    pub(crate) fn closed() -> Self {
        Self::new(Kind::Closed, "the server closed the connection")
    }

    pub(crate) fn timeout() -> Self {
        Self::new(Kind::Timeout, "the server did not answer in time")
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let kind = match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset => Kind::Reset,
            _ => Kind::Io,
        };
        Self::new(kind, format!("the connection broke: {error}"))
    }
}

/// Counts of bad clients: what they did, and how their connections ended.
#[derive(Default)]
pub(crate) struct Harm {
    pub(crate) connections: u64,
    pub(crate) closed_by_server: u64,
    pub(crate) reset_by_us: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

/// Answers that all have the same latency. A closed loop has many of them, since the clock is read once for each batch
/// of events.
struct Latest {
    due: Instant,
    now: Instant,
    count: u64,
}

/// The results of one target.
#[derive(Clone, Default)]
pub(crate) struct Outcomes {
    /// Right answers.
    pub(crate) answered: u64,
    /// Connections that were lost, and then made again.
    pub(crate) reconnects: u64,
    errors: [u64; Kind::ALL.len()],
}

impl Outcomes {
    pub(crate) fn errors_of(&self, kind: Kind) -> u64 {
        self.errors[kind as usize]
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.reconnects += other.reconnects;
        self.errors.iter_mut().zip(other.errors).for_each(|(sum, count)| *sum += count);
    }
}

/// All counters.
pub(crate) struct Tally {
    /// In nanoseconds, with three significant digits.
    pub(crate) latencies: Histogram<u64>,
    /// Requests that were due earlier belong to the warm-up.
    pub(crate) start: Instant,
    latest: Latest,
    pub(crate) last_answer: Instant,
    /// Lines that members of a chat have said.
    pub(crate) lines: u64,
    /// How often the server has said that a member missed a line.
    pub(crate) missed: u64,
    /// Bytes of confirmed files.
    pub(crate) file_bytes: u64,
    /// By the numbers of the targets.
    targets: Vec<Outcomes>,
    pub(crate) first_error: Option<String>,
    /// The end of the batch of events with the first error.
    pub(crate) first_error_at: Option<Instant>,
    pub(crate) harm: Harm,
}

const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

impl Tally {
    /// Counters that count from `start` on, for this number of targets.
    pub(crate) fn new(start: Instant, targets: usize) -> Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).context("cannot count latencies")?,
            start,
            latest: Latest { due: start, now: start, count: 0 },
            last_answer: start,
            lines: 0,
            missed: 0,
            file_bytes: 0,
            targets: vec![Outcomes::default(); targets],
            first_error: None,
            first_error_at: None,
            harm: Harm::default(),
        })
    }

    /// Counts a right answer of a target to a request that was due at `due`.
    pub(crate) fn answered(&mut self, target: usize, due: Instant, now: Instant) {
        self.answered_together(target, due, now, 1);
    }

    /// Counts `count` right answers of a target that came at one time to requests that were due at one time.
    pub(crate) fn answered_together(&mut self, target: usize, due: Instant, now: Instant, count: u64) {
        if due >= self.start {
            self.targets[target].answered += count;
        }
        if (due, now) != (self.latest.due, self.latest.now) {
            self.settle();
            (self.latest.due, self.latest.now) = (due, now);
        }
        self.latest.count += count;
    }

    /// Moves the latest answers to the histogram. Until then they are missing from [`Tally::latencies`].
    pub(crate) fn settle(&mut self) {
        let Latest { due, now, count } = self.latest;
        self.latest.count = 0;
        if count > 0 && due >= self.start {
            self.latencies.saturating_record_n(now.duration_since(due).as_nanos() as u64, count);
            self.last_answer = now;
        }
    }

    /// Counts a line that was due at `due`.
    pub(crate) fn said(&mut self, due: Instant) {
        self.lines += u64::from(due >= self.start);
    }

    pub(crate) fn uploaded(&mut self, target: usize, due: Instant, now: Instant, bytes: u64) {
        self.answered(target, due, now);
        if due >= self.start {
            self.file_bytes += bytes;
        }
    }

    /// Counts a connection to a target that was lost, and has been made again.
    pub(crate) fn reconnected(&mut self, target: usize) {
        self.targets[target].reconnects += 1;
    }

    /// Counts `count` requests to a target that failed.
    pub(crate) fn failed(&mut self, target: usize, fault: &Fault, count: u64) {
        self.targets[target].errors[fault.kind as usize] += count;
        if count > 0 {
            self.first_error.get_or_insert_with(|| fault.text.clone());
        }
    }

    /// Notes when a batch of events has ended.
    pub(crate) fn note_time(&mut self, now: Instant) {
        if self.first_error.is_some() {
            self.first_error_at.get_or_insert(now);
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.latencies.len()
    }

    /// Returns the outcomes by the numbers of the targets.
    pub(crate) fn targets(&self) -> &[Outcomes] {
        &self.targets
    }

    /// Returns the outcomes of all targets together.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let mut all = Outcomes::default();
        self.targets.iter().for_each(|target| all.add(target));
        all
    }

    pub(crate) fn errors(&self) -> u64 {
        self.targets.iter().map(Outcomes::errors).sum()
    }
}
