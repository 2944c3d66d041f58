//! The vocabulary of the X-ray: one record for each action of the loop.

use std::time::Duration;

use super::answer::Answer;
use crate::notice::{Command, Readiness};
use crate::peer::PackedPeer;
use crate::protocol::Within;
use crate::token::Token;

/// One action of the loop, in 40 bytes.
///
/// An action that [takes time](What::takes_time) began at the time of the previous record and ended at its own. Any
/// other action has the time of the previous record, so that the clock is read only where time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Nanoseconds since the recording began, on the monotonic clock (`clock_gettime(2)`).
    pub at: u64,
    /// The listener, UDP socket or connection that the record is about. The generation is its unique number; `who` is
    /// [`LOOP`] for an action of the loop itself.
    pub who: Token,
    /// The action.
    pub what: What,
}

/// The loop itself, in the place of a listener, a socket or a connection.
pub const LOOP: Token = Token { slot: u32::MAX, generation: 0 };

/// An action of the loop.
///
/// The records of a turn lie between one [`What::Turn`] and the next. The records after a [`What::Visit`] or a
/// [`What::Reap`] belong to one slot, until a record names another slot or the next turn begins. The visit of a
/// connection or a UDP socket ends with a [`What::Left`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A turn begins.
    Turn {
        /// Counts from 1; the records before the first turn are the start of the server.
        number: u64,
        /// Open connections.
        connections: u32,
        /// Bytes of pending output of all connections together.
        pending: u32,
        /// Whether `pending` exceeds `max_pending_output_total`, which puts all connections under back-pressure.
        pressed: bool,
    },
    /// The kernel reported an event for a slot: the operations its socket may be ready for.
    Event(Readiness),
    /// An event or a result for a former owner of a slot; it is ignored.
    Stale,
    /// The timer of a slot fired. Its owner checks which deadline has expired, if any: see [`What::Expired`].
    Due,
    /// A connection was accepted. `who` of this record is its number; the answer of the [`Call::Accept`] before it is
    /// the descriptor.
    Accepted {
        /// The peer.
        peer: PackedPeer,
        /// The listener, as an index into [`Recording::endpoints`](super::Recording::endpoints).
        endpoint: u16,
    },
    /// A socket connects for a connection whose protocol asked for it. `who` of this record is the number of the new connection.
    Connects {
        /// The address that it connects to.
        peer: PackedPeer,
        /// The listener that both belong to, as an index into [`Recording::endpoints`](super::Recording::endpoints).
        endpoint: u16,
    },
    /// The opening of a connection has named another peer than the kernel: the client of a proxy.
    Announced {
        /// The client.
        peer: PackedPeer,
    },
    /// The loop begins to visit a slot.
    Visit,
    /// The visit ends.
    Left {
        /// What the slot waits for now.
        status: Waits,
        /// Bytes of pending output of the slot.
        pending: u32,
        /// Nanoseconds until the slot's deadline; `u64::MAX` if it has none.
        deadline: u64,
    },
    /// A system call and its return value.
    Call {
        /// The call.
        call: Call,
        /// Its return value.
        answer: Answer,
    },
    /// A protocol was called.
    Asked {
        /// Why.
        ask: Ask,
        /// Bytes that the protocol was shown.
        input: u32,
        /// Bytes of the input that it consumed.
        consumed: u32,
        /// Bytes of output that it appended.
        output: u32,
        /// Its decision.
        decision: Decision,
    },
    /// A connection enters a phase. The text is the reason for the phases that end the connection, and empty for the
    /// others.
    Phase(Phase, &'static str),
    /// A datagram was dropped; the text is the name of the counter.
    Dropped(&'static str),
    /// Back-pressure begins: pending output has reached the limit. Neither is the connection read from nor its protocol
    /// called.
    Full {
        /// Bytes that are pending.
        pending: u32,
    },
    /// Back-pressure ends: the peer has taken enough output.
    Relieved {
        /// Bytes that are still pending.
        pending: u32,
    },
    /// A deadline has expired and the loop acts on it; the text names the deadline.
    Expired(&'static str),
    /// A message of another connection or another thread for a connection.
    Message {
        /// Its bytes; 0 for a value.
        bytes: u32,
        /// Whether the connection has it; otherwise it has ended or has no room.
        taken: bool,
    },
    /// A job was handed to a worker, or refused because no worker is available.
    JobOut {
        /// Whether a worker takes the job.
        taken: bool,
    },
    /// The result of a job came back.
    JobBack {
        /// Whether the job panicked instead of returning.
        panicked: bool,
    },
    /// Accepting is paused; the text is the reason.
    Paused(&'static str),
    /// A signal or a [`Handle`](crate::Handle) asked for something.
    Command(Command),
    /// The server begins to stop, or resets the remaining connections.
    Stopping {
        /// Whether connections are reset.
        cut: bool,
    },
    /// The loop frees a slot whose owner has ended.
    Reap,
    /// A connection was closed; the text is the reason.
    Closed(&'static str),
}

impl What {
    /// Whether the action takes time, as a system call and a call of a protocol do. The clock is read when it ends.
    #[must_use]
    pub const fn takes_time(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Asked { .. })
    }
}

/// A system call on a socket, or the wait of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `epoll_wait(2)`; the answer is the number of events.
    Wait {
        /// Milliseconds at most; -1 for ever.
        timeout: i32,
    },
    /// `socket(2)`; the answer is the descriptor.
    Socket {
        /// Whether the socket is for IPv6.
        ipv6: bool,
        /// Whether the socket is for UDP.
        datagram: bool,
    },
    /// `socket(2)` with `AF_UNIX`; the answer is the descriptor.
    SocketUnix {
        /// Whether the socket is for datagrams.
        datagram: bool,
    },
    /// `getsockopt(2)` with `SO_PEERCRED`, or `getpeereid(3)`: which process connected.
    PeerCredentials,
    /// `fcntl(2)` with `F_GETFL`; the answer is the flags.
    GetFlags,
    /// `fcntl(2)` with `F_SETFL`: the same flags and `O_NONBLOCK`.
    SetNonblocking,
    /// `setsockopt(2)`.
    SetOption {
        /// The option.
        option: SocketOption,
        /// Its value.
        value: u32,
    },
    /// `bind(2)`.
    Bind,
    /// `connect(2)`, which does not wait: to another server, or to find out whether a process listens at the path of a Unix socket.
    Connect,
    /// `listen(2)`.
    Listen {
        /// The backlog.
        backlog: u32,
    },
    /// `getsockname(2)`.
    GetName,
    /// `getsockopt(2)` with `SO_ERROR`: how a connect ended. The answer is the errno that was pending, or 0.
    GetError,
    /// `epoll_ctl(2)` with `EPOLL_CTL_ADD`.
    Register {
        /// The events to report.
        interest: Interest,
    },
    /// `epoll_ctl(2)` with `EPOLL_CTL_MOD`.
    Reregister {
        /// The events to report from now on.
        interest: Interest,
    },
    /// `accept4(2)`; the answer is the descriptor.
    Accept,
    /// `recvfrom(2)`; the answer is the number of bytes, 0 at the peer's FIN or before urgent data.
    Read {
        /// The size of the buffer, in bytes.
        asked: u32,
    },
    /// `recvfrom(2)` with `MSG_TRUNC`: the bytes are discarded. The answer is as for [`Call::Read`].
    Discard {
        /// Bytes to discard at most.
        asked: u32,
    },
    /// `splice(2)` from the socket to a pipe; the answer is the number of bytes, 0 at the peer's FIN.
    Splice {
        /// The room in the pipe, in bytes, or fewer.
        asked: u32,
    },
    /// `pipe2(2)`.
    Pipe,
    /// `fcntl(2)` with `F_SETPIPE_SZ`; the answer is the size.
    SetPipeSize {
        /// The size that is asked for.
        bytes: u32,
    },
    /// `close(2)` of one end of a pipe.
    ClosePipe,
    /// `sendto(2)`; the answer is the number of bytes.
    Write {
        /// Bytes offered to the kernel.
        offered: u32,
    },
    /// `recvmmsg(2)`; the answer is the number of datagrams.
    Receive {
        /// Datagrams that the buffers have room for.
        rooms: u32,
        /// Bytes of the datagrams that were received.
        bytes: u32,
    },
    /// `sendmmsg(2)`; the answer is the number of messages. A message is one datagram, or a run of datagrams that the
    /// kernel splits (`udp(7)`: `UDP_SEGMENT`).
    Send {
        /// Messages offered to the kernel.
        offered: u32,
        /// Bytes of the messages that the kernel took.
        bytes: u32,
    },
    /// `recvmsg(2)`, where `recvmmsg(2)` is not available; the answer is the number of bytes of the datagram.
    ReceiveOne,
    /// `sendmsg(2)`, where `sendmmsg(2)` is not available; the answer is the number of bytes of the datagram.
    SendOne,
    /// `ioctl(2)` with `SIOCOUTQ`.
    SendQueue {
        /// Bytes in the kernel's send queue that the peer has not acknowledged.
        bytes: u32,
    },
    /// `shutdown(2)` with `SHUT_WR`.
    Shutdown,
    /// `close(2)`.
    Close,
}

impl Call {
    /// Makes the record of a wait, in whole milliseconds, rounded up as mio does.
    pub(crate) fn wait(timeout: Option<Duration>) -> Self {
        let milliseconds =
            |timeout: Duration| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        Self::Wait { timeout: timeout.map_or(-1, milliseconds) }
    }
}

/// An option of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// `SO_REUSEADDR` (`socket(7)`).
    ReuseAddress,
    /// `SO_REUSEPORT` (`socket(7)`), or the system's equivalent.
    ReusePort,
    /// `IPV6_V6ONLY` (`ipv6(7)`).
    OnlyV6,
    /// `TCP_NODELAY` (`tcp(7)`).
    NoDelay,
    /// `TCP_NOTSENT_LOWAT` (`tcp(7)`), in bytes.
    NotSentLowat,
    /// `SO_KEEPALIVE` (`socket(7)`).
    KeepAlive,
    /// `TCP_KEEPIDLE` (`tcp(7)`), in seconds.
    KeepIdle,
    /// `SO_RCVBUF` (`socket(7)`), in bytes.
    ReceiveBuffer,
    /// `IP_PKTINFO` (`ip(7)`), or the system's equivalent.
    PacketInfo,
    /// `IPV6_RECVPKTINFO` (`ipv6(7)`).
    PacketInfoV6,
    /// `UDP_SEGMENT` (`udp(7)`).
    Segment,
    /// `SO_LINGER` with a time of zero (`socket(7)`): `close(2)` then resets the connection.
    Linger,
}

/// The events that a socket is registered for; always edge-triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interest {
    /// Reading: a listener.
    Read,
    /// Reading and writing: a UDP socket.
    ReadWrite,
    /// Reading, writing and, where the system reports it, urgent data: a connection.
    ReadWriteUrgent,
    /// Writing: a connection whose reads are paused.
    Write,
}

/// Why a protocol is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// The connection was accepted: `on_open`.
    Open,
    /// Bytes arrived: `on_bytes`.
    Bytes,
    /// [`Event::Eof`](crate::protocol::Event::Eof).
    Eof,
    /// [`Event::Quiet`](crate::protocol::Event::Quiet).
    Quiet,
    /// [`Event::Timer`](crate::protocol::Event::Timer).
    Timer,
    /// [`Event::Message`](crate::protocol::Event::Message).
    Message,
    /// [`Event::Missed`](crate::protocol::Event::Missed).
    Missed,
    /// A job has finished: the method that [`Step::job`](crate::protocol::Step::job) named.
    Done,
    /// Contents are stored: the method that [`Step::bulk`](crate::protocol::Step::bulk) named.
    Stored,
    /// [`Event::Room`](crate::protocol::Event::Room).
    Room,
    /// [`Event::NoWorker`](crate::protocol::Event::NoWorker).
    NoWorker,
    /// [`Event::Closing`](crate::protocol::Event::Closing).
    Closing,
    /// The connection has ended: `on_close`.
    Close,
    /// A datagram arrived: `on_datagram`.
    Datagram,
}

/// What a protocol decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// A message is handled; the protocol is called again if input is left.
    Again,
    /// It waits for more bytes, in the middle of [`Within`].
    Wait(Within),
    /// It waits for a job.
    Job,
    /// The next bytes go to a file.
    Bulk,
    /// It waits for a connection to another server.
    Connect,
    /// It is joined with another connection.
    Relay,
    /// It has more output, once there is room.
    More,
    /// Pending output is sent, then the connection closes.
    Finish,
    /// It refused the peer's request. Pending output is sent, then the connection closes.
    Refused,
    /// It panicked or broke a rule of the interface; the connection closes.
    Bug,
    /// A datagram was handled, with or without a reply.
    Dealt,
    /// A datagram was refused without a reply.
    Dropped,
    /// The call returns no decision.
    Nothing,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The kernel has not connected the socket yet.
    Connecting,
    /// The opening before the protocol, a header or a handshake, is read or answered.
    Opening,
    /// The opening is complete; its pending output is sent before the protocol is made.
    Sending,
    /// Bytes go to the protocol.
    Conversing,
    /// The protocol waits for its job, or for a connection to another server.
    Working,
    /// Bytes go to another connection, and come from it.
    Relaying,
    /// Bytes go to a file.
    Storing,
    /// The protocol has more output, once there is room.
    Speaking,
    /// Pending output is sent, then our FIN.
    Flushing,
    /// Our FIN was sent; input is discarded until the peer's FIN.
    Lingering,
    /// The connection is closed.
    Closed,
}

/// What a slot waits for after a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waits {
    /// An event of its socket, the result of a job, or a deadline.
    Event,
    /// Its next visit: its budget is used up.
    Turn,
    /// An upload buffer from the pool.
    Buffer,
    /// To be reaped.
    Reaping,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_forty_bytes() {
        assert_eq!(size_of::<Record>(), 40);
    }
}
