//! The pipes of all uploads together: few, because each takes two descriptors and memory of the kernel.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::kernel::pipes::close;
use crate::kernel::{OpenPipe, Pipe};
use crate::limits::ERROR_PAUSE;
use crate::protocol::ErasedSink;
use crate::time::Time;

/// Spare pipes that are kept beside as many as uploads hold: those of an upload come and go many times in a second.
const SPARE_MAX: usize = 4;

/// The pool of pipes.
pub(crate) struct Pipes {
    /// Opens one; `None` if the kernel has none.
    open: Option<OpenPipe>,
    /// The number of pipes that uploads may hold together.
    most: usize,
    /// Whether an upload gets a pipe before it has shown that much arrives at a time: for tests.
    eager: bool,
    /// Empty pipes that are kept open.
    spare: Vec<Pipe>,
    /// Each pipe of an upload holds a clone.
    ticket: Arc<()>,
    /// When to open the next one, after one could not be opened.
    retry: Time,
}

impl Pipes {
    /// Makes a pool that lends no pipe.
    pub(crate) fn none() -> Self {
        Self { open: None, most: 0, eager: false, spare: Vec::new(), ticket: Arc::default(), retry: Time::ORIGIN }
    }

    /// Makes a pool of `most` pipes that `open` opens.
    pub(crate) fn new(open: OpenPipe, most: usize) -> Self {
        Self { open: Some(open), most, ..Self::none() }
    }

    /// Returns the pool with at most `most` pipes, of which an upload gets one from its first byte on: for tests.
    pub(crate) fn hurried(self, most: usize) -> Self {
        Self { most: self.most.min(most), eager: true, ..self }
    }

    /// Whether an upload gets a pipe from its first byte on.
    pub(super) fn are_eager(&self) -> bool {
        self.eager
    }

    /// Returns the number of pipes that uploads may hold together.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Returns the number of pipes that uploads hold.
    pub(crate) fn lent(&self) -> usize {
        Arc::strong_count(&self.ticket) - 1
    }

    /// Whether a pipe may be free.
    pub(super) fn may_lend(&self, now: Time) -> bool {
        self.lent() < self.most && (!self.spare.is_empty() || self.open.is_some() && now >= self.retry)
    }

    /// Lends an empty pipe; `None` if all are lent, or none can be opened at the moment. Then an upload uses buffers.
    pub(super) fn take(&mut self, now: Time) -> Option<LentPipe> {
        if !self.may_lend(now) {
            return None;
        }
        let pipe = match self.spare.pop() {
            Some(pipe) => pipe,
            None => match self.open.as_mut()?() {
                Ok(pipe) => pipe,
                Err(error) => {
                    log::debug!("uploads go without a pipe for {ERROR_PAUSE:?}, because none can be opened: {error}");
                    self.retry = now.after(ERROR_PAUSE);
                    return None;
                }
            },
        };
        Some(LentPipe { pipe: Some(pipe), _ticket: Arc::clone(&self.ticket) })
    }

    /// Takes back a pipe. If bytes of its upload are left in it, it is closed: they must not reach another file.
    pub(super) fn give_back(&mut self, mut lent: LentPipe) {
        if lent.len() == 0 {
            self.spare.extend(lent.pipe.take());
        }
        drop(lent);
        self.keep(self.lent() + SPARE_MAX);
    }

    /// Closes the spare pipes, if no upload holds one: called when an upload has ended.
    pub(crate) fn rest(&mut self) {
        if self.lent() == 0 {
            self.keep(0);
        }
    }

    fn keep(&mut self, most: usize) {
        self.spare.drain(most.min(self.spare.len())..).for_each(close);
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipes").field("most", &self.most).field("spare", &self.spare).finish_non_exhaustive()
    }
}

/// A pipe that an upload or its worker holds. Dropping it closes the pipe.
#[derive(Debug)]
pub(super) struct LentPipe {
    /// `None` only after it was given back.
    pub(super) pipe: Option<Pipe>,
    /// Counts the pipe as lent until it is dropped.
    _ticket: Arc<()>,
}

impl LentPipe {
    /// Returns the number of bytes in it.
    pub(super) fn len(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::len)
    }

    /// Writes all bytes in the pipe to `sink`.
    pub(super) fn write_to(&mut self, sink: &mut dyn ErasedSink) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        sink.write_pipe(pipe)?;
        match pipe.len() {
            0 => Ok(()),
            left => Err(io::Error::other(format!("{left} bytes are left in a pipe"))),
        }
    }
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            close(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;

    fn pool() -> Pipes {
        Pipes::new(Box::new(|| Ok(Pipe::in_memory(100, 5))), 2)
    }

    /// Takes a pipe and puts bytes into it.
    fn taken(pool: &mut Pipes, bytes: &[u8]) -> LentPipe {
        let mut lent = pool.take(Time::ORIGIN).expect("one is free");
        let pipe = lent.pipe.as_mut().expect("it is lent");
        assert_eq!(pipe.take_arrived(&mut VecDeque::from(bytes.to_vec()), 100).unwrap_or(0), bytes.len());
        lent
    }

    #[test]
    fn a_pipe_with_bytes_of_one_upload_is_never_lent_to_another() {
        let mut pool = pool();
        let lent = taken(&mut pool, b"left");
        pool.give_back(lent);
        assert_eq!(taken(&mut pool, b"").len(), 0);
        assert!(pool.spare.is_empty());
    }

    #[test]
    fn the_number_of_pipes_is_bounded_and_few_are_spare() {
        let mut pool = pool();
        let pipes = [taken(&mut pool, b""), taken(&mut pool, b"x")];
        assert!(pool.take(Time::ORIGIN).is_none());
        pipes.into_iter().for_each(|pipe| pool.give_back(pipe));
        assert_eq!((pool.lent(), pool.spare.len()), (0, 1));
        let mut many = Pipes::new(Box::new(|| Ok(Pipe::in_memory(1, 1))), 20);
        let pipes: Vec<_> = (0..20).map(|_| taken(&mut many, b"")).collect();
        pipes.into_iter().for_each(|pipe| many.give_back(pipe));
        assert_eq!((many.lent(), many.spare.len()), (0, SPARE_MAX));
        many.rest();
        assert!(many.spare.is_empty());
    }

    #[test]
    fn after_a_pipe_could_not_be_opened_none_is_tried_for_a_while() {
        let mut tries = 0;
        let open = move || {
            tries += 1;
            if tries == 1 { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(Pipe::in_memory(1, 1)) }
        };
        let mut pool = Pipes::new(Box::new(open), 1);
        let later = Time::ORIGIN.after(ERROR_PAUSE);
        let just_before = Time::ORIGIN.after(ERROR_PAUSE - Duration::from_nanos(1));
        assert!(pool.take(Time::ORIGIN).is_none() && pool.take(just_before).is_none());
        assert!(pool.take(later).is_some());
    }
}
