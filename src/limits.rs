//! Rule 6: everything has a bound. Here it is, its unit in its name, its reason beside it.
//!
//! What can be configured is in [`Limits`]. The constants are private and may change in any release. `docs/reliability.md` states
//! them, a unit test compares the two, and the integration tests state the numbers that they hold the server to.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Bytes that one read asks for: enough that a stream needs few calls, small enough to stay in the L2 cache.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Bytes read in one visit of a connection that is loud: four full reads.
pub(crate) const VISIT_BYTES_MAX: usize = 4 * READ_BYTES;

/// Bytes that a quiet connection reads in one visit: one that has more is loud, and waits until the other quiet ones have been
/// visited, before its protocol is called.
pub(crate) const QUIET_BYTES_MAX: usize = 4 * 1024;

/// Work is counted in units, each of which takes about a nanosecond if it is cheap: a byte is one, and so many are a call of
/// a protocol.
pub(crate) const CALL_UNITS: u32 = 256;

/// Units of a visit: mostly its system calls.
pub(crate) const VISIT_UNITS: u32 = 3_000;

/// Units of accepting a connection: three system calls, and memory.
pub(crate) const ACCEPT_UNITS: u32 = 10_000;

/// Units of freeing a slot that is over: mostly the system call that closes its socket.
pub(crate) const REAP_UNITS: u32 = 5_000;

/// Units that a quiet connection may use in one visit, however little time they take.
pub(crate) const QUIET_VISIT_UNITS: u32 = 128 * 1024;

/// The same for a loud one, a listener or a UDP socket.
pub(crate) const LOUD_VISIT_UNITS: u32 = 1024 * 1024;

/// How often the clock is read while a turn works: often enough to end a visit in time, and a reading costs less than a
/// thousandth of that.
pub(crate) const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Units between two readings of the clock at most, so that a protocol which suddenly becomes expensive is noticed after two
/// hundred of its calls.
pub(crate) const WINDOW_UNITS_MAX: u32 = 64 * 1024;

/// Time for one visit of a quiet connection: enough for a hundred of its requests. One that needs longer twice in a row is loud.
pub(crate) const QUIET_VISIT_TIME: Duration = Duration::from_micros(100);

/// Time for one visit of a loud connection: a full read of what `sum` is asked.
pub(crate) const LOUD_VISIT_TIME: Duration = Duration::from_micros(400);

/// Time for one visit of a listener or a UDP socket. They come first in each turn, so it bounds what a storm of connections or
/// datagrams takes from everybody else.
pub(crate) const DOOR_VISIT_TIME: Duration = Duration::from_micros(300);

/// How old a turn may become while it visits quiet connections. Then the kernel is asked for news.
pub(crate) const QUIET_TURN_TIME: Duration = Duration::from_millis(5);

/// How old a turn may become while it visits loud connections, of which it visits one in any case: so much a quiet one waits
/// for them, however many they are.
pub(crate) const LOUD_TURN_TIME: Duration = Duration::from_micros(500);

/// Time that a turn takes to free slots that are over; half of the time that it took before, if that is longer. The others are
/// freed in the next turns, first come, first served.
pub(crate) const REAP_TURN_TIME: Duration = Duration::from_micros(400);

/// Connections that the kernel holds before they are accepted, if `backlog` is not configured.
pub(crate) const BACKLOG: u32 = 1024;

/// Connections that one visit of a listener accepts before its time counts: newcomers get in however long turns are.
pub(crate) const VISIT_ACCEPTS_MIN: usize = 4;

/// Connections accepted in one visit of a listener.
pub(crate) const VISIT_ACCEPTS_MAX: usize = 64;

/// Connections of which all together may be refused or lost in one visit of a listener.
pub(crate) const VISIT_REFUSALS_MAX: usize = 64;

/// Datagrams handled in one visit of a UDP socket.
pub(crate) const VISIT_DATAGRAMS_MAX: usize = 64;

/// Visits of a UDP socket after a stop: 16,384 datagrams, more than a receive buffer of 10 MiB holds. So all that had arrived is
/// answered, and a flood that goes on holds nothing up.
pub(crate) const LAST_VISITS_MAX: usize = 256;

/// Datagrams that one system call receives or sends. With fewer, whoever waits for the answers to a burst falls asleep between
/// two batches more often, and waking is what is dear.
pub(crate) const DATAGRAM_BATCH_MAX: usize = 64;

/// Bytes of the loop's read buffer: room for a batch of datagrams of 5 KiB, or for fewer and longer ones. The requests of `sum`
/// have 4 KiB at most by default, and one byte more shows that one is longer: so 4 KiB each would be too little by a byte. A
/// stream uses the first [`READ_BYTES`] of it.
pub(crate) const READ_BUFFER_BYTES: usize = 5 * READ_BYTES;

/// The longest payload that fits a UDP datagram over IPv4: 65,535 less the headers of IP and UDP (RFC 768, RFC 791).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Bytes that a protocol may leave unconsumed while it waits. A protocol that needs longer messages than this takes
/// them in parts.
pub(crate) const UNCONSUMED_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that one read asks for while all connections together have more output pending than
/// `max_pending_output_total`: what cannot be sent grows by so little then that the total stays bounded.
pub(crate) const PRESSED_READ_BYTES: usize = 4 * 1024;

/// How long all connections together may have too much output pending before those that take least of theirs are cut, and how often
/// that is looked at: a peer that reads at all has shown it by then.
pub(crate) const RELIEF_EVERY: Duration = Duration::from_secs(1);

/// Bytes that the kernel holds for one connection and has not sent yet, before it calls the socket writable again (`tcp(7)`:
/// `TCP_NOTSENT_LOWAT`): with a quarter of that, one client that asks for 4 MiB at a time lost a tenth of its requests. What was sent
/// and not acknowledged comes on top.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "other systems have no such call")
)]
pub(crate) const UNSENT_BYTES_MAX: u32 = 1024 * 1024;

/// The output buffer that the loop keeps between visits; a larger one is given back to the allocator.
pub(crate) const KEPT_OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Events taken from the kernel in one turn; what does not fit comes in the next.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Worker threads for the jobs and files of each listener, unless `workers` of the configuration says otherwise: one slow sync
/// must not hold up another upload, and more threads than this only queue at the same disk.
pub(crate) const WORKERS: usize = 4;

/// The largest `workers`: each listener may start as many threads, and each takes a stack.
pub(crate) const WORKERS_MAX: usize = 256;

/// By how much worker threads are nicer than the loop (`sched(7)`): where both want the same core they get a tenth of it, and
/// all of it while the loop sleeps.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems have no such call"))]
pub(crate) const WORKER_NICE: i32 = 10;

/// Jobs of one listener handed out and not finished. A connection has at most one, so only a limit of more connections than
/// this could reach it.
pub(crate) const JOBS_MAX: usize = 65_536;

/// How long a job waits for a worker before the log tells it: longer than an honest burst takes, shorter than anybody's patience.
pub(crate) const JOB_WAIT: Duration = Duration::from_secs(2);

/// Bytes of one buffer on its way to a file: large enough that handing it over costs little.
pub(crate) const BULK_BUFFER_BYTES: usize = 256 * 1024;

/// Buffers that one upload may hold: one being written, the others being filled.
pub(crate) const BULK_BUFFERS_PER_CONNECTION_MAX: usize = 3;

/// Buffers for all uploads together (32 MiB); an upload that gets none waits until one is given back.
pub(crate) const BULK_BUFFERS_MAX: usize = 128;

/// File descriptors for connections of which a server is warned if it has fewer, whatever its configuration asks for: half of
/// what systems give a process that has not asked for more.
pub(crate) const FEW_DESCRIPTORS: usize = 512;

/// File descriptors kept free of connections: for what a protocol, a log or an embedding program opens.
pub(crate) const RESERVED_DESCRIPTORS: usize = 4;

/// Errors of `accept(2)` in a row that are each taken to be about one connection. More of them are about the listener, or the
/// accept queue would be empty by now: it rests as after any other error.
pub(crate) const ACCEPT_ERRORS_MAX: usize = 64;

/// How long a listener or a UDP socket rests after the process or the system ran out of descriptors or memory, unless a connection
/// closes before: often enough to go on soon, seldom enough to cost nothing. A worker that cannot wake the loop tries again after
/// the same time.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// How long a server that has cut its connections waits for the jobs that discard what they left behind.
pub(crate) const CUT_GRACE: Duration = Duration::from_millis(500);

/// Different reasons that one counter keeps apart; more come from a protocol only by mistake.
pub(crate) const REASONS_MAX: usize = 64;

/// Log lines of one kind within [`LOG_PERIOD`]; the rest is counted and reported as suppressed.
pub(crate) const LOG_LINES_MAX: u32 = 20;

/// The period over which [`LOG_LINES_MAX`] counts.
pub(crate) const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Characters of the message of a panic that are logged: it may quote what a peer sent.
pub(crate) const PANIC_MESSAGE_CHARS_MAX: usize = 500;

/// Connections that one report lists, those that wait longest for somebody first: at 250 bytes each they fit into half of
/// [`LOG_QUEUE_BYTES_MAX`].
pub(crate) const REPORT_ROWS_MAX: usize = 500;

/// Problems of a configuration that are reported in one run: finding each takes a pass over the text.
pub(crate) const PROBLEMS_MAX: usize = 100;

/// Bytes of a configuration file: room for thousands of listeners, and a bound for whatever was named by mistake.
pub(crate) const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of log lines that wait for stderr; what comes while they are too many is dropped and counted.
pub(crate) const LOG_QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Time at exit for log lines to reach a slow stderr.
pub(crate) const LOG_FLUSH: Duration = Duration::from_millis(200);

/// How long the thread that writes the log waits for another line before it ends.
pub(crate) const LOG_IDLE: Duration = Duration::from_secs(1);

/// Bytes of the log that a thread other than the log's own writes at a time, where no thread can be had: a pipe or terminal that has
/// room takes that many without waiting (`pipe(7)`: `PIPE_BUF`).
pub(crate) const LOG_CHUNK_BYTES_MAX: usize = 512;

/// How long the thread that writes the log leaves a stderr alone that is non-blocking and full.
pub(crate) const LOG_RETRY: Duration = Duration::from_millis(10);

/// Records that the X-ray of a loop keeps, 40 bytes each: a second of a busy server, an hour of a quiet one.
pub(crate) const XRAY_RECORDS_MAX: usize = 65_536;

/// Records that go to a live view at a time: most turns are shorter.
pub(crate) const XRAY_BATCH_RECORDS_MAX: usize = 1024;

/// Such batches that wait for a live view; what comes while they are too many is lost to it and counted.
pub(crate) const XRAY_BATCHES_MAX: usize = 64;

/// Records that are logged after a panic in a protocol.
pub(crate) const XRAY_LAST_RECORDS: usize = 64;

/// The bounds of a listener and of its connections, as configured: see `docs/configuration.md` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time; the rest wait in the accept queue.
    pub max_connections: usize,
    /// Connections at a time from one address; more are refused.
    pub max_connections_per_ip: Option<usize>,
    /// Time without a byte received, a job finished, or output drained.
    pub idle_timeout: Duration,
    /// Time from the first byte of a request to its last.
    pub request_timeout: Option<Duration>,
    /// Time from accepting to closing.
    pub lifetime: Option<Duration>,
    /// Time in which the peer acknowledges none of our output.
    pub write_timeout: Duration,
    /// Bytes a second that a peer has to acknowledge on the average while output is pending for it, or it uses up its
    /// `write_timeout`.
    pub min_send_rate: Option<NonZeroUsize>,
    /// Time for the peer to finish after we did.
    pub linger_timeout: Duration,
    /// Time of silence before the kernel probes the peer (`tcp(7)`: `TCP_KEEPIDLE`).
    pub tcp_keepalive: Option<Duration>,
    /// Bytes of output pending for one connection before its input is left alone.
    pub max_pending_output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_ip: None,
            idle_timeout: Duration::from_secs(30),
            request_timeout: Some(Duration::from_secs(30)),
            lifetime: None,
            write_timeout: Duration::from_secs(30),
            min_send_rate: NonZeroUsize::new(1024),
            linger_timeout: Duration::from_secs(2),
            tcp_keepalive: Some(Duration::from_secs(60)),
            max_pending_output: 256 * 1024,
        }
    }
}
