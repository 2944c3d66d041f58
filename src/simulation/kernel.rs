//! The simulated kernel: [`Kernel`] on a [`World`].
//!
//! Time passes in [`Kernel::wait`]. The agenda of the world is played until the kernel has a notice for the loop or the
//! timeout expires. A server that forgets a deadline or an edge sleeps here, and its clients notice.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;

use super::agenda::Happening;
use super::datagrams::UdpSocket;
use super::disk::FaultyDisk;
use super::link::ServerEnd;
use super::network;
use super::openings::Connecting;
use super::other_ends::{Fate, OtherEnd};
use super::settings::is_free;
use super::streams::Stream;
use super::world::World;
use crate::kernel::{
    BindOptions, Disk, Kernel, ListenOptions, NoWorker, Notice, OpenPipe, Panicked, Peer, Readiness, Token,
};
use crate::panics::catch;
use crate::protocol::Job;
use crate::xray::{self, Answer, Call, Interest, What};

/// The kernel under a simulated server.
#[derive(Debug)]
pub(super) struct SimulatedKernel {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) disk: FaultyDisk,
    pub(super) origin: Instant,
}

/// A listening socket as the loop holds it.
#[derive(Debug)]
pub(super) struct Listener {
    world: Rc<RefCell<World>>,
    index: usize,
}

impl Kernel for SimulatedKernel {
    type Listener = Listener;
    type Stream = Stream;
    type Socket = UdpSocket;

    fn now(&self) -> Instant {
        self.world.borrow_mut().work();
        self.origin + self.world.borrow().network.now
    }

    fn wall_clock(&self) -> SystemTime {
        self.world.borrow().wall_clock()
    }

    fn listen(
        &mut self,
        address: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> io::Result<(Listener, SocketAddr)> {
        is_free(address)?;
        let network = &mut self.world.borrow_mut().network;
        network.listeners.push(network::Listener {
            address,
            token,
            backlog: options.backlog as usize,
            queue: [].into(),
            open: true,
            accepted: 0,
            edge: false,
            edges_planned: 0,
        });
        Ok((Listener { world: Rc::clone(&self.world), index: network.listeners.len() - 1 }, address))
    }

    fn bind(&mut self, address: SocketAddr, _: &BindOptions, token: Token) -> io::Result<(UdpSocket, SocketAddr)> {
        is_free(address)?;
        let network = &mut self.world.borrow_mut().network;
        let edge = Readiness { writable: true, ..Readiness::default() };
        network.sockets.push(network::Socket { token, open: true, queue: [].into(), edge, edges_planned: 0 });
        Ok((UdpSocket { world: Rc::clone(&self.world), socket: network.sockets.len() - 1 }, address))
    }

    fn accept(&mut self, listener: &Listener) -> io::Result<(Stream, Peer)> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let result = xray::answered(world.accept(listener.index, self.disk.memory.drafts()), || Call::Accept);
        world.network.note(|| format!("listener {}: accept -> {result:?}", listener.index));
        let link = result?;
        let address = world.network.links[link].address;
        Ok((Stream { world: Rc::clone(&self.world), link }, address.into()))
    }

    fn connect(&mut self, address: SocketAddr, _: Option<Duration>) -> io::Result<Stream> {
        let link = self.world.borrow_mut().connect_out(address)?;
        Ok(Stream { world: Rc::clone(&self.world), link })
    }

    fn register(&mut self, stream: &mut Stream, token: Token) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let registered = world.register(stream.link, token);
        xray::answered(registered, || Call::Register { interest: Interest::ReadWriteUrgent })
    }

    fn reregister(&mut self, stream: &mut Stream, token: Token, reads: bool) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.preempt();
        let changed = world.network.reregister(stream.link, token, reads);
        let interest = if reads { Interest::ReadWriteUrgent } else { Interest::Write };
        xray::answered(changed, || Call::Reregister { interest })
    }

    fn close(&mut self, stream: Stream) {
        self.world.borrow_mut().closes_unregistered(stream.link);
        drop(stream);
        xray::record(|| What::Call { call: Call::Close, answer: Answer::ZERO });
    }

    fn close_listener(&mut self, listener: Listener) {
        drop(listener);
    }

    fn close_socket(&mut self, socket: UdpSocket) {
        drop(socket);
    }

    fn wait(&mut self, notices: &mut Vec<Notice>, timeout: Option<Duration>) -> io::Result<()> {
        self.pass_time(notices, timeout);
        xray::set_simulated_time(self.world.borrow().network.now);
        xray::answered(Ok(notices.len()), || Call::wait(timeout)).map(drop)
    }

    fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        let world = &mut *self.world.borrow_mut();
        let chaos = &world.network.chaos;
        let is_full = world.network.now < chaos.until && chaos.jobs_max.is_some_and(|most| world.jobs.len() >= most);
        if is_full {
            world.hit(token, "a full queue of jobs");
            return Err(NoWorker::QueueFull);
        }
        if world.network.strikes(world.network.chaos.jobs_refused) {
            world.hit(token, world.network.chaos.jobs_refused.what);
            return Err(NoWorker::NoThread(Errno::EAGAIN.into()));
        }
        let id = world.jobs_submitted;
        world.jobs_submitted += 1;
        world.jobs.insert(id, (token, job));
        let at = world.network.now + world.network.random.millis(world.network.chaos.job_millis);
        world.network.agenda.add(at, Happening::Job(id));
        world.network.note(|| format!("job {id} for {token}"));
        Ok(())
    }

    fn pipes(&self) -> Option<OpenPipe> {
        Some(self.world.borrow().network.chaos.pipes.as_ref()?.opener())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn descriptors_free(&self) -> Option<usize> {
        self.world.borrow().network.chaos.descriptors
    }
}

impl SimulatedKernel {
    /// Lets time pass until there is a notice, or `timeout` expires.
    fn pass_time(&self, notices: &mut Vec<Notice>, timeout: Option<Duration>) {
        let until = timeout.map(|timeout| self.world.borrow().network.now.saturating_add(timeout));
        loop {
            let results_wait = {
                let world = &mut *self.world.borrow_mut();
                world.play_what_is_due();
                // A command may come before the result of a job that is done, or after it.
                !world.jobs_due.is_empty() && !world.commands.is_empty() && world.network.random.flip()
            };
            if !results_wait {
                self.run_jobs(notices);
            }
            let mut world = self.world.borrow_mut();
            world.collect(notices);
            if !notices.is_empty() || world.is_over() || until.is_some_and(|until| until <= world.network.now) {
                world.stall();
                world.network.turn_began = world.network.now;
                return;
            }
            let next = world.network.agenda.next().into_iter().chain(until).min();
            match next {
                Some(next) => world.network.now = next,
                None => {
                    world.fail("the server sleeps for ever: nothing will ever happen".to_owned());
                    return;
                }
            }
        }
    }

    /// Runs the jobs that are due. If a disk operation of a job fails, the client of the job is excused.
    fn run_jobs(&self, notices: &mut Vec<Notice>) {
        loop {
            let (job, may_fail) = {
                let mut world = self.world.borrow_mut();
                let Some(id) = world.jobs_due.pop_front() else { return };
                (world.jobs.remove(&id), world.network.now < world.network.chaos.until)
            };
            let Some((token, job)) = job else { continue };
            self.disk.begin_job(may_fail);
            let result = catch(|| job.run());
            let mut world = self.world.borrow_mut();
            if let Some(fault) = self.disk.end_job() {
                world.hit(token, fault);
            }
            world.network.note(|| format!("job for {token} is done: {result:?}"));
            world.network.powered_off |= self.disk.has_crashed();
            notices.push(Notice::Done(token, result));
        }
    }
}

impl World {
    /// Simulates `connect(2)` of a socket that does not block. Returns its link.
    fn connect_out(&mut self, address: SocketAddr) -> io::Result<usize> {
        let (fate, client) = Fate::of(address);
        let client = self.relayed + client;
        let network = &mut self.network;
        network.calls += 1;
        network.seen.insert(fate.name());
        if network.chaos.exhaustion.contains(&network.now) {
            if let Some(link) = network.links.iter().position(|link| link.client == client) {
                network.hit(link, "no descriptor");
            }
            return Err(Errno::EMFILE.into());
        }
        if fate == Fate::FailsAtOnce {
            return Err(self.own.pick(&[Errno::ENETUNREACH, Errno::EADDRNOTAVAIL, Errno::EACCES]).into());
        }
        let number = self.clients.len() + self.datagram_clients.len() + self.other_ends.len();
        let link = network.connect_out(number, address, client, &mut self.own);
        self.other_ends.push(OtherEnd::new(link, fate, &mut self.own));
        if let Some(outcome) = fate.outcome() {
            let at = network.now + self.own.millis(network.chaos.latency_millis);
            network.agenda.add(at, Happening::Connected(link, outcome));
        }
        network.note(|| format!("link {link}: connects to {address}, which has {fate:?}"));
        Ok(link)
    }

    /// Registers a connection, which the server has admitted.
    fn register(&mut self, link: usize, token: Token) -> io::Result<()> {
        self.note_admitted(link);
        self.network.register(link, token)
    }

    /// Takes the edges that the kernel owes, in random order, at most one batch, and adds spurious ones.
    fn collect(&mut self, notices: &mut Vec<Notice>) {
        let network = &mut self.network;
        let mut events = Vec::new();
        for link in &mut network.links {
            if let Some(token) = link.token
                && link.server == ServerEnd::Open
                && link.edge != Readiness::default()
            {
                let in_doubt = link.in_doubt();
                let mut readiness = std::mem::take(&mut link.edge);
                // An error is reported even if it was not asked for.
                readiness.readable &= !link.paused || link.broken;
                readiness.in_doubt = readiness.readable && in_doubt;
                if readiness != Readiness::default() {
                    events.push((token, readiness));
                }
            }
        }
        for listener in network.listeners.iter_mut().filter(|listener| listener.open) {
            if std::mem::take(&mut listener.edge) {
                events.push((listener.token, Readiness { readable: true, ..Readiness::default() }));
            }
        }
        for socket in network.sockets.iter_mut().filter(|socket| socket.open) {
            let edge = std::mem::take(&mut socket.edge);
            if edge != Readiness::default() {
                events.push((socket.token, edge));
            }
        }
        network.random.shuffle(&mut events);
        let most = network.chaos.batch_max.min(events.len());
        for (token, readiness) in events.split_off(most) {
            network.put_back(token, readiness);
        }
        if !events.is_empty() || !notices.is_empty() {
            network.add_spurious_event(&mut events);
        }
        for (token, readiness) in events {
            network.note(|| format!("event for {token}: {readiness:?}"));
            if network.chaos.events_apart && readiness.readable && readiness.writable {
                notices.push(Notice::Ready(token, Readiness { writable: false, ..readiness }));
                notices.push(Notice::Ready(token, Readiness { writable: true, ..Readiness::default() }));
            } else {
                notices.push(Notice::Ready(token, readiness));
            }
        }
        if !notices.is_empty() {
            self.add_stale_notices(notices);
        }
        notices.extend(self.commands.drain(..).map(Notice::Command));
        self.network.random.shuffle(notices);
    }
}

impl network::Network {
    /// Simulates `epoll_ctl(2)`: if the socket is ready already, an edge follows.
    fn register(&mut self, link: usize, token: Token) -> io::Result<()> {
        if self.strikes(self.chaos.register_errors) {
            self.hit(link, self.chaos.register_errors.what);
            return Err(self.random.pick(&[Errno::ENOSPC, Errno::ENOMEM]).into());
        }
        self.note(|| format!("link {link}: is registered as {token}"));
        let state = &mut self.links[link];
        state.token = Some(token);
        // A connect that has failed makes a socket ready both ways.
        let writable = state.connecting != Some(Connecting::InProgress);
        state.edge = Readiness { readable: state.is_readable(), writable, in_doubt: state.in_doubt() };
        Ok(())
    }

    /// Simulates `epoll_ctl(2)` with `EPOLL_CTL_MOD`: what the socket is ready for is reported again.
    fn reregister(&mut self, link: usize, token: Token, reads: bool) -> io::Result<()> {
        if self.strikes(self.chaos.register_errors) {
            self.hit(link, self.chaos.register_errors.what);
            return Err(Errno::ENOMEM.into());
        }
        self.note(|| format!("link {link}: is reregistered as {token}, reads: {reads}"));
        let state = &mut self.links[link];
        assert_eq!(state.token, Some(token), "only a registered socket can be registered again");
        state.paused = !reads;
        let readable = if reads { state.is_readable() } else { state.broken };
        state.edge = Readiness { readable, writable: !state.write_blocked, in_doubt: state.in_doubt() };
        Ok(())
    }

    fn put_back(&mut self, token: Token, edge: Readiness) {
        if let Some(link) = self.links.iter_mut().find(|link| link.token == Some(token)) {
            link.edge = edge;
        } else if let Some(listener) =
            self.listeners.iter_mut().find(|listener| listener.open && listener.token == token)
        {
            listener.edge = true;
        } else if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.open && socket.token == token) {
            socket.edge = edge;
        }
    }

    fn add_spurious_event(&mut self, events: &mut Vec<(Token, Readiness)>) {
        if self.strikes(self.chaos.spurious_events) && !self.links.is_empty() {
            let link = self.random.within(0..self.links.len());
            if let Some(token) = self.links[link].token.filter(|_| self.links[link].server == ServerEnd::Open) {
                events.push((token, self.any_readiness()));
            }
        }
    }

    fn any_readiness(&mut self) -> Readiness {
        Readiness { readable: self.random.flip(), writable: self.random.flip(), in_doubt: self.random.flip() }
    }
}

impl World {
    /// Adds notices for connections that have ended and for slots that never existed.
    fn add_stale_notices(&mut self, notices: &mut Vec<Notice>) {
        let network = &mut self.network;
        if network.retired.is_empty() || !network.strikes(network.chaos.stale_events) {
            return;
        }
        let unknown = Token { slot: network.random.within(0..500) as u32, generation: u32::MAX };
        let retired = network.random.within(0..network.retired.len());
        let stale = network.retired[retired];
        notices.push(Notice::Ready(unknown, network.any_readiness()));
        network.stale_notices += 1;
        // The remains of a connection keep its slot until its last job has finished.
        let is_gone = !self.jobs.values().any(|(token, _)| *token == stale)
            && !notices.iter().any(|notice| matches!(notice, Notice::Done(token, _) if *token == stale));
        if is_gone {
            notices.push(Notice::Ready(stale, network.any_readiness()));
            notices.push(Notice::Done(stale, Err(Panicked::default())));
            network.stale_notices += 2;
            network.note(|| format!("stale event and result for {stale}"));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let network = &mut self.world.borrow_mut().network;
        let listener = &mut network.listeners[self.index];
        listener.open = false;
        network.retired.push(listener.token);
        for link in std::mem::take(&mut listener.queue) {
            network.hit(link, "a listener that closed");
            network.links[link].server = ServerEnd::Closed;
            network.links[link].break_off();
            network.wake_client_of(link);
        }
    }
}
