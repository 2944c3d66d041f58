//! Rule 6: everything has a bound. All bounds are here, each with its unit in the name and its reason beside it.
//!
//! Configurable bounds are in [`Limits`]. The constants are private and may change in any release.
//! `docs/reliability.md` states them, a unit test compares the two, and the integration tests state the numbers that
//! they check.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::units::Rate;

/// Bytes of one read: large enough that a stream needs few calls, small enough to stay in the L2 cache.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Bytes read in one visit of a loud connection: four full reads.
pub(crate) const VISIT_BYTES_MAX: usize = 4 * READ_BYTES;

/// Bytes that a quiet connection reads in one visit. A connection that has more is loud: it waits until the quiet ones
/// have been visited before its protocol is called.
pub(crate) const QUIET_BYTES_MAX: usize = 4 * 1024;

/// Units of one call of a protocol. Work is counted in units of about a nanosecond: a byte is one unit.
pub(crate) const CALL_UNITS: u32 = 256;

/// Units of a visit: mostly its system calls.
pub(crate) const VISIT_UNITS: u32 = 3_000;

/// Units of accepting a connection: three system calls, and memory.
pub(crate) const ACCEPT_UNITS: u32 = 10_000;

/// Units of freeing a slot: mostly the system call that closes its socket.
pub(crate) const REAP_UNITS: u32 = 5_000;

/// Units that a quiet connection may use in one visit, however little time they take.
pub(crate) const QUIET_VISIT_UNITS: u32 = 128 * 1024;

/// Units that a loud connection, a listener or a UDP socket may use in one visit.
pub(crate) const LOUD_VISIT_UNITS: u32 = 1024 * 1024;

/// Time between two readings of the clock in a turn: short enough to end a visit in time, and a reading costs less than
/// a thousandth of it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Units between two readings of the clock, at most: a protocol that suddenly becomes expensive is noticed within about
/// 250 calls.
pub(crate) const WINDOW_UNITS_MAX: u32 = 64 * 1024;

/// Time for one visit of a quiet connection: enough for a hundred requests. A connection that needs longer twice in a
/// row is loud.
pub(crate) const QUIET_VISIT_TIME: Duration = Duration::from_micros(100);

/// Time for one visit of a loud connection: a full read of `sum` requests.
pub(crate) const LOUD_VISIT_TIME: Duration = Duration::from_micros(400);

/// Time for one visit of a listener or a UDP socket. They come first in each turn, so this bounds the time that a flood
/// of connections or datagrams takes from the connections.
pub(crate) const DOOR_VISIT_TIME: Duration = Duration::from_micros(300);

/// Age up to which a turn visits quiet connections. Then the kernel is polled again.
pub(crate) const QUIET_TURN_TIME: Duration = Duration::from_millis(5);

/// Age up to which a turn visits loud connections, at least one. It bounds how long a quiet connection waits for any
/// number of loud ones.
pub(crate) const LOUD_TURN_TIME: Duration = Duration::from_micros(500);

/// Time in which a turn frees slots, or half of the time that the turn took before, if that is longer. The remaining
/// slots are freed in the next turns, in order.
pub(crate) const REAP_TURN_TIME: Duration = Duration::from_micros(400);

/// Connections that the kernel holds before they are accepted, if `backlog` is not configured.
pub(crate) const BACKLOG: u32 = 1024;

/// Connections that one visit of a listener accepts before its time counts: new connections are accepted however long
/// turns are.
pub(crate) const VISIT_ACCEPTS_MIN: usize = 4;

/// Connections accepted in one visit of a listener.
pub(crate) const VISIT_ACCEPTS_MAX: usize = 64;

/// Connections that may be refused or lost, together, in one visit of a listener.
pub(crate) const VISIT_REFUSALS_MAX: usize = 64;

/// Datagrams handled in one visit of a UDP socket.
pub(crate) const VISIT_DATAGRAMS_MAX: usize = 64;

/// Visits of a UDP socket after a stop: 16,384 datagrams, more than a receive buffer of 10 MiB holds. So all datagrams
/// that had arrived are answered, and a continuing flood does not delay the stop.
pub(crate) const LAST_VISITS_MAX: usize = 256;

/// Datagrams that one system call receives or sends. With fewer, a client that waits for the answers to a burst goes to
/// sleep between batches more often, and wake-ups are expensive.
pub(crate) const DATAGRAM_BATCH_MAX: usize = 64;

/// Bytes of the loop's read buffer: room for a batch of datagrams of 5 KiB, or for fewer and longer ones. The requests
/// of `sum` have at most 4 KiB by default, and a room must be one byte longer to show that a request is too long: 4 KiB
/// each would be one byte too few. A stream uses the first [`READ_BYTES`] of the buffer.
pub(crate) const READ_BUFFER_BYTES: usize = 5 * READ_BYTES;

/// The longest payload that fits a UDP datagram over IPv4: 65,535 less the headers of IP and UDP (RFC 768, RFC 791).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Bytes of the path or the name of a Unix socket: what `sockaddr_un` of Linux has room for, less the zero byte that ends a
/// path there (`unix(7)`). The BSDs have room for 103.
pub(crate) const UNIX_ADDRESS_BYTES_MAX: usize = 107;

/// Bytes of the directory of a Unix socket: the socket is first bound to a name of five bytes beside its path.
pub(crate) const UNIX_DIRECTORY_BYTES_MAX: usize = UNIX_ADDRESS_BYTES_MAX - 6;

/// Attempts to lock the path of a Unix socket while other processes lock it and remove the lock.
pub(crate) const LOCK_ATTEMPTS_MAX: usize = 16;

/// Bytes that a protocol may leave unconsumed while it waits. A protocol with longer messages must consume them in
/// parts.
pub(crate) const UNCONSUMED_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that an opening may need before the protocol: room for the handshakes of other protocols, whose records have 16 KiB.
/// An opener refuses earlier what is too long for it.
pub(crate) const OPENING_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a PROXY header of version 1, the end of the line included: the specification says so.
pub(crate) const PROXY_LINE_BYTES_MAX: usize = 107;

/// Bytes of a PROXY header of version 2: the longest addresses, and records about the client's TLS with room to spare.
pub(crate) const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;

/// Time for the PROXY header of a connection, unless `timeout` of `proxy_protocol` says otherwise: the specification asks for
/// at least 3 s, for one segment that is sent again.
pub(crate) const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes that one read asks for while all connections together have more output pending than
/// `max_pending_output_total`: the pending output then grows so slowly that the total stays bounded.
pub(crate) const PRESSED_READ_BYTES: usize = 4 * 1024;

/// Time for which all connections together may have too much output pending before those whose peers read least are
/// reset, and the interval of that check: a peer that reads at all has shown it by then.
pub(crate) const RELIEF_EVERY: Duration = Duration::from_secs(1);

/// Unsent bytes that the kernel holds for one connection; below this number it reports the socket writable (`tcp(7)`:
/// `TCP_NOTSENT_LOWAT`). With a quarter of it, a client that asks for 4 MiB at a time completed a tenth fewer requests.
/// Bytes that were sent and not acknowledged are not included.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "other systems have no such call")
)]
pub(crate) const UNSENT_BYTES_MAX: u32 = 1024 * 1024;

/// Size of the output buffer that the loop keeps between visits; a larger one is freed.
pub(crate) const KEPT_OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Events taken from the kernel in one turn; further events come in the next turn.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Time for an outgoing connection, all its addresses together, unless its target says otherwise: a client that waits for the
/// answer has not given up by then.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses that are tried for one outgoing connection; more would each have too little time.
pub(crate) const CONNECT_ADDRESSES_MAX: usize = 16;

/// Worker threads for the jobs and files of each listener, unless `workers` of the configuration says otherwise: one
/// slow sync must not delay another upload, and more threads would only queue at the same disk.
pub(crate) const WORKERS: usize = 4;

/// The largest `workers`: each listener may start that many threads, and each needs a stack.
pub(crate) const WORKERS_MAX: usize = 256;

/// The nice value of worker threads relative to the loop (`sched(7)`): where both want the same core the workers get a
/// tenth of it, and all of it while the loop sleeps.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems have no such call"))]
pub(crate) const WORKER_NICE: i32 = 10;

/// Unfinished jobs of one listener. A connection has at most one, so this is reached only if `max_connections` is
/// larger.
pub(crate) const JOBS_MAX: usize = 65_536;

/// Time that a job waits for a worker before the log reports it: longer than a normal burst takes, shorter than a
/// client waits.
pub(crate) const JOB_WAIT: Duration = Duration::from_secs(2);

/// Bytes of one upload buffer: large enough that handing it to a worker costs little.
pub(crate) const BULK_BUFFER_BYTES: usize = 256 * 1024;

/// Buffers that one upload may hold: one being written, the others being filled.
pub(crate) const BULK_BUFFERS_PER_CONNECTION_MAX: usize = 3;

/// Buffers for all uploads together (32 MiB); an upload that gets none waits until one is returned.
pub(crate) const BULK_BUFFERS_MAX: usize = 128;

/// Bytes of one pipe of an upload: what a pipe may hold without a privilege (`pipe(7)`: `pipe-max-size`).
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code, reason = "no splice(2)"))]
pub(crate) const PIPE_BYTES: usize = 1024 * 1024;

/// Bytes that a visit may move to a pipe in the place of one that it may read: moving takes a quarter of the time, because nothing is
/// copied. So one visit fills a pipe.
pub(crate) const SPLICED_PER_BYTE: usize = 4;

/// Pipes for all uploads together (32 MiB): half of what a user may have (`pipe(7)`: `pipe-user-pages-soft`). An upload that gets
/// none uses buffers.
pub(crate) const PIPES_MAX: usize = 32;

/// File descriptors for connections, divided by the pipes that they leave room for: pipes take a sixteenth of them.
pub(crate) const DESCRIPTORS_PER_PIPE: usize = 32;

/// Bytes that an upload receives between two pauses so that it uses a pipe again: fewer are copied as cheaply.
pub(crate) const PIPE_WORTH_BYTES: usize = 16 * 1024;

/// File descriptors for connections below which the log warns, whatever the configuration asks for: half of the usual
/// default limit of a process.
pub(crate) const FEW_DESCRIPTORS: usize = 512;

/// File descriptors that connections do not use: for files of a protocol, a log or an embedding program.
pub(crate) const RESERVED_DESCRIPTORS: usize = 4;

/// Consecutive errors of `accept(2)` that are each attributed to one connection. More must concern the listener,
/// because the accept queue would be empty by now: the listener pauses as after any other error.
pub(crate) const ACCEPT_ERRORS_MAX: usize = 64;

/// Prefixes of addresses whose rate of connections is remembered, for each listener: at 40 bytes each they take about 4 MiB. Of
/// more, those that connected last are remembered; no connection is refused because the table is full.
pub(crate) const RATE_TABLE_MAX: usize = 65_536;

/// Time for which a listener or a UDP socket pauses after the process or the system ran out of descriptors or memory,
/// unless a connection closes earlier: short enough to resume soon, long enough to cost nothing. A worker that cannot
/// wake the loop retries after the same time.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Time for which a server that has reset its connections waits for the jobs that drop their remains.
pub(crate) const CUT_GRACE: Duration = Duration::from_millis(500);

/// Distinct reasons of one counter; only a faulty protocol has more.
pub(crate) const REASONS_MAX: usize = 64;

/// Log lines of one kind within [`LOG_PERIOD`]; further lines are counted and reported as suppressed.
pub(crate) const LOG_LINES_MAX: u32 = 20;

/// The period over which [`LOG_LINES_MAX`] counts.
pub(crate) const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Characters of a panic's message that are logged: the message may quote a peer's bytes.
pub(crate) const PANIC_MESSAGE_CHARS_MAX: usize = 500;

/// Connections that one report lists, the longest waits first: at 250 bytes each they fit into half of
/// [`LOG_QUEUE_BYTES_MAX`].
pub(crate) const REPORT_ROWS_MAX: usize = 500;

/// Bytes of the head of an HTTP request to `admin`: what common servers take.
#[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "only `admin` reads HTTP"))]
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Headers of an HTTP request to `admin`: a browser sends 20.
#[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "only `admin` reads HTTP"))]
pub(crate) const HTTP_HEADERS_MAX: usize = 64;

/// Seconds of one recording of the loop for `admin`: a busy server fills the ring of the X-ray in less.
#[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "only `admin` records for a request"))]
pub(crate) const RECORDING_SECONDS_MAX: usize = 10;

/// Problems of a configuration that are reported in one run: each takes a pass over the text to find.
pub(crate) const PROBLEMS_MAX: usize = 100;

/// Lines that a reload logs, differences or problems; one line counts the others.
pub(crate) const RELOAD_LINES_MAX: usize = 100;

/// Characters of a value in a line about a difference: a value may be a text of many pages.
pub(crate) const DIFFERENCE_CHARS_MAX: usize = 60;

/// Earlier versions of listeners that still have connections after reloads. One more reload that would need more is refused:
/// each keeps its limits in memory until its last connection ends.
pub(crate) const RETIRED_ENDPOINTS_MAX: usize = 256;

/// Bytes of a configuration file: room for thousands of listeners, and a bound if another file was named by mistake.
pub(crate) const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of log lines that wait for stderr; further lines are dropped and counted.
pub(crate) const LOG_QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Time at exit for log lines to reach a slow stderr.
pub(crate) const LOG_FLUSH: Duration = Duration::from_millis(200);

/// Time that the log's thread waits for another line before it ends.
pub(crate) const LOG_IDLE: Duration = Duration::from_secs(1);

/// Bytes that another thread writes to the log at a time, if the log's thread cannot be started: a pipe or terminal
/// that is writable takes that many without blocking (`pipe(7)`: `PIPE_BUF`).
pub(crate) const LOG_CHUNK_BYTES_MAX: usize = 512;

/// Time that the log's thread waits before retrying a full non-blocking stderr.
pub(crate) const LOG_RETRY: Duration = Duration::from_millis(10);

/// Messages of one listener that the loop has not delivered yet: some turns of a busy server, and a bound for a sender in
/// another thread that is faster than the loop.
pub(crate) const MESSAGES_MAX: usize = 65_536;

/// Bytes of all messages of one listener, from their sending until they reach a protocol or an output.
pub(crate) const MESSAGES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages of one connection that the loop has not delivered yet, so that a loud one leaves room for the others.
pub(crate) const MESSAGES_PER_SENDER_MAX: u16 = 1024;

/// Units of handing a message to a connection: finding it, and queueing its slot.
pub(crate) const MESSAGE_UNITS: u32 = 256;

/// Groups of one listener.
pub(crate) const GROUPS_MAX: usize = 65_536;

/// Groups that one connection may be in. They are searched one by one.
pub(crate) const GROUPS_PER_CONNECTION_MAX: usize = 64;

/// Bytes of the name of a group.
pub(crate) const GROUP_NAME_BYTES_MAX: usize = 255;

/// The shortest interval between two ticks of a service: ticks of a shorter one would take the loop's time from the
/// connections.
pub(crate) const TICK_MIN: Duration = Duration::from_millis(1);

/// The longest interval between two ticks of a service: no clock overflows.
pub(crate) const TICK_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Records that the X-ray of a loop keeps, 40 bytes each: a second of a busy server, an hour of a quiet one.
pub(crate) const XRAY_RECORDS_MAX: usize = 65_536;

/// Records that go to a live view at a time: most turns are shorter.
pub(crate) const XRAY_BATCH_RECORDS_MAX: usize = 1024;

/// Batches that wait for a live view; further records are lost to the view and counted.
pub(crate) const XRAY_BATCHES_MAX: usize = 64;

/// Records that are logged after a panic in a protocol.
pub(crate) const XRAY_LAST_RECORDS: usize = 64;

/// The time between two lines of the access log about the datagrams that a UDP socket has dropped.
pub(crate) const DROPS_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// The time between two looks at the status that the service manager shows.
pub(crate) const NOTIFY_STATUS_EVERY: Duration = Duration::from_secs(1);

/// The time after which a state that the service manager did not take is sent again, if no turn ends before.
pub(crate) const NOTIFY_AGAIN: Duration = Duration::from_millis(100);

/// Bytes of the reason of a failed reload in the status; systemd takes messages of 4 KiB.
pub(crate) const NOTIFY_REASON_BYTES_MAX: usize = 1024;

/// The time that the service manager is asked to wait for a server that stops, again and again until it has ended.
pub(crate) const STOP_EXTENSION: Duration = Duration::from_secs(10);

/// The shortest time between two messages to the watchdog of the service manager, however short its own time is.
pub(crate) const WATCHDOG_EVERY_MIN: Duration = Duration::from_millis(1);

/// The configured bounds of a listener and of its connections: see `docs/configuration.md` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections; further ones wait in the accept queue.
    pub max_connections: usize,
    /// Open connections from one address; further ones are refused.
    pub max_connections_per_ip: Option<usize>,
    /// Connections accepted in a period; further ones wait in the accept queue.
    pub connection_rate: Option<Rate>,
    /// Connections in a period from one address; further ones are refused.
    pub connection_rate_per_ip: Option<Rate>,
    /// The first bits of an IPv4 address that count as one address.
    pub ip_prefix_v4: u8,
    /// The first bits of an IPv6 address that count as one address.
    pub ip_prefix_v6: u8,
    /// Time without a byte received, a job finished, or output sent.
    pub idle_timeout: Duration,
    /// Time from the first byte of a request to its last.
    pub request_timeout: Option<Duration>,
    /// Time from accepting to closing.
    pub lifetime: Option<Duration>,
    /// Time in which the peer acknowledges none of our output.
    pub write_timeout: Duration,
    /// Bytes per second that a peer must acknowledge on average while output is pending for it; slower progress uses up
    /// its `write_timeout`.
    pub min_send_rate: Option<NonZeroUsize>,
    /// Time for the peer's FIN after ours was sent.
    pub linger_timeout: Duration,
    /// Time of silence before the kernel probes the peer (`tcp(7)`: `TCP_KEEPIDLE`).
    pub tcp_keepalive: Option<Duration>,
    /// Bytes of pending output of one connection from which reading from it is paused.
    pub max_pending_output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_ip: None,
            connection_rate: None,
            connection_rate_per_ip: None,
            ip_prefix_v4: 32,
            ip_prefix_v6: 64,
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
