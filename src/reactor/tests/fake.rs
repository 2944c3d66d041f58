//! A kernel without sockets: it accepts as many connections as it is asked to, which are silent, and fails at the call that the test
//! names. Jobs run while it waits, each on a thread of its own.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::slice::ChunksExactMut;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::job::Job;
use crate::kernel::{
    BindOptions, Command, DatagramSocket, Disk, Kernel, ListenOptions, NoWorker, Notice, Peer, Readiness, Received,
    Replies, Token, Transport,
};
use crate::panics::catch;
use crate::testing::MemoryDisk;

/// The kernel.
pub(super) struct Fake {
    /// Opens or changes of a socket so far, and the number of the one that fails.
    pub(super) steps: usize,
    pub(super) fails_at: Option<usize>,
    /// The open listeners and datagram sockets: by number, with the address and the option that can be changed.
    pub(super) open: BTreeMap<usize, (SocketAddr, u64)>,
    /// The number of sockets so far.
    sockets: usize,
    /// Connections that wait in the accept queue of each listener.
    pub(super) queued: BTreeMap<SocketAddr, usize>,
    /// Events and commands for the next wait.
    pub(super) notices: Vec<Notice>,
    /// Jobs that run at the next wait.
    jobs: Vec<(Token, Job)>,
    /// The time, which only the test moves.
    pub(super) now: Instant,
    /// The peers that have not sent FIN. One that is set sends it at the next wait.
    pub(super) peers: HashMap<Token, Rc<Cell<bool>>>,
}

/// A connection whose peer sends nothing, but in the end a FIN.
pub(super) struct Silent(Rc<Cell<bool>>);

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            steps: 0,
            fails_at: None,
            open: BTreeMap::new(),
            sockets: 0,
            queued: BTreeMap::new(),
            notices: Vec::new(),
            jobs: Vec::new(),
            now: Instant::now(),
            peers: HashMap::new(),
        }
    }

    pub(super) fn asks(&mut self, command: Command) {
        self.notices.push(Notice::Command(command));
    }

    /// Runs the jobs that wait.
    pub(super) fn run_jobs(&mut self) -> Vec<Notice> {
        let run = |(token, job): (Token, Job)| {
            let worker = thread::spawn(move || catch(|| job.run()));
            Notice::Done(token, worker.join().expect("panics are caught"))
        };
        self.jobs.drain(..).map(run).collect()
    }

    /// Counts a step, which fails if the test says so.
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        if self.fails_at == Some(self.steps) { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) }
    }

    fn opens(&mut self, address: SocketAddr, option: u64) -> io::Result<(usize, SocketAddr)> {
        self.step()?;
        self.sockets += 1;
        self.open.insert(self.sockets, (address, option));
        Ok((self.sockets, address))
    }

    fn changes(&mut self, socket: usize, option: u64) -> io::Result<()> {
        self.step()?;
        self.open.get_mut(&socket).expect("an open socket").1 = option;
        Ok(())
    }
}

impl Kernel for Fake {
    type Listener = usize;
    type Stream = Silent;
    type Socket = usize;

    fn now(&self) -> Instant {
        self.now
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn listen(&mut self, address: SocketAddr, options: &ListenOptions, _: Token) -> io::Result<(usize, SocketAddr)> {
        self.opens(address, options.backlog.into())
    }

    fn bind(&mut self, address: SocketAddr, options: &BindOptions, _: Token) -> io::Result<(usize, SocketAddr)> {
        self.opens(address, options.receive_buffer_bytes.unwrap_or_default() as u64)
    }

    fn change_listener(&mut self, listener: &usize, options: &ListenOptions) -> io::Result<()> {
        self.changes(*listener, options.backlog.into())
    }

    fn change_socket(&mut self, socket: &usize, options: &BindOptions) -> io::Result<()> {
        let before = self.open[socket].1;
        // A socket without a configured size keeps the one that it has.
        self.changes(*socket, options.receive_buffer_bytes.map_or(before, |bytes| bytes as u64))
    }

    fn accept(&mut self, listener: &usize) -> io::Result<(Silent, Peer)> {
        let address = self.open[listener].0;
        let queued = self.queued.entry(address).or_default();
        *queued = queued.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        Ok((Silent(Rc::default()), SocketAddr::from(([192, 0, 2, 1], 40_000)).into()))
    }

    fn connect(&mut self, _: SocketAddr, _: Option<Duration>) -> io::Result<Silent> {
        Err(io::ErrorKind::NetworkUnreachable.into())
    }

    fn register(&mut self, stream: &mut Silent, token: Token) -> io::Result<()> {
        self.peers.insert(token, Rc::clone(&stream.0));
        Ok(())
    }

    fn close(&mut self, _: Silent) {}

    fn close_listener(&mut self, listener: usize) {
        self.open.remove(&listener).expect("an open listener");
    }

    fn close_socket(&mut self, socket: usize) {
        self.open.remove(&socket).expect("an open socket");
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, _: Option<Duration>) -> io::Result<()> {
        notices.append(&mut self.notices);
        notices.extend(self.peers.extract_if(|_, has_finished| has_finished.get()).map(|(token, _)| readable(token)));
        notices.extend(self.run_jobs());
        Ok(())
    }

    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        self.jobs.push((token, job));
        Ok(())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(MemoryDisk::new())
    }

    fn descriptors_free(&self) -> Option<usize> {
        None
    }
}

impl Transport for Silent {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if self.0.get() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        // The peer answers our FIN with its own.
        self.0.set(true);
        Ok(())
    }

    fn reset_on_close(&mut self) {}

    fn short_read_drains(&self) -> bool {
        true
    }
}

impl DatagramSocket for usize {
    fn receive(&mut self, _: ChunksExactMut<'_, u8>, _: &mut Vec<Received>) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, _: &Replies) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The event that a connection or an accept queue has something to read.
pub(super) fn readable(token: Token) -> Notice {
    Notice::Ready(token, Readiness { readable: true, ..Readiness::default() })
}
