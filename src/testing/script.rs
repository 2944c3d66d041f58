//! What a scripted peer does, step by step.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::wire::{Edges, Fault};
use crate::connection::layer::Layer;
use crate::connection::opener::Opens;
use crate::limits::{BULK_BUFFERS_MAX, Limits};
use crate::peer::Peer;
use crate::protocol::{ConnectError, ConnectionId, Ends, Site};
use crate::token::Token;

/// What the peer does, step by step, and under which conditions. Each step happens when the driver waits. After the last step
/// the peer sends nothing more; it closes when the server closes.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) steps: Vec<Action>,
    /// Bytes that the kernel takes before a write blocks; `None` for no limit.
    pub(super) window: Option<usize>,
    pub(super) reads: bool,
    /// Bytes that the peer reads at a time, and the interval; `None` if it does not read at intervals.
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) edges: Edges,
    pub(super) fault: Option<(usize, Fault)>,
    /// The opening before the protocol: a header or a handshake.
    pub(super) opens: Option<Opens>,
    /// The result of the connect that is in progress at the start; `None` if the connection is already open.
    pub(super) connect: Option<Result<(), ErrorKind>>,
    /// Makes the layer that transforms all bytes between wire and protocol.
    pub(super) layer: Option<fn() -> Box<dyn Layer>>,
    /// The bytes that were received directly after the opening.
    pub(super) received: Vec<u8>,
    /// The bytes that arrive between the first visit and the registration of the socket.
    pub(super) early: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) peer: Peer,
    pub(super) id: ConnectionId,
    pub(super) site: Site,
    pub(super) wall_clock: SystemTime,
    pub(super) job_time: Duration,
    pub(super) pressed: bool,
    pub(super) buffers: usize,
    /// The bytes of each pipe, and the most pieces that it holds; `None` for no pipes.
    pub(super) pipes: Option<(usize, usize)>,
    pub(super) jobs_taken: usize,
    /// The answer to each outgoing connection.
    pub(super) connected: Result<ConnectionId, ConnectError>,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Send(Vec<u8>),
    Pause(Duration),
    HoldUp(Duration),
    Fin,
    SendFin(Vec<u8>),
    Reset,
    Stop,
    Cut,
    Close,
    /// Another thread sends this to the connection.
    Post(Vec<u8>),
    /// Another thread sends this to a group.
    Cast(String, Vec<u8>),
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// The ends of a datagram from the peer.
impl Ends for Script {
    fn peer(&self) -> Peer {
        self.peer.clone()
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
}

impl Script {
    /// Creates a peer that sends nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            steps: Vec::new(),
            window: None,
            reads: true,
            drip: None,
            edges: Edges::WouldBlock,
            fault: None,
            opens: None,
            connect: None,
            layer: None,
            received: Vec::new(),
            early: Vec::new(),
            limits: Limits::default(),
            peer: SocketAddr::from(([192, 0, 2, 1], 40_000)).into(),
            id: ConnectionId::of(Token { slot: 0, generation: 1 }),
            site: Site::new("test".to_owned(), SocketAddr::from(([192, 0, 2, 2], 9000))),
            wall_clock: SystemTime::UNIX_EPOCH,
            job_time: Duration::ZERO,
            pressed: false,
            buffers: BULK_BUFFERS_MAX,
            pipes: None,
            jobs_taken: usize::MAX,
            connected: Err(ConnectError::Refused),
        }
    }

    /// The peer sends these bytes in one segment.
    #[must_use]
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::Send(bytes.as_ref().to_vec()));
        self
    }

    /// The peer sends each chunk in a segment of its own.
    #[must_use]
    pub fn send_all(self, chunks: &[&[u8]]) -> Self {
        chunks.iter().fold(self, |script, chunk| script.send(chunk))
    }

    /// Nothing arrives for `duration`.
    #[must_use]
    pub fn pause(mut self, duration: Duration) -> Self {
        self.steps.push(Action::Pause(duration));
        self
    }

    /// The loop is delayed for `duration`: only afterwards does it learn the time, and what the next step brought.
    #[must_use]
    pub fn hold_up(mut self, duration: Duration) -> Self {
        self.steps.push(Action::HoldUp(duration));
        self
    }

    /// The peer sends a FIN and goes on reading.
    #[must_use]
    pub fn fin(mut self) -> Self {
        self.steps.push(Action::Fin);
        self
    }

    /// The peer's last bytes and its FIN arrive at once.
    #[must_use]
    pub fn send_fin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::SendFin(bytes.as_ref().to_vec()));
        self
    }

    /// The peer resets the connection.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.steps.push(Action::Reset);
        self
    }

    /// The server is asked to stop: it finishes the request that has begun, and accepts no other.
    #[must_use]
    pub fn stop(mut self) -> Self {
        self.steps.push(Action::Stop);
        self
    }

    /// The server resets the connection now, as it does when `shutdown_timeout` has expired.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.steps.push(Action::Cut);
        self
    }

    /// [`Handle::close`](crate::Handle::close) asks to close the connection.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.steps.push(Action::Close);
        self
    }

    /// Another thread sends `bytes` to the connection by [`Sender::post`](crate::protocol::Sender::post).
    #[must_use]
    pub fn post(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::Post(bytes.as_ref().to_vec()));
        self
    }

    /// Another thread sends `bytes` to a group by [`Sender::cast`](crate::protocol::Sender::cast).
    #[must_use]
    pub fn cast(mut self, group: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Action::Cast(group.to_owned(), bytes.as_ref().to_vec()));
        self
    }

    /// The kernel takes `bytes` before a write blocks; then the peer reads all of them, and the kernel takes as many again.
    #[must_use]
    pub fn window(mut self, bytes: usize) -> Self {
        self.window = Some(bytes);
        self
    }

    /// The peer reads nothing: the kernel takes `bytes`, and then no more.
    #[must_use]
    pub fn never_reads(mut self, bytes: usize) -> Self {
        self.window = Some(bytes);
        self.reads = false;
        self
    }

    /// The peer reads `bytes` at each interval `every`. The kernel takes `window` bytes, and then more only when a third of the
    /// window is free, as on Linux.
    #[must_use]
    pub fn reads_slowly(mut self, window: usize, bytes: usize, every: Duration) -> Self {
        self.drip = Some((bytes, every));
        self.never_reads(window)
    }

    /// What the kernel guarantees about reads. Default: [`Edges::WouldBlock`].
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// Injects a fault at call number `call` of the transport, counted from 0 over reads and writes.
    #[must_use]
    pub fn fault(mut self, call: usize, fault: Fault) -> Self {
        self.fault = Some((call, fault));
        self
    }

    /// The limits of the connection. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The other end of the connection. Default: 192.0.2.1:40000.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<Peer>) -> Self {
        self.peer = peer.into();
        self
    }

    /// The slot of the connection, of which the connection is the first owner: for 3 [`Context::id`](crate::protocol::Context::id)
    /// is 3.1. Default: 0, which is 0.1.
    #[must_use]
    pub fn id(mut self, slot: u32) -> Self {
        self.id = ConnectionId::of(Token { slot, generation: 1 });
        self
    }

    /// The name of the listener. Default: `test`.
    #[must_use]
    pub fn listener(mut self, name: impl Into<String>) -> Self {
        self.site.name = name.into();
        self
    }

    /// The address of this machine that the peer reached. Default: 192.0.2.2:9000. With the wildcard address it is unknown.
    #[must_use]
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.site.address = address.into();
        self
    }

    /// The wall-clock time at which the conversation begins. Default: 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn wall_clock(mut self, time: SystemTime) -> Self {
        self.wall_clock = time;
        self
    }

    /// The time that each job takes. Default: none.
    #[must_use]
    pub fn job_time(mut self, time: Duration) -> Self {
        self.job_time = time;
        self
    }

    /// All connections together have more output pending than `max_pending_output_total`.
    #[must_use]
    pub fn pressed(mut self) -> Self {
        self.pressed = true;
        self
    }

    /// A worker takes the first `count` jobs and no more, as if no thread could be started after that. Default: all jobs.
    #[must_use]
    pub fn jobs_taken(mut self, count: usize) -> Self {
        self.jobs_taken = count;
        self
    }

    /// Each [`Step::connect`](crate::protocol::Step::connect) connects, and the new connection has the number that
    /// [`id`](Self::id) describes for `slot`. Its protocol is made, but not called. Default: each is refused.
    #[must_use]
    pub fn connected(mut self, slot: u32) -> Self {
        self.connected = Ok(ConnectionId::of(Token { slot, generation: 1 }));
        self
    }

    /// Each [`Step::connect`](crate::protocol::Step::connect) fails with `error`.
    #[must_use]
    pub fn not_connected(mut self, error: ConnectError) -> Self {
        self.connected = Err(error);
        self
    }

    /// The pool has `count` buffers left; other uploads hold the rest.
    ///
    /// # Panics
    /// If `count` is 0: the upload would wait for ever.
    #[must_use]
    pub fn buffers(mut self, count: usize) -> Self {
        assert!(count > 0, "an upload needs a buffer");
        self.buffers = count;
        self
    }

    /// Uploads use pipes from the first byte on, if their sink [takes them](crate::protocol::Sink::takes_pipes). Each holds at most `bytes`
    /// in at most `pieces` pieces, one for each call. Default: no pipes.
    ///
    /// # Panics
    /// If `bytes` or `pieces` is 0.
    #[must_use]
    pub fn pipes(mut self, bytes: usize, pieces: usize) -> Self {
        assert!(bytes > 0 && pieces > 0, "a pipe has room");
        self.pipes = Some((bytes, pieces));
        self
    }
}

#[cfg(test)]
impl Script {
    /// The opening before the protocol: a header or a handshake.
    pub(crate) fn opens(mut self, opens: Opens) -> Self {
        self.opens = Some(opens);
        self
    }

    /// The opening begins with a connect in progress, which ends with `ends`; with `WouldBlock` it never ends.
    pub(crate) fn connects(mut self, ends: Result<(), ErrorKind>) -> Self {
        self.connect = Some(ends);
        self
    }

    /// All bytes pass through the layer that `layer` makes.
    pub(crate) fn layer(mut self, layer: fn() -> Box<dyn Layer>) -> Self {
        self.layer = Some(layer);
        self
    }

    /// These bytes arrive after the first visit, and before the socket is registered.
    pub(crate) fn early(mut self, bytes: &[u8]) -> Self {
        self.early = bytes.to_vec();
        self
    }

    /// These bytes were received directly after the opening.
    pub(crate) fn received(mut self, bytes: &[u8]) -> Self {
        self.received = bytes.to_vec();
        self
    }
}
