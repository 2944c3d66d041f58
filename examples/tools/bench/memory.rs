//! A kernel in memory: peers whose requests are always there, and which take every answer at once.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::slice::ChunksExactMut;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reactor::kernel::{
    BindOptions, DatagramSocket, Disk, Kernel, ListenOptions, NoWorker, Notice, Peer, Readiness, Received, Replies,
    Token, Transport,
};
use reactor::protocol::Job;
use reactor::testing::MemoryDisk;

/// What the peers do.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    /// How many connect.
    pub(crate) count: usize,
    /// How many of them, in rotation, have sent bytes each time the loop waits.
    pub(crate) active: usize,
    /// The bytes that they send: less than one read of a loud connection.
    pub(crate) input: Rc<[u8]>,
    /// The time of each wait once all are connected, by a clock that nothing else moves.
    pub(crate) turn_time: Duration,
}

/// The kernel.
pub(crate) struct Memory {
    peers: Peers,
    now: Instant,
    /// The connections, in the order in which they were accepted.
    tokens: Vec<Token>,
    /// The first peer that sends next.
    next: usize,
    answered_bytes: Rc<Cell<usize>>,
}

impl Memory {
    pub(crate) fn new(peers: Peers) -> Self {
        Self { peers, now: Instant::now(), tokens: Vec::new(), next: 0, answered_bytes: Rc::default() }
    }

    /// Counts the bytes of all answers.
    pub(crate) fn answered_bytes(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.answered_bytes)
    }
}

/// One of the connections.
pub(crate) struct Connection {
    input: Rc<[u8]>,
    /// Bytes of the input that have been read.
    read: usize,
    answered_bytes: Rc<Cell<usize>>,
}

impl Transport for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.input.len() - self.read).min(buffer.len());
        buffer[..count].copy_from_slice(&self.input[self.read..][..count]);
        self.read = (self.read + count) % self.input.len();
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answered_bytes.set(self.answered_bytes.get() + bytes.len());
        Ok(bytes.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        true
    }
}

impl Kernel for Memory {
    type Listener = ();
    type Stream = Connection;
    type Socket = NoSocket;

    fn now(&self) -> Instant {
        self.now
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn listen(&mut self, address: SocketAddr, _: &ListenOptions, _: Token) -> io::Result<((), SocketAddr)> {
        Ok(((), address))
    }

    fn bind(&mut self, _: SocketAddr, _: &BindOptions, _: Token) -> io::Result<(NoSocket, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept(&mut self, (): &()) -> io::Result<(Connection, Peer)> {
        if self.tokens.len() == self.peers.count {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let stream = Connection {
            input: Rc::clone(&self.peers.input),
            read: 0,
            answered_bytes: Rc::clone(&self.answered_bytes),
        };
        Ok((stream, SocketAddr::from(([192, 0, 2, 1], 40_000)).into()))
    }

    fn connect(&mut self, _: SocketAddr, _: Option<Duration>) -> io::Result<Connection> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn register(&mut self, _: &mut Connection, token: Token) -> io::Result<()> {
        self.tokens.push(token);
        Ok(())
    }

    fn close(&mut self, _: Connection) {}

    fn close_listener(&mut self, (): ()) {}

    fn close_socket(&mut self, socket: NoSocket) {
        match socket.0 {}
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, _: Option<Duration>) -> io::Result<()> {
        let readable = Readiness { readable: true, ..Readiness::default() };
        let (before, after) = self.tokens.split_at(self.next);
        let active = after.iter().chain(before).take(self.peers.active);
        notices.extend(active.map(|token| Notice::Ready(*token, readable)));
        if self.tokens.len() == self.peers.count {
            self.next = (self.next + self.peers.active) % self.peers.count;
            self.now += self.peers.turn_time;
        }
        Ok(())
    }

    fn submit(&mut self, _: Token, _: Job) -> Result<(), NoWorker> {
        Err(NoWorker::QueueFull)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(MemoryDisk::default())
    }

    fn descriptors_free(&self) -> Option<usize> {
        None
    }
}

/// UDP, which these peers do not use.
pub(crate) struct NoSocket(Infallible);

impl DatagramSocket for NoSocket {
    fn receive(&mut self, _: ChunksExactMut<'_, u8>, _: &mut Vec<Received>) -> io::Result<()> {
        match self.0 {}
    }

    fn send(&mut self, _: &Replies) -> io::Result<usize> {
        match self.0 {}
    }
}
