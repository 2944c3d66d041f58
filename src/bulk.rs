//! Bulk data on its way from a socket to a file: buffers from a bounded pool, filled by the loop while a worker writes.

use std::any::Any;
use std::io;
use std::sync::Arc;

use crate::job::{Job, Outcome};
use crate::kernel::Panicked;
use crate::limits::{BULK_BUFFER_BYTES, BULK_BUFFERS_MAX, BULK_BUFFERS_PER_CONNECTION_MAX};
use crate::panics::catch;
use crate::protocol::{Continuation, ErasedSink, Stored};

/// The buffers of all uploads together.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// How many there may be.
    most: usize,
    spare: Vec<Box<[u8]>>,
    /// Each buffer that is with an upload holds a clone, so that one which is lost, with a job that nobody takes, is not
    /// missing for ever.
    ticket: Arc<()>,
}

/// How many spare buffers are kept for the next upload instead of being given back to the allocator.
const SPARE_MAX: usize = 4;

impl Default for Buffers {
    fn default() -> Self {
        Self::new(BULK_BUFFERS_MAX)
    }
}

impl Buffers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, spare: Vec::new(), ticket: Arc::default() }
    }

    fn take(&mut self) -> Option<Buffer> {
        if self.free() == 0 {
            return None;
        }
        let bytes = self.spare.pop().unwrap_or_else(|| vec![0; BULK_BUFFER_BYTES].into_boxed_slice());
        Some(Buffer { bytes, length: 0, _ticket: Arc::clone(&self.ticket) })
    }

    fn give_back(&mut self, buffer: Buffer) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(buffer.bytes);
        }
    }

    /// How many buffers are with uploads.
    pub(crate) fn lent(&self) -> usize {
        Arc::strong_count(&self.ticket) - 1
    }

    /// How many uploads that wait for a buffer would get one.
    pub(crate) fn free(&self) -> usize {
        self.most - self.lent()
    }
}

#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    _ticket: Arc<()>,
}

impl Buffer {
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.length..]
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// One upload. The sink is here or with a worker, never with two.
pub(crate) struct Bulk {
    sink: Option<Box<dyn ErasedSink>>,
    /// The buffer being filled, if any.
    filling: Option<Buffer>,
    /// Full buffers that the next job takes.
    filled: Vec<Buffer>,
    /// Buffers with the worker.
    away: usize,
    /// Bytes received so far.
    received: u64,
    /// Bytes after which it is over.
    at_most: u64,
    failure: Option<io::Error>,
}

/// What the worker hands back.
struct Written {
    sink: Box<dyn ErasedSink>,
    buffers: Vec<Buffer>,
    result: io::Result<()>,
}

/// Why an upload cannot take bytes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// All its buffers are full or with the worker, whose return wakes it.
    Writing,
    /// The pool is empty; whoever gives a buffer back wakes it.
    PoolEmpty,
}

impl Bulk {
    pub(crate) fn new(sink: Box<dyn ErasedSink>, at_most: u64) -> Self {
        Self { sink: Some(sink), filling: None, filled: Vec::new(), away: 0, received: 0, at_most, failure: None }
    }

    /// Whether no more bytes are wanted.
    pub(crate) fn is_full(&self) -> bool {
        self.received == self.at_most || self.failure.is_some()
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether a worker is writing what has been received.
    pub(crate) fn is_away(&self) -> bool {
        self.sink.is_none()
    }

    /// Where the next bytes go: never empty, never more than are wanted.
    pub(crate) fn room(&mut self, buffers: &mut Buffers) -> Result<&mut [u8], NoRoom> {
        if self.filling.is_none() {
            if self.away + self.filled.len() == BULK_BUFFERS_PER_CONNECTION_MAX {
                return Err(NoRoom::Writing);
            }
            let none = if self.away > 0 { NoRoom::Writing } else { NoRoom::PoolEmpty };
            self.filling = Some(buffers.take().ok_or(none)?);
        }
        let wanted = usize::try_from(self.at_most - self.received).unwrap_or(usize::MAX);
        let room = self.filling.as_mut().map_or(&mut [][..], Buffer::room);
        let length = room.len().min(wanted);
        Ok(&mut room[..length])
    }

    /// Notes that `count` bytes were put into the room.
    pub(crate) fn advance(&mut self, count: usize) {
        self.received += count as u64;
        if let Some(mut buffer) = self.filling.take() {
            buffer.length += count;
            if buffer.room().is_empty() {
                self.filled.push(buffer);
            } else {
                self.filling = Some(buffer);
            }
        }
    }

    /// The job that writes what has been received, if there is anything and the sink is at home. A buffer that is not
    /// full yet goes along only if `all` is asked for: full ones make fewer and larger writes.
    pub(crate) fn hand_over(&mut self, all: bool) -> Option<Job> {
        if self.sink.is_none() || self.failure.is_some() {
            return None;
        }
        if all {
            self.filled.extend(self.filling.take_if(|buffer| buffer.length > 0));
        }
        if self.filled.is_empty() {
            return None;
        }
        let mut sink = self.sink.take()?;
        let buffers = std::mem::take(&mut self.filled);
        self.away = buffers.len();
        Some(Job::new(move || {
            let write = || buffers.iter().try_for_each(|buffer| sink.write_all(buffer.filled()));
            // The buffers belong to the pool: a sink that panics must not take them along.
            let result = catch(write).unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
            Written { sink, buffers, result }
        }))
    }

    /// The worker is back with the sink.
    pub(crate) fn welcome_back(&mut self, sink: Box<dyn ErasedSink>, result: io::Result<()>) {
        self.sink = Some(sink);
        self.away = 0;
        self.failure = result.err();
    }

    /// How it ended, once no more bytes come (`over`) and the worker is done with those that came.
    pub(crate) fn ended(&mut self, over: bool, buffers: &mut Buffers) -> Option<Stored<Box<dyn ErasedSink>>> {
        if !over && self.failure.is_none() {
            return None;
        }
        let unwritten = !self.filled.is_empty() || self.filling.as_ref().is_some_and(|buffer| buffer.length > 0);
        if unwritten && self.failure.is_none() {
            return None;
        }
        let sink = self.sink.take()?;
        self.give_back_all(buffers);
        let result = self.failure.take().map_or(Ok(()), Err);
        Some(Stored::new(sink, self.received, result))
    }

    /// Gives up: the sink, if it is at home, is what remains to be discarded.
    pub(crate) fn abandon(mut self, buffers: &mut Buffers) -> Option<Box<dyn ErasedSink>> {
        self.give_back_all(buffers);
        self.sink.take()
    }

    /// Gives back a buffer that holds nothing, so that an upload which waits for its peer holds none.
    pub(crate) fn rest(&mut self, buffers: &mut Buffers) {
        if let Some(buffer) = self.filling.take_if(|buffer| buffer.length == 0) {
            buffers.give_back(buffer);
        }
    }

    fn give_back_all(&mut self, buffers: &mut Buffers) {
        for buffer in self.filled.drain(..).chain(self.filling.take()) {
            buffers.give_back(buffer);
        }
    }
}

/// The result of a job of whatever kind, its buffers given back to the pool.
pub(crate) enum Returned {
    /// It wrote bulk data.
    Bulk(Box<dyn ErasedSink>, io::Result<()>),
    /// It was a job of the protocol.
    Job(Continuation),
    /// It was a job of the protocol, and panicked.
    Panicked(Panicked),
    /// No worker took it, of whatever kind it was.
    Refused,
}

impl Returned {
    pub(crate) fn new(result: Result<Outcome, Panicked>, buffers: &mut Buffers) -> Self {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(panicked) => return Self::Panicked(panicked),
        };
        match outcome.downcast::<Written>() {
            Ok(written) => {
                for buffer in written.buffers {
                    buffers.give_back(buffer);
                }
                Self::Bulk(written.sink, written.result)
            }
            Err(outcome) => Self::Job(outcome.downcast().unwrap_or_else(|_| Continuation::wrong_protocol())),
        }
    }

    /// The panic in it, if there was one: of a job, or of a sink.
    pub(crate) fn panicked(&self) -> Option<&Panicked> {
        match self {
            Self::Panicked(panicked) => Some(panicked),
            Self::Bulk(_, Err(error)) => error.get_ref()?.downcast_ref(),
            Self::Bulk(_, Ok(())) | Self::Job(_) | Self::Refused => None,
        }
    }

    /// What it holds may be large or slow to drop: that is for a worker.
    pub(crate) fn into_remains(self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Bulk(sink, _) => Some(sink),
            Self::Job(then) => Some(Box::new(then)),
            Self::Panicked(_) | Self::Refused => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Context, Reply, Step, StreamProtocol};

    struct Nowhere;

    impl ErasedSink for Nowhere {
        fn write_all(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn call(
            self: Box<Self>,
            _: u64,
            _: io::Result<()>,
            _: &mut dyn StreamProtocol,
            _: &[u8],
            _: &mut Context<'_>,
        ) -> Reply {
            Ok(Step::finish())
        }
    }

    #[test]
    fn buffers_are_counted_back_whether_their_job_is_done_or_lost() {
        let mut buffers = Buffers::default();
        for done in [true, false] {
            let mut bulk = Bulk::new(Box::new(Nowhere), u64::MAX);
            assert!(bulk.room(&mut buffers).is_ok());
            bulk.advance(7);
            let job = bulk.hand_over(true).expect("there is something to write");
            assert_eq!(buffers.lent(), 1);
            if done {
                assert!(matches!(Returned::new(Ok(job.run()), &mut buffers), Returned::Bulk(_, Ok(()))));
            } else {
                drop(job);
            }
            assert_eq!(buffers.lent(), 0);
        }
    }

    #[test]
    fn the_last_job_leaves_nothing_that_would_take_another() {
        let last = Job::discarding(Some(Box::new(7)), Some(Job::new(|| "what a protocol left to do")));
        assert!(last.run().downcast::<()>().is_ok());
    }
}
