//! Uploads: the loop fills buffers of a bounded pool from a socket, while a worker writes full ones to the sink.

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
    /// The number of buffers that uploads may hold together.
    most: usize,
    /// Free buffers that are kept allocated, at most [`SPARE_MAX`].
    spare: Vec<Box<[u8]>>,
    /// Each buffer of an upload holds a clone. So a buffer that is dropped with a refused job is counted as free again.
    ticket: Arc<()>,
}

/// The number of spare buffers that are kept for the next upload; further ones are freed.
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

    /// Returns the number of buffers that uploads hold.
    pub(crate) fn lent(&self) -> usize {
        Arc::strong_count(&self.ticket) - 1
    }

    /// Returns the number of buffers that are free.
    pub(crate) fn free(&self) -> usize {
        self.most - self.lent()
    }
}

/// A buffer that an upload or its worker holds.
#[derive(Debug)]
struct Buffer {
    /// [`BULK_BUFFER_BYTES`] bytes.
    bytes: Box<[u8]>,
    /// The number of bytes received into it.
    length: usize,
    /// Counts the buffer as lent until it is dropped.
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

/// One upload. Either the loop or one worker holds the sink.
pub(crate) struct Bulk {
    /// The sink; `None` while a worker holds it.
    sink: Option<Box<dyn ErasedSink>>,
    /// The buffer being filled, if any.
    filling: Option<Buffer>,
    /// Full buffers that the next job takes.
    filled: Vec<Buffer>,
    /// The number of buffers that the worker holds.
    away: usize,
    /// Bytes received so far.
    received: u64,
    /// The number of bytes after which the upload is complete.
    at_most: u64,
    /// The error of the sink, after which nothing more is received.
    failure: Option<io::Error>,
}

/// The result of the worker's job.
struct Written {
    /// The sink.
    sink: Box<dyn ErasedSink>,
    /// The buffers that were written, for the pool.
    buffers: Vec<Buffer>,
    /// How the writes ended.
    result: io::Result<()>,
}

/// The reason why an upload cannot take bytes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// All its buffers are full or held by the worker; the result of the worker's job wakes it.
    Writing,
    /// The pool is empty; a returned buffer wakes it.
    PoolEmpty,
}

impl Bulk {
    pub(crate) fn new(sink: Box<dyn ErasedSink>, at_most: u64) -> Self {
        Self { sink: Some(sink), filling: None, filled: Vec::new(), away: 0, received: 0, at_most, failure: None }
    }

    /// Whether the upload takes no more bytes: it is complete or has failed.
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

    /// Returns the room for the next bytes: never empty, never more than the upload still takes.
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

    /// Notes that `count` bytes were written to the room.
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

    /// Returns a job that writes the received bytes, if there are any and no worker holds the sink. A buffer that is
    /// not full is included only with `all`: full buffers make fewer and larger writes.
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
            // The buffers belong to the pool: a panic of the sink must not drop them.
            let result = catch(write).unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
            Written { sink, buffers, result }
        }))
    }

    /// Takes back the sink from the worker, with the result of its writes.
    pub(crate) fn welcome_back(&mut self, sink: Box<dyn ErasedSink>, result: io::Result<()>) {
        self.sink = Some(sink);
        self.away = 0;
        self.failure = result.err();
    }

    /// Returns the result of the upload, once no more bytes come (`over`) and the worker has written those that came.
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

    /// Gives up the upload. Returns the sink, if no worker holds it, to be dropped on a worker.
    pub(crate) fn abandon(mut self, buffers: &mut Buffers) -> Option<Box<dyn ErasedSink>> {
        self.give_back_all(buffers);
        self.sink.take()
    }

    /// Returns an empty buffer to the pool, so that an upload which waits for its peer holds none.
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

/// The result of a job of any kind, after its buffers were returned to the pool.
pub(crate) enum Returned {
    /// The job wrote data of an upload.
    Bulk(Box<dyn ErasedSink>, io::Result<()>),
    /// A job of the protocol.
    Job(Continuation),
    /// A job of the protocol that panicked.
    Panicked(Panicked),
    /// A job of any kind that no worker took.
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

    /// Returns the panic of the job or of the sink, if there was one.
    pub(crate) fn panicked(&self) -> Option<&Panicked> {
        match self {
            Self::Panicked(panicked) => Some(panicked),
            Self::Bulk(_, Err(error)) => error.get_ref()?.downcast_ref(),
            Self::Bulk(_, Ok(())) | Self::Job(_) | Self::Refused => None,
        }
    }

    /// Returns the contents, which may be large or slow to drop, to be dropped on a worker.
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
    fn buffers_are_free_again_whether_their_job_is_run_or_dropped() {
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
    fn the_last_job_leaves_nothing_for_another_job() {
        let last = Job::discarding(Some(Box::new(7)), Some(Job::new(|| "what a protocol left to do")));
        assert!(last.run().downcast::<()>().is_ok());
    }
}
