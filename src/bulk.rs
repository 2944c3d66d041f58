//! Uploads: the loop fills buffers of a bounded pool from a socket, while a worker writes full ones to the sink.
//!
//! Where the kernel and the sink can, and much arrives at a time, a pipe takes the place of a buffer: the loop moves bytes from the
//! socket to the pipe, the worker moves them from there to the file (`splice(2)`), and neither copies them through the program.

mod pipes;

use std::any::Any;
use std::io;
use std::sync::Arc;

use self::pipes::LentPipe;
pub(crate) use self::pipes::Pipes;
use crate::job::{Job, Outcome};
use crate::kernel::{Panicked, Pipe};
use crate::limits::{BULK_BUFFER_BYTES, BULK_BUFFERS_MAX, BULK_BUFFERS_PER_CONNECTION_MAX, PIPE_WORTH_BYTES};
use crate::panics::catch;
use crate::protocol::{Continuation, ErasedSink, Stored};
use crate::time::Time;

/// The buffers of all uploads together.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// The number of buffers that uploads may hold together.
    most: usize,
    /// Free buffers that are kept allocated, at most [`SPARE_MAX`].
    spare: Vec<Box<[u8]>>,
    /// Each buffer of an upload holds a clone. So a buffer that is dropped with a refused job is counted as free again.
    ticket: Arc<()>,
    /// The pipes, which are not counted among the buffers.
    pub(crate) pipes: Pipes,
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
        Self { most, spare: Vec::new(), ticket: Arc::default(), pipes: Pipes::none() }
    }

    /// Returns the same pool with these pipes.
    pub(crate) fn with_pipes(self, pipes: Pipes) -> Self {
        Self { pipes, ..self }
    }

    fn take(&mut self) -> Option<Buffer> {
        if self.free() == 0 {
            return None;
        }
        let bytes = self.spare.pop().unwrap_or_else(|| vec![0; BULK_BUFFER_BYTES].into_boxed_slice());
        Some(Buffer::Bytes(Bytes { bytes, length: 0, _ticket: Arc::clone(&self.ticket) }))
    }

    fn give_back(&mut self, buffer: Buffer) {
        match buffer {
            Buffer::Bytes(Bytes { bytes, .. }) if self.spare.len() < SPARE_MAX => self.spare.push(bytes),
            Buffer::Bytes(_) => {}
            Buffer::Pipe(pipe) => self.pipes.give_back(pipe),
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

/// What an upload or its worker holds received bytes in.
#[derive(Debug)]
enum Buffer {
    Bytes(Bytes),
    Pipe(LentPipe),
}

/// A buffer in memory.
#[derive(Debug)]
struct Bytes {
    /// [`BULK_BUFFER_BYTES`] bytes.
    bytes: Box<[u8]>,
    /// The number of bytes received into it.
    length: usize,
    /// Counts the buffer as lent until it is dropped.
    _ticket: Arc<()>,
}

impl Buffer {
    /// Returns the number of bytes received into it.
    fn length(&self) -> usize {
        match self {
            Self::Bytes(buffer) => buffer.length,
            Self::Pipe(pipe) => pipe.len(),
        }
    }

    /// Writes the received bytes to `sink`.
    fn write_to(&mut self, sink: &mut dyn ErasedSink) -> io::Result<()> {
        match self {
            Self::Bytes(buffer) => sink.write_all(&buffer.bytes[..buffer.length]),
            Self::Pipe(pipe) => pipe.write_to(sink),
        }
    }
}

/// The room for the next bytes.
pub(crate) enum Room<'a> {
    /// Memory to read into.
    Bytes(&'a mut [u8]),
    /// A pipe, and the most bytes to move into it.
    Pipe(&'a mut Pipe, usize),
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
    /// Whether a pipe is among them.
    took_pipe: bool,
    /// Bytes received so far.
    received: u64,
    /// The number of bytes after which the upload is complete.
    at_most: u64,
    /// The error of the sink, after which nothing more is received.
    failure: Option<io::Error>,
    /// Whether the sink takes pipes, and the socket does too as far as is known.
    takes_pipes: bool,
    /// Whether so much arrives at a time that a pipe is worth its cost: the last buffer was filled to its end, or the last pipe was not
    /// nearly empty.
    is_fast: bool,
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
        Self {
            takes_pipes: sink.takes_pipes(),
            sink: Some(sink),
            filling: None,
            filled: Vec::new(),
            away: 0,
            took_pipe: false,
            received: 0,
            at_most,
            failure: None,
            is_fast: false,
        }
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

    /// Whether a worker has a pipe.
    pub(crate) fn has_pipe_away(&self) -> bool {
        self.is_away() && self.took_pipe
    }

    /// Returns the room for the next bytes: never empty, never more than the upload still takes. It is in memory unless `may_pipe`.
    pub(crate) fn room(&mut self, buffers: &mut Buffers, may_pipe: bool, now: Time) -> Result<Room<'_>, NoRoom> {
        if !may_pipe && matches!(self.filling, Some(Buffer::Pipe(_))) {
            self.set_aside(buffers);
        }
        if self.filling.is_none() {
            self.filling = Some(self.take(buffers, may_pipe, now)?);
        }
        let wanted = usize::try_from(self.at_most - self.received).unwrap_or(usize::MAX);
        match &mut self.filling {
            Some(Buffer::Pipe(LentPipe { pipe: Some(pipe), .. })) => {
                let most = wanted.min(pipe.room());
                Ok(Room::Pipe(pipe, most))
            }
            Some(Buffer::Bytes(Bytes { bytes, length, .. })) => {
                let most = wanted.min(bytes.len() - *length);
                Ok(Room::Bytes(&mut bytes[*length..][..most]))
            }
            _ => Err(NoRoom::PoolEmpty),
        }
    }

    /// Takes a pipe if that is worth it, or else a buffer. A pipe is taken only when the worker is back: what arrives meanwhile stays in
    /// the socket, and is moved at once.
    fn take(&self, buffers: &mut Buffers, may_pipe: bool, now: Time) -> Result<Buffer, NoRoom> {
        let held = self.away + self.filled.len();
        let wants_pipe = may_pipe && self.takes_pipes && (self.is_fast || buffers.pipes.are_eager());
        let gets_pipe = wants_pipe && buffers.pipes.may_lend(now);
        if held == BULK_BUFFERS_PER_CONNECTION_MAX || gets_pipe && held > 0 || wants_pipe && self.has_pipe_away() {
            return Err(NoRoom::Writing);
        }
        if gets_pipe && let Some(pipe) = buffers.pipes.take(now) {
            return Ok(Buffer::Pipe(pipe));
        }
        buffers.take().ok_or(if self.away > 0 { NoRoom::Writing } else { NoRoom::PoolEmpty })
    }

    /// Notes that `count` bytes were received into the room.
    pub(crate) fn advance(&mut self, count: usize) {
        self.received += count as u64;
        let is_full = match &mut self.filling {
            Some(Buffer::Bytes(buffer)) => {
                buffer.length += count;
                self.is_fast |= buffer.length == buffer.bytes.len();
                buffer.length == buffer.bytes.len()
            }
            Some(Buffer::Pipe(LentPipe { pipe, .. })) => pipe.as_ref().is_some_and(|pipe| pipe.room() == 0),
            None => false,
        };
        if is_full {
            self.filled.extend(self.filling.take());
        }
    }

    /// Uses buffers from now on, because the socket cannot splice.
    pub(crate) fn forgo_pipes(&mut self, buffers: &mut Buffers) {
        self.takes_pipes = false;
        self.set_aside(buffers);
    }

    /// Fills what is being filled no further.
    fn set_aside(&mut self, buffers: &mut Buffers) {
        self.rest(buffers);
        self.filled.extend(self.filling.take());
    }

    /// Returns a job that writes the received bytes, if there are any and no worker holds the sink. A buffer that is
    /// not full is included only with `all`: full buffers make fewer and larger writes.
    pub(crate) fn hand_over(&mut self, all: bool) -> Option<Job> {
        if self.sink.is_none() || self.failure.is_some() {
            return None;
        }
        if all {
            let last = self.filling.take_if(|buffer| buffer.length() > 0);
            self.is_fast &= last.as_ref().is_none_or(|buffer| buffer.length() >= PIPE_WORTH_BYTES);
            self.filled.extend(last);
        }
        if self.filled.is_empty() {
            return None;
        }
        let mut sink = self.sink.take()?;
        let mut buffers = std::mem::take(&mut self.filled);
        self.away = buffers.len();
        self.took_pipe = buffers.iter().any(|buffer| matches!(buffer, Buffer::Pipe(_)));
        Some(Job::new(move || {
            let write = || buffers.iter_mut().try_for_each(|buffer| buffer.write_to(&mut *sink));
            // The buffers belong to the pool: a panic of the sink must not drop them.
            let result = catch(write).unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
            Written { sink, buffers, result }
        }))
    }

    /// Takes back the sink from the worker, with the result of its writes.
    pub(crate) fn take_back(&mut self, sink: Box<dyn ErasedSink>, result: io::Result<()>) {
        self.sink = Some(sink);
        self.away = 0;
        self.failure = result.err();
    }

    /// Returns the result of the upload, once no more bytes come (`over`) and the worker has written those that came.
    pub(crate) fn ended(&mut self, over: bool, buffers: &mut Buffers) -> Option<Stored<Box<dyn ErasedSink>>> {
        if !over && self.failure.is_none() {
            return None;
        }
        let unwritten = !self.filled.is_empty() || self.filling.as_ref().is_some_and(|buffer| buffer.length() > 0);
        if unwritten && self.failure.is_none() {
            return None;
        }
        let sink = self.sink.take()?;
        self.give_back_all(buffers);
        buffers.pipes.rest();
        let result = self.failure.take().map_or(Ok(()), Err);
        Some(Stored::new(sink, self.received, result))
    }

    /// Gives up the upload. Returns the sink, if no worker holds it, to be dropped on a worker.
    pub(crate) fn abandon(mut self, buffers: &mut Buffers) -> Option<Box<dyn ErasedSink>> {
        self.give_back_all(buffers);
        buffers.pipes.rest();
        self.sink.take()
    }

    /// Returns an empty buffer to the pool, so that an upload which waits for its peer holds none.
    pub(crate) fn rest(&mut self, buffers: &mut Buffers) {
        if let Some(buffer) = self.filling.take_if(|buffer| buffer.length() == 0) {
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

        fn takes_pipes(&self) -> bool {
            true
        }

        fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
            pipe.copy_to(|_| Ok(()))
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
            assert!(bulk.room(&mut buffers, false, Time::ORIGIN).is_ok());
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
    fn only_an_upload_that_fills_buffers_gets_pipes_and_not_if_it_then_drips() {
        let open = || Ok(Pipe::in_memory(PIPE_WORTH_BYTES, 5));
        let mut buffers = Buffers::default().with_pipes(Pipes::new(Box::new(open), 2));
        let mut bulk = Bulk::new(Box::new(Nowhere), u64::MAX);
        let mut receive = |bulk: &mut Bulk, count: usize| match bulk.room(&mut buffers, true, Time::ORIGIN) {
            Ok(Room::Bytes(room)) => {
                let count = count.min(room.len());
                bulk.advance(count);
                (count, false)
            }
            Ok(Room::Pipe(pipe, most)) => {
                let count = pipe.take_arrived(&mut vec![0; count].into(), most).expect("it has room");
                bulk.advance(count);
                (count, true)
            }
            Err(_) => (0, false),
        };
        let write = |bulk: &mut Bulk| {
            let job = bulk.hand_over(true).expect("there is something to write");
            let Ok(Written { sink, result, .. }) = job.run().downcast() else { panic!("another job") };
            bulk.take_back(sink, result);
        };
        for _ in 0..3 {
            assert_eq!(receive(&mut bulk, 100), (100, false), "it drips");
            write(&mut bulk);
        }
        assert_eq!(receive(&mut bulk, BULK_BUFFER_BYTES), (BULK_BUFFER_BYTES, false), "it fills a buffer");
        assert_eq!(receive(&mut bulk, 100), (0, false), "the worker has to come first");
        write(&mut bulk);
        assert_eq!(receive(&mut bulk, 2 * PIPE_WORTH_BYTES), (PIPE_WORTH_BYTES, true));
        assert_eq!(receive(&mut bulk, 100), (0, false), "one is held");
        write(&mut bulk);
        assert_eq!(receive(&mut bulk, 100), (100, true), "the last pipe was full");
        write(&mut bulk);
        assert_eq!(receive(&mut bulk, 100), (100, false), "the last pipe was nearly empty");
    }

    #[test]
    fn while_the_only_pipe_is_away_its_upload_copies_nothing() {
        let pipes = Pipes::new(Box::new(|| Ok(Pipe::in_memory(100, 5))), 1).hurried(1);
        let mut buffers = Buffers::default().with_pipes(pipes);
        let mut bulk = Bulk::new(Box::new(Nowhere), u64::MAX);
        let Ok(Room::Pipe(pipe, most)) = bulk.room(&mut buffers, true, Time::ORIGIN) else { panic!("it is free") };
        assert_eq!(pipe.take_arrived(&mut vec![0; 100].into(), most), Some(100));
        bulk.advance(100);
        let _job = bulk.hand_over(true).expect("there is something to write");
        assert!(matches!(bulk.room(&mut buffers, true, Time::ORIGIN), Err(NoRoom::Writing)));
    }

    #[test]
    fn the_last_job_leaves_nothing_for_another_job() {
        let last = Job::discarding(Some(Box::new(7)), Some(Job::new(|| "what a protocol left to do")));
        assert!(last.run().downcast::<()>().is_ok());
    }
}
