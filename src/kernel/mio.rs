//! The real kernel: epoll or kqueue through mio, sockets, signals, worker threads.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use ::mio::event::Event;
use ::mio::net::TcpListener;
use ::mio::{Events, Interest, Poll, Waker};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

use super::cut;
use super::offload::Offload;
use super::sockets::{self, Stream};
use super::{
    BindOptions, Command, Disk, Kernel, ListenOptions, NoWorker, Notice, Peer, PosixDisk, Readiness, Token, UdpSocket,
    is_ignored,
};
use crate::job::Job;
use crate::limits::EVENTS_MAX;
use crate::xray::{self, Answer, Call, Gives, What};

/// The token of the waker and that of the signals: no slot gets that far.
const WAKER: ::mio::Token = ::mio::Token(usize::MAX);
const SIGNALS: ::mio::Token = ::mio::Token(usize::MAX - 1);

/// What every socket is registered for, once. Urgent data is asked for where the system can tell, because it makes a
/// short read prove nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONNECTION: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The operating system itself.
pub struct Mio {
    poll: Poll,
    events: Events,
    signals: Option<Signals>,
    commands: mpsc::Receiver<Command>,
    handle: Handle,
    offload: Offload,
    disk: Arc<PosixDisk>,
}

/// Reaches a running loop from another thread.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
}

impl Handle {
    /// Stops the loop in order, as SIGTERM does: nothing new is accepted, requests are finished within
    /// `shutdown_timeout`. Once is enough; more often changes nothing.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    /// Stops the loop now: connections are cut.
    pub fn abort(&self) {
        self.send(Command::Abort);
    }

    /// Logs the counters of every listener, and for whom each connection waits, as SIGUSR1 does: see
    /// `docs/configuration.md`.
    pub fn report(&self) {
        self.send(Command::Report);
    }

    /// A loop that is gone needs no command, so that is no error.
    fn send(&self, command: Command) {
        if self.commands.send(command).is_ok()
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

impl Mio {
    /// Opens the poll and its waker, with room for 1024 events.
    ///
    /// # Errors
    /// Descriptors or memory lack.
    pub fn new() -> io::Result<Self> {
        Self::with_capacity(EVENTS_MAX)
    }

    /// The same with room for so many events in one turn; what does not fit comes in the next. At least one.
    ///
    /// # Errors
    /// Descriptors or memory lack.
    pub fn with_capacity(events: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, commands) = mpsc::channel();
        Ok(Self {
            events: Events::with_capacity(events.max(1)),
            signals: None,
            commands,
            handle: Handle { commands: sender, waker: Arc::clone(&waker) },
            offload: Offload::new(waker),
            disk: Arc::new(PosixDisk::default()),
            poll,
        })
    }

    /// The same with at most so many worker threads for the jobs of each listener, and at least one;
    /// [`Reactor::bind`](crate::Reactor::bind) passes `workers` of the configuration on.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.offload.limit_workers(workers);
        self
    }

    /// Reaches the loop from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes SIGTERM and SIGINT as [`Command::Terminate`] and SIGUSR1 as [`Command::Report`], and ignores SIGXFSZ, so
    /// that a file over the limit of `setrlimit(2)` is an error of its upload and not the end of the process. A SIGINT that
    /// is [ignored](super::is_ignored) already stays so.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn watch_signals(&mut self) -> io::Result<()> {
        let interrupt = (!is_ignored(SIGINT)).then_some(SIGINT);
        let mut signals = Signals::new([SIGTERM, SIGUSR1, SIGXFSZ].into_iter().chain(interrupt))?;
        self.poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    fn note(&mut self, notices: &mut Vec<Notice>) {
        for event in &self.events {
            match event.token() {
                WAKER => collect(&self.commands, &mut self.offload, notices),
                SIGNALS => {
                    let Some(signals) = &mut self.signals else { continue };
                    notices.extend(signals.pending().filter_map(command));
                    // They are read past mio, whose fallback on `poll(2)` then has to be told to look again.
                    if let Err(error) = self.poll.registry().reregister(signals, SIGNALS, Interest::READABLE) {
                        log::error!("signals are not watched any more: {error}");
                    }
                }
                token => notices.push(Notice::Ready(unpack(token), readiness(event))),
            }
        }
    }
}

impl Kernel for Mio {
    type Listener = TcpListener;
    type Stream = Stream;
    type Socket = UdpSocket;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn listen(
        &mut self,
        address: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> io::Result<(TcpListener, SocketAddr)> {
        let mut listener = sockets::listen(address, options)?;
        let local = xray::answered(listener.local_addr(), || Call::GetName)?;
        let registered = self.poll.registry().register(&mut listener, pack(token), Interest::READABLE);
        xray::answered(registered, || Call::Register { interest: xray::Interest::Read })?;
        cut::check_backlog(local, options.backlog);
        Ok((listener, local))
    }

    fn bind(
        &mut self,
        address: SocketAddr,
        options: &BindOptions,
        token: Token,
    ) -> io::Result<(UdpSocket, SocketAddr)> {
        let (mut socket, local) = UdpSocket::bind(address, options)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(socket.source(), pack(token), interest);
        xray::answered(registered, || Call::Register { interest: xray::Interest::ReadWrite })?;
        cut::check_receive_buffer(local, options.receive_buffer_bytes);
        Ok((socket, local))
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<(Stream, Peer)> {
        let (stream, peer) = xray::answered(listener.accept(), || Call::Accept)?;
        Ok((Stream::accepted(stream), peer.into()))
    }

    fn register(&mut self, stream: &mut Stream, token: Token) -> io::Result<()> {
        let registered = self.poll.registry().register(stream.source(), pack(token), CONNECTION);
        xray::answered(registered, || Call::Register { interest: xray::Interest::ReadWriteUrgent })
    }

    fn close(&mut self, stream: Stream) {
        self.end(stream.into_source());
    }

    fn close_listener(&mut self, listener: TcpListener) {
        self.end(listener);
    }

    fn close_socket(&mut self, socket: UdpSocket) {
        self.end(socket.into_source());
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, mut timeout: Option<Duration>) -> io::Result<()> {
        if !sockets::EDGES_ARE_THE_KERNELS {
            // mio's fallback on `poll(2)` wakes itself through the waker's descriptor whenever a registration changes,
            // and takes a wake-up of ours along with its own. What that was for is here already, so look before waiting.
            collect(&self.commands, &mut self.offload, notices);
        }
        if let Some(left) = self.offload.look_after_waiting(notices) {
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        if !notices.is_empty() {
            timeout = Some(Duration::ZERO);
        }
        let polled = self.poll.poll(&mut self.events, timeout).map(|()| &self.events);
        match xray::answered(polled, move || Call::wait(timeout)) {
            Ok(_) => self.note(notices),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        self.offload.submit(token, job)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as Arc<dyn Disk>
    }

    fn descriptors_free(&self) -> Option<usize> {
        sockets::descriptors_free()
    }
}

impl Mio {
    /// Closes a socket. epoll and kqueue forget a descriptor when it is closed, which saves a system call for each
    /// connection. mio's fallback on `poll(2)` has to be told, or it goes on asking about whatever gets the same number next.
    fn end(&self, mut source: impl ::mio::event::Source) {
        if !sockets::EDGES_ARE_THE_KERNELS
            && let Err(error) = self.poll.registry().deregister(&mut source)
        {
            log::debug!("cannot deregister a socket: {error}");
        }
        drop(source);
        xray::record(|| What::Call { call: Call::Close, answer: Answer::ZERO });
    }
}

impl fmt::Debug for Mio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mio").field("poll", &self.poll).field("offload", &self.offload).finish_non_exhaustive()
    }
}

/// What `epoll_wait(2)` returns.
impl Gives for &Events {
    fn number(&self) -> i32 {
        self.iter().count().number()
    }
}

/// What a signal asks for.
fn command(signal: c_int) -> Option<Notice> {
    match signal {
        SIGTERM | SIGINT => Some(Notice::Command(Command::Terminate)),
        SIGUSR1 => Some(Notice::Command(Command::Report)),
        _ => None,
    }
}

/// What other threads have handed in: commands, and finished jobs.
fn collect(commands: &mpsc::Receiver<Command>, offload: &mut Offload, notices: &mut Vec<Notice>) {
    notices.extend(commands.try_iter().map(Notice::Command));
    notices.extend(offload.finished());
}

const HALF: u32 = usize::BITS / 2;

fn pack(token: Token) -> ::mio::Token {
    ::mio::Token((token.generation as usize) << HALF | token.slot as usize)
}

fn unpack(token: ::mio::Token) -> Token {
    Token { slot: (token.0 & ((1 << HALF) - 1)) as u32, generation: (token.0 >> HALF) as u32 }
}

fn readiness(event: &Event) -> Readiness {
    let in_doubt = event.is_read_closed() || event.is_error() || event.is_priority();
    Readiness {
        readable: event.is_readable() || in_doubt,
        writable: event.is_writable() || event.is_write_closed() || event.is_error(),
        in_doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_way_through_the_kernel() {
        for (slot, generation) in [(0, 0), (1, 0), (0, 1), (65_535, 65_535)] {
            let token = Token { slot, generation };
            assert_eq!(unpack(pack(token)), token);
        }
    }

    #[test]
    fn commands_from_another_thread_wake_the_loop_and_arrive_in_order() {
        let mut kernel = Mio::new().expect("a poll");
        let handle = kernel.handle();
        std::thread::spawn(move || {
            handle.report();
            handle.stop();
        });
        let mut notices = Vec::new();
        while notices.len() < 2 {
            kernel.wait(&mut notices, None).expect("a working poll");
        }
        assert!(matches!(notices[..], [Notice::Command(Command::Report), Notice::Command(Command::Stop)]));
    }
}
