//! The transport of one connection: a strict model of an edge-triggered kernel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::kernel::{Pipe, Readiness, Transport};
use crate::xray::{self, Answer, Call, SocketOption, What};

/// An error or a partial success at one call of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `EAGAIN`, although the call could have succeeded. The edge comes later.
    WouldBlock,
    /// `EINTR`.
    Interrupted,
    /// The call transfers one byte only.
    Short,
    /// `ECONNRESET`.
    Reset,
}

impl Fault {
    /// The faults that must not change what the peer sees.
    pub const HARMLESS: [Self; 3] = [Self::WouldBlock, Self::Interrupted, Self::Short];
}

/// What the kernel guarantees about reads; see [`Transport::short_read_drains`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edges {
    /// Only `WouldBlock` proves that nothing is left: `poll(2)`, or an unknown kernel.
    WouldBlock,
    /// A short read proves it too, unless the event was marked as in doubt: epoll, kqueue.
    ShortReads,
    /// As `ShortReads`, but every event is in doubt, as if urgent data had arrived, so a read may be short at any time.
    Urgent,
}

/// The two ends of one connection: the driver has a [`Wire`], and the test sees this.
#[derive(Debug)]
pub(super) struct Ends {
    edges: Edges,
    /// How the connect ended; `WouldBlock` while it is in progress.
    connect: Result<(), io::ErrorKind>,
    fault: Option<(usize, Fault)>,
    calls: usize,
    /// Bytes that the peer has sent and the driver has not read.
    arrived: VecDeque<u8>,
    fin_arrived: bool,
    reset: bool,
    /// A read returned `WouldBlock`, or something that proves the same, since the driver was last woken for reading.
    read_blocked: bool,
    /// The same for writing.
    write_blocked: bool,
    /// Whether the driver's end is registered: before, there are no edges.
    registered: bool,
    /// An edge is due if the socket was ready when it was registered, whatever a call has returned before.
    registration_edge: bool,
    /// Whether bytes that arrive are not reported.
    paused: bool,
    /// Bytes that the kernel takes before a write blocks; the test renews them.
    window: usize,
    /// Bytes that the peer has not acknowledged.
    unacknowledged: usize,
    writes: Vec<Vec<u8>>,
    fin_sent: bool,
    reset_on_close: bool,
    closed: bool,
}

/// The driver's end.
#[derive(Debug, Clone)]
pub(super) struct Wire(Rc<RefCell<Ends>>);

impl Wire {
    pub(super) fn new(edges: Edges, window: usize, fault: Option<(usize, Fault)>) -> Self {
        Self(Rc::new(RefCell::new(Ends {
            edges,
            connect: Ok(()),
            fault,
            calls: 0,
            arrived: VecDeque::new(),
            fin_arrived: false,
            reset: false,
            read_blocked: false,
            write_blocked: false,
            registered: false,
            registration_edge: true,
            paused: false,
            window,
            unacknowledged: 0,
            writes: Vec::new(),
            fin_sent: false,
            reset_on_close: false,
            closed: false,
        })))
    }

    /// Calls `look` with both ends.
    pub(super) fn world<R>(&self, look: impl FnOnce(&mut Ends) -> R) -> R {
        look(&mut self.0.borrow_mut())
    }
}

impl Ends {
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        self.arrived.extend(bytes);
    }

    pub(super) fn arrive_fin(&mut self) {
        self.fin_arrived = true;
    }

    pub(super) fn arrive_reset(&mut self) {
        self.reset = true;
    }

    /// The peer reads everything: the kernel takes `window` bytes more.
    pub(super) fn open_window(&mut self, window: usize) {
        self.window = window;
        self.unacknowledged = 0;
    }

    /// The peer reads at most `bytes` from a queue of `capacity`. The kernel takes more only when a third of the queue is free.
    pub(super) fn acknowledge(&mut self, bytes: usize, capacity: usize) {
        self.unacknowledged = self.unacknowledged.saturating_sub(bytes);
        let free = capacity - self.unacknowledged;
        if !self.write_blocked || free >= capacity / 3 {
            self.window = free;
        }
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// A connect is in progress, and edges for both directions are owed when it ends.
    pub(super) fn begin_connect(&mut self) {
        self.connect = Err(io::ErrorKind::WouldBlock);
        (self.read_blocked, self.write_blocked) = (true, true);
    }

    pub(super) fn end_connect(&mut self, how: Result<(), io::ErrorKind>) {
        self.connect = how;
    }

    /// Whether a read has something to return: bytes, a FIN or a reset.
    pub(super) fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.fin_arrived || self.reset
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    pub(super) fn is_read_blocked(&self) -> bool {
        self.read_blocked
    }

    /// Registers the driver's end, unless it is registered. `early` arrives right before.
    pub(super) fn register(&mut self, early: &[u8]) {
        if !std::mem::replace(&mut self.registered, true) {
            self.arrive(early);
        }
    }

    /// Stops or resumes the reports of bytes that arrive. An edge is due for what the socket is ready for then.
    pub(super) fn pause_reads(&mut self, paused: bool) {
        self.registration_edge |= self.paused != paused;
        self.paused = paused;
    }

    /// Returns the edges that are due now: only for a direction that returned `WouldBlock`.
    pub(super) fn take_edges(&mut self) -> Option<Readiness> {
        if !self.registered || self.connect == Err(io::ErrorKind::WouldBlock) {
            return None;
        }
        let readable =
            self.is_readable() && (self.read_blocked || self.registration_edge) && (!self.paused || self.reset);
        let writable = (self.window > 0 || self.reset) && (self.write_blocked || self.registration_edge);
        if !readable && !writable {
            return None;
        }
        self.registration_edge = false;
        self.read_blocked &= !readable;
        self.write_blocked &= !writable;
        let in_doubt = self.fin_arrived || self.reset || self.edges == Edges::Urgent;
        Some(Readiness { readable, writable, in_doubt: readable && in_doubt })
    }

    pub(super) fn writes(&self) -> &[Vec<u8>] {
        &self.writes
    }

    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    pub(super) fn is_fin_sent(&self) -> bool {
        self.fin_sent
    }

    pub(super) fn is_reset_on_close(&self) -> bool {
        self.reset_on_close
    }

    /// Returns the fault for this call, if any. A short read of a queue that is not empty does not exist where short reads prove
    /// that the queue is empty.
    fn strike(&mut self, reading: bool) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let (_, fault) = self.fault.take_if(|(at, _)| *at == call)?;
        let impossible = reading && fault == Fault::Short && self.edges == Edges::ShortReads;
        (!impossible).then_some(fault)
    }

    /// Answers a read after the last byte that has arrived.
    fn read_nothing(&mut self) -> io::Result<usize> {
        if self.reset {
            Err(self.break_down())
        } else if self.fin_arrived {
            Ok(0)
        } else {
            self.read_blocked = true;
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn break_down(&mut self) -> io::Error {
        self.reset = true;
        io::ErrorKind::ConnectionReset.into()
    }
}

impl Transport for Wire {
    fn is_connected(&self) -> io::Result<bool> {
        let mut ends = self.0.borrow_mut();
        match ends.strike(false) {
            Some(Fault::Reset) => return Err(ends.break_down()),
            Some(Fault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::WouldBlock) => {
                (ends.read_blocked, ends.write_blocked) = (true, true);
                return Ok(false);
            }
            Some(Fault::Short) | None => {}
        }
        match ends.connect {
            Ok(()) => Ok(true),
            Err(io::ErrorKind::WouldBlock) => Ok(false),
            Err(kind) => Err(kind.into()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "reading into nothing looks like a FIN");
        let mut ends = self.0.borrow_mut();
        assert!(!ends.closed, "a read after the end");
        assert_eq!(ends.connect, Ok(()), "a read before the connect has ended");
        let fault = ends.strike(true);
        let most = match fault {
            Some(Fault::Reset) => return Err(ends.break_down()),
            Some(Fault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::WouldBlock) => {
                ends.read_blocked = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Some(Fault::Short) => 1,
            None => buffer.len(),
        };
        if ends.arrived.is_empty() {
            return ends.read_nothing();
        }
        let count = most.min(ends.arrived.len()).min(buffer.len());
        for (byte, arrived) in buffer.iter_mut().zip(ends.arrived.drain(..count)) {
            *byte = arrived;
        }
        if count < buffer.len() && ends.edges == Edges::ShortReads {
            ends.read_blocked = true;
        }
        Ok(count)
    }

    /// What is discarded is not there to be used.
    fn discard(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let discarded = xray::answered(self.read(room), || Call::Discard { asked: room.len() as u32 });
        room.fill(0xff);
        discarded
    }

    fn splices(&self) -> bool {
        true
    }

    /// Stricter than a kernel: it may move fewer bytes than there are and than the pipe has room for, whatever a short read proves.
    fn splice(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        assert!(most > 0, "splicing nothing looks like a FIN");
        let mut ends = self.0.borrow_mut();
        assert!(!ends.closed, "a splice after the end");
        assert_eq!(ends.connect, Ok(()), "a splice before the connect has ended");
        let most = match ends.strike(false) {
            Some(Fault::Reset) => return Err(ends.break_down()),
            Some(Fault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::WouldBlock) if !ends.arrived.is_empty() => {
                ends.read_blocked = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Some(Fault::Short) => 1,
            _ => most,
        };
        // A full pipe hides what the socket would answer.
        if pipe.is_full() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !ends.arrived.is_empty() {
            return pipe.take_arrived(&mut ends.arrived, most).ok_or_else(|| io::ErrorKind::WouldBlock.into());
        }
        ends.read_nothing()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "a write of nothing");
        let mut ends = self.0.borrow_mut();
        assert!(!ends.fin_sent && !ends.closed, "a write after the end");
        assert_eq!(ends.connect, Ok(()), "a write before the connect has ended");
        let fault = ends.strike(false);
        if ends.reset || fault == Some(Fault::Reset) {
            return Err(ends.break_down());
        }
        let most = match fault {
            Some(Fault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::Short) => 1,
            Some(Fault::WouldBlock) => 0,
            _ => bytes.len(),
        };
        let count = most.min(ends.window).min(bytes.len());
        if count == 0 {
            ends.write_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        ends.window -= count;
        ends.unacknowledged += count;
        ends.writes.push(bytes[..count].to_vec());
        Ok(count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut ends = self.0.borrow_mut();
        assert!(!ends.fin_sent, "a second FIN");
        if ends.reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        ends.fin_sent = true;
        Ok(())
    }

    fn reset_on_close(&mut self) {
        self.0.borrow_mut().reset_on_close = true;
        let call = Call::SetOption { option: SocketOption::Linger, value: 0 };
        xray::record(|| What::Call { call, answer: Answer::ZERO });
    }

    fn unacknowledged(&self) -> Option<usize> {
        Some(self.0.borrow().unacknowledged)
    }

    fn short_read_drains(&self) -> bool {
        self.0.borrow().edges != Edges::WouldBlock
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Ok(mut ends) = self.0.try_borrow_mut() {
            ends.closed = true;
        }
    }
}
