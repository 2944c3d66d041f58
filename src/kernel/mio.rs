//! The real kernel: epoll or kqueue through mio, sockets, signals, worker threads.

mod watch;

use std::ffi::c_int;
use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use ::mio::event::Event;
use ::mio::{Events, Interest, Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

use super::cut;
use super::handle::Handle;
use super::offload::Offload;
use super::passed::Found;
use super::sockets::{self, Stream};
use super::spin::Spin;
use super::unix::{UnixDatagrams, UnixListener};
use super::{
    BindOptions, Command, Datagrams, Disk, FileOptions, Kernel, ListenOptions, NoWorker, Notice, Passed, PassedSocket,
    PassedSockets, Peer, PosixDisk, Readiness, StreamListener, Token, UdpSocket, UnixAddress, is_ignored,
};
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::{OpenPipe, pipes, socket_info};
use crate::job::Job;
use crate::limits::EVENTS_MAX;
use crate::xray::{self, Answer, Call, ReturnValue, What};

/// The tokens of the waker and of the signals, beyond the index of any slot.
const WAKER: ::mio::Token = ::mio::Token(usize::MAX);
const SIGNALS: ::mio::Token = ::mio::Token(usize::MAX - 1);

/// The kernel of this machine.
pub struct Mio {
    /// epoll or kqueue.
    poll: Poll,
    /// The buffer for the events of one wait.
    events: Events,
    /// The signals that are watched, after [`Mio::watch_signals`].
    signals: Option<Signals>,
    /// What SIGHUP asks for.
    hang_up: Command,
    /// The commands of all handles.
    commands: mpsc::Receiver<Command>,
    /// The handle that [`Mio::handle`] clones.
    handle: Handle,
    /// The worker threads.
    offload: Offload,
    /// The disk that protocols get.
    disk: Arc<PosixDisk>,
    /// The sockets that this process was started with.
    passed: PassedSockets,
    /// Whether to look for events before a wait sleeps.
    spin: Spin,
}

impl Mio {
    /// Opens the poll and its waker, with room for 1024 events.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        Self::with_capacity(EVENTS_MAX)
    }

    /// Opens the poll with room for `events` events in one turn, at least one; further events come in the next turn.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn with_capacity(events: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, commands) = mpsc::channel();
        Ok(Self {
            events: Events::with_capacity(events.max(1)),
            signals: None,
            hang_up: Command::Reload,
            commands,
            handle: Handle { commands: sender, waker: Arc::clone(&waker) },
            offload: Offload::new(waker),
            disk: Arc::new(PosixDisk::default()),
            passed: PassedSockets::default(),
            spin: Spin::default(),
            poll,
        })
    }

    /// Limits the worker threads for the jobs of each listener to `workers`, at least one;
    /// [`Reactor::bind`](crate::Reactor::bind) passes the configured `workers`.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.offload.limit_workers(workers);
        self
    }

    /// Passes these sockets to the listeners with `fd:NAME`.
    #[must_use]
    pub fn with_passed(mut self, sockets: PassedSockets) -> Self {
        self.passed = sockets;
        self
    }

    /// Returns a handle for other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes SIGTERM and SIGINT as [`Command::Terminate`] and SIGUSR1 as [`Command::Report`], and ignores SIGXFSZ, so
    /// that a file over the limit of `setrlimit(2)` is an error of its upload and does not end the process. Takes SIGHUP
    /// as [`Command::Reload`]; if standard error is a terminal, as [`Command::Stop`], because the terminal has closed. A
    /// SIGINT or SIGHUP that is already [ignored](super::is_ignored) stays ignored.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn watch_signals(&mut self) -> io::Result<()> {
        let heeded = [SIGINT, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let mut signals = Signals::new([SIGTERM, SIGUSR1, SIGXFSZ].into_iter().chain(heeded))?;
        self.hang_up = if io::stderr().is_terminal() { Command::Stop } else { Command::Reload };
        self.poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Looks for events, and sleeps only if none come in time. `timeout` becomes the timeout of the last call, the only one that is recorded.
    #[cold]
    fn look_and_poll(&mut self, timeout: &mut Option<Duration>) -> io::Result<()> {
        let (poll, events) = (&mut self.poll, &mut self.events);
        *timeout = self.spin.look(*timeout, Instant::now, || {
            poll.poll(events, Some(Duration::ZERO))?;
            Ok(!events.is_empty())
        })?;
        match self.events.is_empty() && *timeout != Some(Duration::ZERO) {
            true => self.poll.poll(&mut self.events, *timeout),
            false => Ok(()),
        }
    }

    fn note(&mut self, notices: &mut Vec<Notice>) {
        for event in &self.events {
            match event.token() {
                WAKER => collect(&self.commands, &mut self.offload, notices),
                SIGNALS => {
                    let Some(signals) = &mut self.signals else { continue };
                    let hang_up = self.hang_up;
                    notices.extend(signals.pending().filter_map(|signal| command(signal, hang_up)));
                    // Signals are read without mio, so mio's fallback on `poll(2)` must be rearmed.
                    if let Err(error) = self.poll.registry().reregister(signals, SIGNALS, Interest::READABLE) {
                        log::error!("stopped watching signals: {error}");
                    }
                }
                token => notices.push(Notice::Ready(unpack(token), readiness(event))),
            }
        }
    }
}

impl Kernel for Mio {
    type Listener = StreamListener;
    type Stream = Stream;
    type Socket = Datagrams;

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
    ) -> io::Result<(StreamListener, SocketAddr)> {
        let listener = sockets::listen(address, options)?;
        let local = xray::answered(listener.local_addr(), || Call::GetName)?;
        let listener = self.watch_listener(StreamListener::Tcp(listener), token)?;
        cut::check_backlog(local, options.backlog);
        Ok((listener, local))
    }

    fn listen_unix(
        &mut self,
        address: &UnixAddress,
        options: &FileOptions,
        backlog: u32,
        token: Token,
    ) -> io::Result<StreamListener> {
        let listener = UnixListener::bind(address, options, backlog)?;
        let listener = self.watch_listener(StreamListener::Unix(Box::new(listener)), token)?;
        cut::check_backlog(format_args!("unix:{address}"), backlog);
        Ok(listener)
    }

    fn bind(
        &mut self,
        address: SocketAddr,
        options: &BindOptions,
        token: Token,
    ) -> io::Result<(Datagrams, SocketAddr)> {
        let (socket, local) = UdpSocket::bind(address, options)?;
        let socket = self.watch_datagrams(Datagrams::Udp(socket), token)?;
        cut::check_receive_buffer(local, options.receive_buffer_bytes);
        Ok((socket, local))
    }

    fn bind_unix(&mut self, address: &UnixAddress, options: &FileOptions, token: Token) -> io::Result<Datagrams> {
        let socket = UnixDatagrams::bind(address, options)?;
        self.watch_datagrams(Datagrams::Unix(socket), token)
    }

    fn change_listener(&mut self, listener: &StreamListener, options: &ListenOptions) -> io::Result<()> {
        match listener {
            StreamListener::Tcp(listener) => {
                sockets::change_keepalive(listener, options.keepalive)?;
                // The manager that has opened a passed socket has also set its backlog.
                if !self.passed.has_lent(listener.as_raw_fd()) {
                    sockets::start_listening(listener, options.backlog)?;
                    cut::check_backlog(listener.local_addr()?, options.backlog);
                }
            }
            StreamListener::Unix(listener) => {
                listener.change_backlog(options.backlog)?;
                cut::check_backlog(format_args!("unix:{}", listener.address()), options.backlog);
            }
        }
        Ok(())
    }

    fn change_socket(&mut self, socket: &Datagrams, options: &BindOptions) -> io::Result<()> {
        if let Datagrams::Udp(socket) = socket {
            let local = socket.change(options)?;
            cut::check_receive_buffer(local, options.receive_buffer_bytes);
        }
        Ok(())
    }

    fn limit_workers(&mut self, most: usize) {
        self.offload.limit_workers(most);
    }

    fn passed(
        &mut self,
        name: &str,
        keepalive: Option<Duration>,
        token: Token,
    ) -> io::Result<Passed<StreamListener, Datagrams>> {
        let socket = self.passed.take(name)?;
        let Found { is_listener, address, family } = Found::of(&socket)?;
        let socket = if is_listener {
            let listener = StreamListener::Tcp(sockets::adopt(socket, keepalive)?);
            PassedSocket::Listener(self.watch_listener(listener, token)?)
        } else {
            let socket = Datagrams::Udp(UdpSocket::adopt(socket, address, family.is_none())?);
            PassedSocket::Datagram(self.watch_datagrams(socket, token)?)
        };
        Ok(Passed { socket, address, family })
    }

    fn passed_and_left(&self) -> Vec<String> {
        self.passed.left()
    }

    fn accept(&mut self, listener: &StreamListener) -> io::Result<(Stream, Peer)> {
        match listener {
            StreamListener::Tcp(listener) => {
                let (stream, peer) = xray::answered(listener.accept(), || Call::Accept)?;
                Ok((Stream::accepted(stream), peer.into()))
            }
            StreamListener::Unix(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Stream::of_unix(stream), peer.into()))
            }
        }
    }

    fn connect(&mut self, address: SocketAddr, keepalive: Option<Duration>) -> io::Result<Stream> {
        sockets::connect(address, keepalive)
    }

    fn register(&mut self, stream: &mut Stream, token: Token) -> io::Result<()> {
        self.watch_stream(stream, token)
    }

    fn reregister(&mut self, stream: &mut Stream, token: Token, reads: bool) -> io::Result<()> {
        self.watch_reads(stream, token, reads)
    }

    fn close(&mut self, mut stream: Stream) {
        self.forget(stream.source());
        end(stream);
    }

    fn close_listener(&mut self, mut listener: StreamListener) {
        if let StreamListener::Tcp(listener) = &mut listener {
            self.forget_passed(listener);
        }
        self.forget(listener.source());
        end(listener);
    }

    fn close_socket(&mut self, mut socket: Datagrams) {
        if let Datagrams::Udp(socket) = &mut socket {
            self.forget_passed(socket.source());
        }
        self.forget(socket.source());
        end(socket);
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, mut timeout: Option<Duration>) -> io::Result<()> {
        if !sockets::EDGES_ARE_THE_KERNELS {
            // mio's fallback on `poll(2)` wakes itself through the waker's descriptor whenever a registration changes,
            // and may consume one of our wake-ups with its own. The message of that wake-up has already arrived, so
            // collect before waiting.
            collect(&self.commands, &mut self.offload, notices);
        }
        if let Some(left) = self.offload.look_after_waiting(notices) {
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        if !notices.is_empty() {
            timeout = Some(Duration::ZERO);
        }
        let polled = match timeout != Some(Duration::ZERO) && self.spin.is_due() {
            true => self.look_and_poll(&mut timeout),
            false => self.poll.poll(&mut self.events, timeout),
        };
        match xray::answered(polled.map(|()| &self.events), move || Call::wait(timeout)) {
            Ok(_) => self.note(notices),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn busy_poll(&mut self, longest: Duration) {
        self.spin.set(longest);
    }

    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        self.offload.submit(token, job)
    }

    fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        let handle = self.handle();
        Box::new(move || handle.wake())
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn pipes(&self) -> Option<OpenPipe> {
        sockets::EDGES_ARE_THE_KERNELS.then(|| Box::new(pipes::open) as OpenPipe)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as Arc<dyn Disk>
    }

    fn descriptors_free(&self) -> Option<usize> {
        sockets::descriptors_free()
    }

    fn jobs(&self) -> (usize, usize) {
        self.offload.jobs()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn accept_queue(&self, listener: &StreamListener) -> Option<(u32, u32)> {
        match listener {
            StreamListener::Tcp(listener) => socket_info::accept_queue(listener).ok(),
            StreamListener::Unix(_) => None,
        }
    }
}

/// Closes a socket.
fn end<S>(socket: S) {
    drop(socket);
    xray::record(|| What::Call { call: Call::Close, answer: Answer::ZERO });
}

impl fmt::Debug for Mio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mio").field("poll", &self.poll).field("offload", &self.offload).finish_non_exhaustive()
    }
}

/// The number that `epoll_wait(2)` returns.
impl ReturnValue for &Events {
    fn number(&self) -> i32 {
        self.iter().count().number()
    }
}

/// Returns the command that a signal stands for; SIGHUP for `hang_up`.
fn command(signal: c_int, hang_up: Command) -> Option<Notice> {
    match signal {
        SIGTERM | SIGINT => Some(Notice::Command(Command::Terminate)),
        SIGUSR1 => Some(Notice::Command(Command::Report)),
        SIGHUP => Some(Notice::Command(hang_up)),
        _ => None,
    }
}

/// Collects what other threads have sent: commands and finished jobs.
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
mod tests;
