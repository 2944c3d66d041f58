//! The vocabulary: what a loop does, one record for each thing.

use std::time::Duration;

use super::answer::Answer;
use crate::notice::{Command, Readiness};
use crate::peer::PackedPeer;
use crate::protocol::Within;
use crate::token::Token;

/// One thing that a loop did: 40 bytes.
///
/// What [takes time](What::takes_time) began when the record before it was made, and ended at its own time. Everything else
/// has the time of the record before it, so that a clock is read only where time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Nanoseconds since the recording began, on the monotonic clock (`clock_gettime(2)`).
    pub at: u64,
    /// Whose it is: a listener, a UDP socket or a connection. Its generation is its number, which no other has; it is
    /// [`NOBODY`] for what the loop does for itself.
    pub who: Token,
    /// What it did.
    pub what: What,
}

/// Stands for the loop itself.
pub const NOBODY: Token = Token { slot: u32::MAX, generation: 0 };

/// What a loop did.
///
/// Between one [`What::Turn`] and the next stand the records of a turn. After a [`What::Visit`] or a [`What::Reap`] stand
/// those of one slot, until something is recorded for another one or the next turn begins; the visit of a connection or a
/// UDP socket ends with a [`What::Left`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A turn begins.
    Turn {
        /// Counts from 1; what comes before the first turn is the start of the server.
        number: u64,
        /// Connections that are open.
        connections: u32,
        /// Bytes of output that are pending for all of them.
        pending: u32,
        /// Whether that is more than `max_pending_output_total`, so that all of them feel back-pressure.
        pressed: bool,
    },
    /// An event came for a slot: what its socket may be ready for.
    Event(Readiness),
    /// An event or a result came for an owner that is gone, and is ignored.
    Stale,
    /// The deadline of a slot came up. Its owner says what was due, if anything: see [`What::Expired`].
    Due,
    /// A connection has been accepted. Its number stands at this record; the descriptor is the answer of the
    /// [`Call::Accept`] before it.
    Accepted {
        /// Who is at the other end.
        peer: PackedPeer,
        /// Which of [`Recording::endpoints`](super::Recording::endpoints) accepted it.
        endpoint: u16,
    },
    /// The loop turns to a slot.
    Visit,
    /// It leaves the slot again.
    Left {
        /// What the slot waits for now.
        status: Waits,
        /// Bytes of its output that are pending.
        pending: u32,
        /// Nanoseconds until its deadline: `u64::MAX` if it has none.
        deadline: u64,
    },
    /// A system call, and its answer.
    Call {
        /// Which one.
        call: Call,
        /// What it gave.
        answer: Answer,
    },
    /// A protocol was called.
    Asked {
        /// Why.
        ask: Ask,
        /// Bytes that it was shown.
        input: u32,
        /// How many of them it consumed.
        consumed: u32,
        /// Bytes of output that it appended.
        output: u32,
        /// What it decided.
        decision: Decision,
    },
    /// A connection enters a phase. Phases that end it say why: that text is empty for the others.
    Phase(Phase, &'static str),
    /// A datagram was dropped; the name of the counter.
    Dropped(&'static str),
    /// Back-pressure: so much output is pending that the connection is neither read from nor listened to.
    Full {
        /// Bytes that are pending.
        pending: u32,
    },
    /// Back-pressure is over: the peer took enough.
    Relieved {
        /// Bytes that are still pending.
        pending: u32,
    },
    /// A deadline passed and was acted on; which one.
    Expired(&'static str),
    /// A job was handed to a worker; or not, because there was none to be had.
    JobOut {
        /// Whether a worker takes it.
        taken: bool,
    },
    /// The result of a job came back.
    JobBack {
        /// Whether the job panicked instead of returning.
        panicked: bool,
    },
    /// Accepting is paused; why.
    Paused(&'static str),
    /// A signal or a [`Handle`](crate::Handle) asked for something.
    Command(Command),
    /// The server begins to stop; or cuts what is left.
    Stopping {
        /// Whether connections are cut.
        cut: bool,
    },
    /// The loop takes leave of a slot that is over.
    Reap,
    /// A connection is over; why.
    Closed(&'static str),
}

impl What {
    /// Whether it takes time: a system call or a protocol. A clock is read when it ends.
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
        /// Milliseconds at most: -1 for ever.
        timeout: i32,
    },
    /// `socket(2)`; the answer is the descriptor.
    Socket {
        /// Whether it is for IPv6.
        ipv6: bool,
        /// Whether it is for UDP.
        datagram: bool,
    },
    /// `fcntl(2)` with `F_GETFL`; the answer are the flags.
    GetFlags,
    /// `fcntl(2)` with `F_SETFL`: the same flags and `O_NONBLOCK`.
    SetNonblocking,
    /// `setsockopt(2)`.
    SetOption {
        /// Which one.
        option: SocketOption,
        /// Its value.
        value: u32,
    },
    /// `bind(2)`.
    Bind,
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
        /// What for.
        interest: Interest,
    },
    /// `accept4(2)`; the answer is the descriptor.
    Accept,
    /// `recvfrom(2)`; the answer is the number of bytes, 0 at the peer's FIN.
    Read {
        /// Bytes that were asked for.
        asked: u32,
    },
    /// `sendto(2)`; the answer is the number of bytes.
    Write {
        /// Bytes that were offered.
        offered: u32,
    },
    /// `recvmmsg(2)`; the answer is the number of datagrams.
    Receive {
        /// Datagrams that there was room for.
        rooms: u32,
        /// Bytes of those that came.
        bytes: u32,
    },
    /// `sendmmsg(2)`; the answer is the number of messages. One message is a datagram, or a run of them that the kernel cuts
    /// (`udp(7)`: `UDP_SEGMENT`).
    Send {
        /// Messages that were offered.
        offered: u32,
        /// Bytes of those that were taken.
        bytes: u32,
    },
    /// `recvmsg(2)`, where there is no call for many datagrams; the answer is the number of bytes of one.
    ReceiveOne,
    /// `sendmsg(2)`, where there is no call for many datagrams; the answer is the number of bytes of one.
    SendOne,
    /// `ioctl(2)` with `SIOCOUTQ`.
    SendQueue {
        /// Bytes that the kernel holds and the peer has not acknowledged.
        bytes: u32,
    },
    /// `shutdown(2)` with `SHUT_WR`.
    Shutdown,
    /// `close(2)`.
    Close,
}

impl Call {
    /// A wait as the kernel sees it: in whole milliseconds, rounded up as mio does it.
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
    /// `IP_PKTINFO` (`ip(7)`), or what the system has instead.
    PacketInfo,
    /// `IPV6_RECVPKTINFO` (`ipv6(7)`).
    PacketInfoV6,
    /// `UDP_SEGMENT` (`udp(7)`).
    Segment,
    /// `SO_LINGER` with a time of zero (`socket(7)`): closing will reset the connection.
    Linger,
}

/// What a socket is registered for; always edge-triggered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interest {
    /// Reading: a listener.
    Read,
    /// Reading and writing: a UDP socket.
    ReadWrite,
    /// Reading, writing and, where the system can tell, urgent data: a connection.
    ReadWriteUrgent,
}

/// Why a protocol is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// The connection was accepted: `on_open`.
    Open,
    /// Bytes came: `on_bytes`.
    Bytes,
    /// [`Event::Eof`](crate::protocol::Event::Eof).
    Eof,
    /// [`Event::Quiet`](crate::protocol::Event::Quiet).
    Quiet,
    /// A job is done: the method that [`Step::job`](crate::protocol::Step::job) named.
    Done,
    /// Contents are stored: the method that [`Step::bulk`](crate::protocol::Step::bulk) named.
    Stored,
    /// [`Event::Room`](crate::protocol::Event::Room).
    Room,
    /// [`Event::NoWorker`](crate::protocol::Event::NoWorker).
    NoWorker,
    /// [`Event::Closing`](crate::protocol::Event::Closing).
    Closing,
    /// The connection is over: `on_close`.
    Close,
    /// A datagram came: `on_datagram`.
    Datagram,
}

/// What a protocol decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// A message is done with; it is called again if input is left.
    Again,
    /// It waits for more bytes, in the middle of this.
    Wait(Within),
    /// It rests until a job is done.
    Job,
    /// The next bytes go to a file.
    Bulk,
    /// It has more to say, once there is room.
    More,
    /// What is pending is sent, then the connection closes.
    Finish,
    /// It refused what the peer sent. What it appended is sent, then the connection closes.
    Refused,
    /// It panicked, or broke a rule; the connection closes.
    Bug,
    /// A datagram is dealt with, be it by an answer or by silence.
    Dealt,
    /// A datagram deserves no answer.
    Dropped,
    /// Nothing was left to decide.
    Nothing,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The kernel has not connected the socket yet.
    Connecting,
    /// What comes before the protocol is read or sent.
    Opening,
    /// It is complete; what is pending of it is sent before the protocol is made.
    Sending,
    /// Bytes go to the protocol.
    Conversing,
    /// The protocol rests until its job is done.
    Working,
    /// Bytes go to a file.
    Storing,
    /// The protocol has more to say, once there is room.
    Speaking,
    /// What is pending is sent; then comes our FIN.
    Flushing,
    /// Our FIN was sent; input is discarded until the peer's.
    Lingering,
    /// It is over.
    Closed,
}

/// What a slot waits for when it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waits {
    /// An edge, a result or a deadline.
    Event,
    /// Its next visit: its budget is used up.
    Turn,
    /// A buffer of the pool.
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
