//! The real kernel with its own clock, so that the length of a visit does not depend on the machine.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reactor::kernel::{BindOptions, Disk, Kernel, ListenOptions, Mio, NoWorker, Notice, Peer, Token};
use reactor::protocol::Job;

/// Its clock advances by one step each time it is read.
pub(crate) struct Timed {
    kernel: Mio,
    now: Cell<Instant>,
    step: Duration,
}

impl Timed {
    pub(crate) fn new(step: Duration) -> Self {
        Self { kernel: Mio::new().expect("a poll"), now: Cell::new(Instant::now()), step }
    }
}

impl Kernel for Timed {
    type Listener = <Mio as Kernel>::Listener;
    type Stream = <Mio as Kernel>::Stream;
    type Socket = <Mio as Kernel>::Socket;

    fn now(&self) -> Instant {
        let now = self.now.get();
        self.now.set(now + self.step);
        now
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn listen(
        &mut self,
        address: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> io::Result<(Self::Listener, SocketAddr)> {
        self.kernel.listen(address, options, token)
    }

    fn bind(
        &mut self,
        address: SocketAddr,
        options: &BindOptions,
        token: Token,
    ) -> io::Result<(Self::Socket, SocketAddr)> {
        self.kernel.bind(address, options, token)
    }

    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, Peer)> {
        self.kernel.accept(listener)
    }

    fn connect(&mut self, address: SocketAddr, keepalive: Option<Duration>) -> io::Result<Self::Stream> {
        self.kernel.connect(address, keepalive)
    }

    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()> {
        self.kernel.register(stream, token)
    }

    fn close(&mut self, stream: Self::Stream) {
        self.kernel.close(stream);
    }

    fn close_listener(&mut self, listener: Self::Listener) {
        self.kernel.close_listener(listener);
    }

    fn close_socket(&mut self, socket: Self::Socket) {
        self.kernel.close_socket(socket);
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, timeout: Option<Duration>) -> io::Result<()> {
        self.kernel.wait(notices, timeout)
    }

    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        self.kernel.submit(token, job)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.kernel.disk()
    }

    fn descriptors_free(&self) -> Option<usize> {
        self.kernel.descriptors_free()
    }
}
