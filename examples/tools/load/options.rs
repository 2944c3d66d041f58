use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use reactor::config::units::Size;

use crate::announce::Announce;
use crate::arrivals::Spread;
use crate::client::span::span;
use crate::client::url::{Transport, Url, url_of};
use crate::condition::{self, Condition};
use crate::growth::Growth;
use crate::ramp::Ramp;
use crate::random::fresh_seed;
use crate::raw::RawOptions;

/// Bytes of all requests that are kept ready in memory.
const TAPE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// More bytes than any disk has.
const SIZE_MAX: u64 = 1 << 50;

/// Bytes that all members of a chat together take to remember which line of each sender comes next.
const CHAT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most connections of a run.
pub(crate) const CONNECTIONS_MAX: u32 = 100_000;

/// The longest payload of a UDP datagram over IPv4.
const DATAGRAM_BYTES_MAX: u64 = 65_507;

/// Loads a server with requests, compares every answer, and measures how long they take.
///
/// Without --rate the loop is closed: a connection asks again when it has its answer, which finds the capacity but hides
/// stalls. With --rate it is open: a latency counts from the moment at which the request should have left.
///
/// In a chat the first members say lines, and all read: a latency belongs to one line at one member. The loop is closed or
/// open over the whole room.
///
/// A request of file and file-sized is a whole upload, under a fresh name, with its confirmation. The files stay with
/// the server, unless --directory names its directory.
///
/// Ctrl-C ends the measurement early: the results so far are reported, the assertions are not checked, and load ends by
/// that signal. A second Ctrl-C ends it at once. SIGTERM does the same.
///
/// Exit code: 0; 1 when there is nothing to measure or an assertion failed; 2 for wrong usage. Without --assert errors
/// are only reported.
#[derive(Parser)]
#[command(name = "load")]
pub(crate) struct Cli {
    /// The protocol that the server speaks there
    pub(crate) protocol: Protocol,

    /// Where the server listens, such as 127.0.0.1:5656, :5656, unix:///run/sum.sock or, for sum and raw, udp://127.0.0.1:5656
    /// and unixgram:///run/sum.dgram
    ///
    /// Several servers get the same number of connections each, or some one more, and the result tells them apart.
    #[arg(value_name = "URL", required = true, num_args = 1.., value_parser = url_of(&[Transport::Tcp, Transport::Udp]))]
    pub(crate) urls: Vec<Url>,

    /// Connections; over UDP, sockets; of chat, members
    #[arg(short, long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub(crate) connections: u32,

    /// Open connections evenly over this time from the start, the warm-up included, instead of all before it [example: 10..1000/30s]
    ///
    /// With --connect-each it is the number of requests that may be without an answer that grows so.
    #[arg(long, value_name = "CONNECTIONS/SPAN", conflicts_with = "connections")]
    pub(crate) ramp_connections: Option<Growth>,

    /// How long to measure
    #[arg(short, long, value_name = "SPAN", default_value = "10s", value_parser = span_above_zero)]
    pub(crate) duration: Duration,

    /// Load for this time before the measurement begins; only errors count then [default: 0s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) warmup: Option<Duration>,

    /// Requests of each connection that may be without an answer; of chat, lines under way for each sender
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) pipeline: u32,

    /// Send this number of requests a second, over all connections, however slow the server is [example: 20k]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<u64>,

    /// An open loop whose rate rises, or falls, in this time from the start, and then stays; --rate is not needed [example:
    /// 0..10k/30s]
    #[arg(long, value_name = "RATES/SPAN", conflicts_with_all = ["rate", "bad"])]
    pub(crate) ramp: Option<Ramp>,

    /// How the requests of an open loop are spread over the time
    #[arg(long, value_name = "HOW", default_value = "even")]
    pub(crate) arrivals: Spread,

    /// The seed of --arrivals poisson and of the pauses of --reconnect: the same one repeats them [default: another in each run]
    #[arg(long, value_name = "N", default_value_t = fresh_seed(), hide_default_value = true)]
    pub(crate) seed: u64,

    /// Bytes of each request, such as 64 or 1KiB; of file and file-sized, of each file
    ///
    /// A request of sum is padded with white space within the object, and is longer if its numbers need more. A request
    /// of uppercase and of chat is a line of this size. [default: 64 for uppercase and chat, the minimum for sum, 64KiB for files]
    #[arg(long, value_parser = bytes)]
    size: Option<u64>,

    /// Make a connection for each request
    ///
    /// A latency then includes connecting. The client ends the connection by a reset once it has the answer, so that no
    /// port is kept (TIME-WAIT) and ports cannot run out.
    #[arg(long)]
    connect_each: bool,

    /// Go on while a server is away: open each connection that has ended, or could not be opened, again and again
    ///
    /// The run begins even if no server is there. The pauses between attempts grow from 10ms to 1s. Every connection that ends and
    /// every attempt that fails is an error. With --rate no time is lost: requests that are due meanwhile wait, and their latencies
    /// say so. Without --reconnect each server must be there at the start, later a connection is opened again every 10ms, and
    /// one that ends between requests is not an error.
    #[arg(long, conflicts_with = "bad")]
    pub(crate) reconnect: bool,

    /// Begin each connection with a PROXY header, as a proxy does: v1 or v2, or with the address of the client, as in
    /// v2=192.0.2.7 [default address: the one of this machine]
    #[arg(long, value_name = "VERSION[=SOURCE]")]
    pub(crate) proxy_protocol: Option<Announce>,

    /// Give up a request, or a connection, after this time without a whole answer, and of files without a byte; over UDP the answer counts as lost [default:
    /// 5s, for files 30s]
    #[arg(long, value_name = "SPAN", value_parser = span_above_zero)]
    timeout: Option<Duration>,

    /// Members of a chat that say lines [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    senders: Option<u32>,

    /// Members of a chat that never read [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    deaf: Option<u32>,

    /// End after this number of uploads, each of which leaves a file with the server
    #[arg(long, value_name = "N", default_value = "10k", value_parser = files)]
    pub(crate) max_files: u64,

    /// The directory where the server saves the files: those of this run are removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Fail unless all these conditions hold, such as 'p99<5ms,errors=0,rate>=20k'; --help lists the names
    #[arg(long = "assert", value_name = "CONDITIONS", value_delimiter = ',', long_help = condition::help())]
    pub(crate) conditions: Vec<Condition>,

    /// Misbehave with every connection, and connect again when the server closes; over TCP
    #[arg(long, value_name = "HOW", conflicts_with_all = ["rate", "pipeline", "connect_each", "conditions"])]
    pub(crate) bad: Option<Mode>,

    #[command(flatten)]
    pub(crate) raw: RawOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Numbers in, their sum out
    Sum,
    /// Lines in, the same in upper case out
    Uppercase,
    /// A connection for each file: a name, then contents that end with the connection
    File,
    /// File after file on a connection: a name, a size, then contents of that size
    FileSized,
    /// A name in, then lines in, and the lines of all others out: the server is examples/chat.rs
    Chat,
    /// Any protocol: --send says what is sent, --expect what an answer is
    Raw,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Send requests without end and never read an answer
    NeverReads,
    /// Send a byte every 100 ms
    Drips,
    /// Reset the connection in the middle of a request, again and again
    Resets,
    /// Send half a request, then FIN
    HalfCloses,
    /// Send random bytes
    Garbage,
    /// Send short requests that are expensive to answer, without end
    Expensive,
}

impl Cli {
    /// Returns why the options of a single run do not go together.
    pub(crate) fn problem_of_a_run(&self) -> Option<&'static str> {
        let is_closed = self.arrivals == Spread::Poisson && self.rate.is_none();
        is_closed.then_some("--arrivals is for an open loop: --rate").or_else(|| self.problem())
    }

    /// Returns what clap cannot check: why options do not go together.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_udp = self.transport() == Transport::Udp;
        let are_several = self.urls.len() > 1;
        let is_file = self.protocol.is_file();
        let is_chat = self.protocol == Protocol::Chat;
        let problem = if self.urls.iter().any(|url| url.transport != self.transport()) {
            "all URLs are of streams, or all of datagrams"
        } else if self.urls.len() > self.connections as usize {
            "each server needs a connection: -c"
        } else if are_several && is_chat {
            "members of a chat are at one server"
        } else if are_several && self.directory.is_some() {
            "--directory belongs to one server"
        } else if is_udp && !matches!(self.protocol, Protocol::Sum | Protocol::Raw) {
            "over UDP there are only sum and raw"
        } else if is_udp && self.needs_connections() {
            "over UDP there are no connections"
        } else if is_udp && self.size() > DATAGRAM_BYTES_MAX {
            "a datagram has at most 65507 bytes"
        } else if is_file && self.connect_each {
            "file makes a connection for each request anyway, file-sized never does"
        } else if is_chat && self.ramp_connections.is_some() {
            "all members of a chat enter before the start"
        } else if is_chat && self.reconnect {
            "a member of a chat that comes back could not know which lines it should get"
        } else if is_chat && (self.connect_each || self.bad.is_some()) {
            "members of a chat stay, and --deaf is the only bad one"
        } else if !is_chat && (self.senders.is_some() || self.deaf.is_some()) {
            "--senders and --deaf are for chat"
        } else if self.deaf.is_some() && self.proxy_protocol.is_some() {
            "members that never read send no header of a proxy"
        } else if is_chat && self.readers() < self.senders().max(2) {
            "senders read as well, and a line needs another member that does"
        } else if is_chat && self.readers() as u64 * self.senders() as u64 * 4 > CHAT_BYTES_MAX {
            "each member remembers 4 bytes of each sender, and all together have at most 64MiB"
        } else if !is_file && self.directory.is_some() {
            "--directory is for file and file-sized"
        } else if is_file && self.bad == Some(Mode::Expensive) {
            "a file has no expensive requests"
        } else if self.protocol == Protocol::File && self.bad == Some(Mode::NeverReads) {
            "the answers to a connection of file are too short to pile up"
        } else if self.pipeline > 1 && (is_file || self.connect_each) {
            "only requests of sum, uppercase and raw on a lasting connection can be pipelined"
        } else if (!is_file || self.bad.is_some()) && self.size().saturating_mul(self.pipeline.into()) > TAPE_BYTES_MAX
        {
            "requests are kept in memory: all that may be unanswered together have at most 64MiB"
        } else if self.protocol == Protocol::Uppercase && self.size() < 2 {
            "a line has at least two bytes"
        } else {
            return self.raw.problem(self);
        };
        Some(problem)
    }

    /// Whether an option says something about connections, beside their number.
    fn needs_connections(&self) -> bool {
        let how = self.connect_each || self.reconnect || self.ramp_connections.is_some();
        how || self.bad.is_some() || self.proxy_protocol.is_some()
    }

    /// Returns how long after the start a connection is opened.
    pub(crate) fn opens_after(&self, connection: usize) -> Duration {
        self.ramp_connections.as_ref().map_or(Duration::ZERO, |ramp| ramp.time(connection))
    }

    /// What the servers speak over: all of them the same.
    pub(crate) fn transport(&self) -> Transport {
        self.urls.first().map_or(Transport::Tcp, |url| url.transport)
    }

    /// Returns the URLs of all servers, as one text.
    pub(crate) fn places(&self) -> String {
        self.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.unwrap_or_else(|| match self.protocol {
            Protocol::Sum => 0,
            Protocol::Uppercase | Protocol::Chat => 64,
            Protocol::Raw => self.raw.request().len() as u64,
            Protocol::File | Protocol::FileSized => 64 * 1024,
        })
    }

    /// Whether `--size` is given.
    pub(crate) fn has_size(&self) -> bool {
        self.size.is_some()
    }

    pub(crate) fn warmup(&self) -> Duration {
        self.warmup.unwrap_or_default()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(match self.protocol {
            Protocol::Sum | Protocol::Uppercase | Protocol::Chat | Protocol::Raw => Duration::from_secs(5),
            Protocol::File | Protocol::FileSized => Duration::from_secs(30),
        })
    }

    /// Members of a chat that say lines.
    pub(crate) fn senders(&self) -> usize {
        self.senders.unwrap_or(1) as usize
    }

    /// Members of a chat that read.
    pub(crate) fn readers(&self) -> usize {
        self.connections.saturating_sub(self.deaf.unwrap_or(0)) as usize
    }

    /// Whether a connection serves one request only.
    pub(crate) fn connects_each(&self) -> bool {
        self.connect_each || self.protocol == Protocol::File
    }
}

impl Protocol {
    pub(crate) fn is_file(self) -> bool {
        matches!(self, Self::File | Self::FileSized)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Uppercase => "uppercase",
            Self::File => "file",
            Self::FileSized => "file-sized",
            Self::Chat => "chat",
            Self::Raw => "raw",
        }
    }
}

/// Parses a number, with k for thousands or M for millions.
pub(crate) fn count(text: &str) -> Option<u64> {
    let (digits, worth) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    digits.parse::<u64>().ok()?.checked_mul(worth)
}

fn files(text: &str) -> Result<u64, &'static str> {
    count(text).filter(|files| *files > 0).ok_or("expected a number of files such as 500 or 20k")
}

pub(crate) fn rate(text: &str) -> Result<u64, &'static str> {
    let is_possible = |rate: &u64| (1..=100_000_000).contains(rate);
    count(text).filter(is_possible).ok_or("expected requests a second such as 500 or 20k")
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    let bytes = text.parse().or_else(|_| text.parse::<Size>().map(Size::as_u64));
    bytes.ok().filter(|bytes| *bytes <= SIZE_MAX).ok_or("expected bytes such as 64 or 64KiB, at most 1PiB")
}

fn span_above_zero(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() { Err("expected more than zero".into()) } else { Ok(span) }
}
