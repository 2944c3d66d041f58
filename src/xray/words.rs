//! The words of the X-ray: system calls as `strace(1)` writes them, everything else in the terms of the documentation.

use std::fmt;
use std::time::Duration;

use super::record::{Ask, Call, Decision, Interest, Phase, SocketOption, Waits, What};
use crate::amounts::Count;
use crate::notice::{Command, Readiness};
use crate::protocol::Within;

/// mio waits and registers through `poll(2)` if a build flag says so, and through kqueue on systems without epoll.
const FALLBACK: bool = cfg!(mio_unsupported_force_poll_poll);
const LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Call {
    /// The name of the system call that is made on this system.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Wait { .. } if FALLBACK => "poll",
            Self::Wait { .. } if LINUX => "epoll_wait",
            Self::Wait { .. } => "kevent",
            Self::Socket { .. } | Self::SocketUnix { .. } => "socket",
            Self::PeerCredentials if LINUX => "getsockopt",
            Self::PeerCredentials => "getpeereid",
            Self::GetFlags | Self::SetNonblocking => "fcntl",
            Self::SetOption { .. } => "setsockopt",
            Self::Bind => "bind",
            Self::Connect => "connect",
            Self::Listen { .. } => "listen",
            Self::GetName => "getsockname",
            Self::GetError => "getsockopt",
            Self::Register { .. } | Self::Reregister { .. } if LINUX => "epoll_ctl",
            Self::Register { .. } | Self::Reregister { .. } => "kevent",
            Self::Accept if cfg!(target_vendor = "apple") => "accept",
            Self::Accept => "accept4",
            Self::Read { .. } | Self::Discard { .. } => "recvfrom",
            Self::Splice { .. } => "splice",
            Self::Pipe => "pipe2",
            Self::SetPipeSize { .. } => "fcntl",
            Self::Write { .. } => "sendto",
            Self::Receive { .. } => "recvmmsg",
            Self::Send { .. } => "sendmmsg",
            Self::ReceiveOne => "recvmsg",
            Self::SendOne => "sendmsg",
            Self::SendQueue { .. } => "ioctl",
            Self::Shutdown => "shutdown",
            Self::Close | Self::ClosePipe => "close",
        }
    }
}

/// The call and its relevant arguments: `recvfrom(65536)`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match *self {
            Self::Wait { timeout } => write!(f, "{name}({timeout})"),
            Self::Socket { ipv6, datagram } => {
                let family = if ipv6 { "AF_INET6" } else { "AF_INET" };
                let kind = if datagram { "SOCK_DGRAM" } else { "SOCK_STREAM" };
                write!(f, "{name}({family}, {kind})")
            }
            Self::SocketUnix { datagram } => {
                let kind = if datagram { "SOCK_DGRAM" } else { "SOCK_STREAM" };
                write!(f, "{name}(AF_UNIX, {kind})")
            }
            Self::PeerCredentials if LINUX => write!(f, "{name}(SO_PEERCRED)"),
            Self::GetFlags => write!(f, "{name}(F_GETFL)"),
            Self::SetNonblocking => write!(f, "{name}(F_SETFL, O_NONBLOCK)"),
            Self::GetError => write!(f, "{name}(SO_ERROR)"),
            Self::SetOption { option, value } => write!(f, "{name}({option}, {value})"),
            Self::Listen { backlog } => write!(f, "{name}({backlog})"),
            Self::Register { interest } if LINUX => write!(f, "{name}(EPOLL_CTL_ADD, {interest})"),
            Self::Reregister { interest } if LINUX => write!(f, "{name}(EPOLL_CTL_MOD, {interest})"),
            Self::Register { interest } | Self::Reregister { interest } => {
                write!(f, "{name}(EV_ADD|EV_CLEAR, {interest})")
            }
            Self::Discard { asked } => write!(f, "{name}({asked}, MSG_TRUNC)"),
            Self::Read { asked: size } | Self::Write { offered: size } | Self::Splice { asked: size } => {
                write!(f, "{name}({size})")
            }
            Self::Pipe => write!(f, "{name}(O_CLOEXEC)"),
            Self::SetPipeSize { bytes } => write!(f, "{name}(F_SETPIPE_SZ, {bytes})"),
            Self::ClosePipe => write!(f, "{name}(pipe)"),
            Self::Receive { rooms: size, .. } | Self::Send { offered: size, .. } => write!(f, "{name}({size})"),
            Self::SendQueue { bytes } => write!(f, "{name}(SIOCOUTQ, [{bytes}])"),
            Self::Shutdown => write!(f, "{name}(SHUT_WR)"),
            Self::Bind
            | Self::Connect
            | Self::PeerCredentials
            | Self::GetName
            | Self::Accept
            | Self::ReceiveOne
            | Self::SendOne
            | Self::Close => write!(f, "{name}()"),
        }
    }
}

impl fmt::Display for SocketOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReuseAddress => "SO_REUSEADDR",
            Self::ReusePort => "SO_REUSEPORT",
            Self::OnlyV6 => "IPV6_V6ONLY",
            Self::NoDelay => "TCP_NODELAY",
            Self::NotSentLowat => "TCP_NOTSENT_LOWAT",
            Self::KeepAlive => "SO_KEEPALIVE",
            Self::KeepIdle => "TCP_KEEPIDLE",
            Self::ReceiveBuffer => "SO_RCVBUF",
            Self::PacketInfo => "IP_PKTINFO",
            Self::PacketInfoV6 => "IPV6_RECVPKTINFO",
            Self::Segment => "UDP_SEGMENT",
            Self::Linger => "SO_LINGER",
        })
    }
}

/// The events that mio registers.
impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read if LINUX => "EPOLLIN|EPOLLRDHUP|EPOLLET",
            Self::Write if LINUX => "EPOLLOUT|EPOLLET",
            Self::ReadWrite if LINUX => "EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET",
            Self::ReadWriteUrgent if LINUX => "EPOLLIN|EPOLLPRI|EPOLLOUT|EPOLLRDHUP|EPOLLET",
            Self::Read => "EVFILT_READ",
            Self::Write => "EVFILT_WRITE",
            Self::ReadWrite | Self::ReadWriteUrgent => "EVFILT_READ, EVFILT_WRITE",
        })
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "on_open",
            Self::Bytes => "on_bytes",
            Self::Eof => "on_event Eof",
            Self::Quiet => "on_event Quiet",
            Self::Timer => "on_event Timer",
            Self::Message => "on_event Message",
            Self::Missed => "on_event Missed",
            Self::Done => "on_job",
            Self::Stored => "on_bulk",
            Self::Room => "on_event Room",
            Self::NoWorker => "on_event NoWorker",
            Self::Closing => "on_event Closing",
            Self::Close => "on_close",
            Self::Datagram => "on_datagram",
        })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Again => "again",
            Self::Wait(Within::Nothing) => "wait, between requests",
            Self::Wait(Within::Request) => "wait, within a request",
            Self::Wait(Within::Body) => "wait, within contents",
            Self::Job => "job",
            Self::Bulk => "bulk",
            Self::Connect => "connect",
            Self::Relay => "relay",
            Self::More => "more",
            Self::Finish => "finish",
            Self::Refused => "refused",
            Self::Bug => "bug",
            Self::Dealt => "handled",
            Self::Dropped => "dropped",
            Self::Nothing => "nothing",
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Opening => "opening",
            Self::Sending => "sending",
            Self::Conversing => "conversing",
            Self::Working => "working",
            Self::Relaying => "relaying",
            Self::Storing => "storing",
            Self::Speaking => "speaking",
            Self::Flushing => "flushing",
            Self::Lingering => "lingering",
            Self::Closed => "closed",
        })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "waits for an event",
            Self::Turn => "waits for its next visit: its budget is used up",
            Self::Buffer => "waits for a buffer",
            Self::Reaping => "waits to be reaped",
        })
    }
}

/// The record on one line, without its time and its owner.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Turn { number, connections, pending, pressed } => {
                let pressed = if pressed { ", over the limit: back-pressure on all connections" } else { "" };
                let (connections, pending) = (Count(connections.into(), "connection"), Count(pending.into(), "byte"));
                write!(f, "turn {number}: {connections}, {pending} pending{pressed}")
            }
            Self::Event(readiness) => write!(f, "event: {}", readiness_words(readiness)),
            Self::Stale => f.write_str("event for a former owner of the slot"),
            Self::Due => f.write_str("deadline due"),
            Self::Accepted { peer, .. } => write!(f, "accepted {peer}"),
            Self::Connects { peer, .. } => write!(f, "connects to {peer}"),
            Self::Announced { peer } => write!(f, "announced by its proxy: {peer}"),
            Self::Visit => f.write_str("visit"),
            Self::Left { status, pending, deadline } => {
                write!(f, "{status}")?;
                if pending > 0 {
                    write!(f, "; {pending} bytes pending")?;
                }
                if deadline < u64::MAX {
                    write!(f, "; deadline in {:.3} s", Duration::from_nanos(deadline).as_secs_f64())?;
                }
                Ok(())
            }
            Self::Call { call, answer } => {
                write!(f, "{call} = {answer}")?;
                match (call, answer.count()) {
                    (Call::Read { .. } | Call::Discard { .. }, Some(0)) => f.write_str(" (FIN)"),
                    (Call::Write { offered }, Some(count)) if count < offered => f.write_str(" (short)"),
                    (Call::Receive { bytes, .. } | Call::Send { bytes, .. }, Some(_)) => write!(f, " ({bytes} bytes)"),
                    _ => Ok(()),
                }
            }
            Self::Asked { ask, input, consumed, output, decision } => {
                write!(f, "{ask}({input}) = {decision}; {consumed} consumed, {output} out")
            }
            Self::Phase(phase, "") => write!(f, "phase: {phase}"),
            Self::Phase(phase, why) => write!(f, "phase: {phase} ({why})"),
            Self::Dropped(why) => write!(f, "dropped: {why}"),
            Self::Full { pending } => write!(f, "back-pressure on: {pending} bytes pending, reading is paused"),
            Self::Relieved { pending } => write!(f, "back-pressure off: {pending} bytes pending"),
            Self::Expired(which) => write!(f, "deadline expired: {which}"),
            Self::Message { bytes, taken: true } => write!(f, "message of {bytes} bytes"),
            Self::Message { bytes, taken: false } => write!(f, "message of {bytes} bytes: not taken"),
            Self::JobOut { taken: true } => f.write_str("job handed to a worker"),
            Self::JobOut { taken: false } => f.write_str("job refused: no worker available"),
            Self::JobBack { panicked: false } => f.write_str("job finished"),
            Self::JobBack { panicked: true } => f.write_str("job panicked"),
            Self::Paused(why) => write!(f, "accepting is paused: {why}"),
            Self::Command(Command::Report) => f.write_str("asked for a report"),
            Self::Command(Command::Close(id)) => write!(f, "asked to close {id}"),
            Self::Command(Command::Reload) => f.write_str("asked to read the configuration again"),
            Self::Command(Command::Stop) => f.write_str("asked to stop gracefully"),
            Self::Command(Command::Terminate) => f.write_str("asked to stop by a signal"),
            Self::Command(Command::Abort) => f.write_str("asked to stop at once"),
            Self::Stopping { cut: false } => f.write_str("stopping gracefully"),
            Self::Stopping { cut: true } => f.write_str("stopping: remaining connections are reset"),
            Self::Reap => f.write_str("reap"),
            Self::Closed(why) => write!(f, "closed: {why}"),
        }
    }
}

/// Returns the operations that a socket may be ready for.
fn readiness_words(readiness: Readiness) -> String {
    let Readiness { readable, writable, in_doubt } = readiness;
    let words = [(readable, "readable"), (writable, "writable"), (in_doubt, "a short read proves nothing")];
    words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect::<Vec<_>>().join(", ")
}
