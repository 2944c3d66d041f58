//! Jobs: work that may block, created by a protocol, queued by the kernel, run by a worker.

use std::any::Any;
use std::fmt;

/// Work that may block: a file, a lookup, heavy computation. Runs on a worker thread.
///
/// A protocol asks for a job by [`Step::job`](crate::protocol::Step::job), and may leave a last one when its connection
/// ends ([`on_close`](crate::protocol::StreamProtocol::on_close)).
pub struct Job {
    work: Box<dyn FnOnce() -> Outcome + Send>,
    /// The index of the listener whose workers run the job. The loop sets it.
    pub(crate) listener: u16,
}

impl Job {
    /// Makes a job that runs `work`. The result of a job that [`on_close`](crate::protocol::StreamProtocol::on_close)
    /// returns is dropped.
    pub fn new<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self { work: Box::new(move || Outcome::of(work())), listener: 0 }
    }

    /// Makes a job that drops `remains`, which may block, then runs the last job of a protocol and drops its result:
    /// nothing is left for the loop.
    pub(crate) fn discarding(remains: Option<Box<dyn Any + Send>>, last: Option<Self>) -> Self {
        Self::new(move || {
            drop(remains);
            drop(last.map(Self::run));
        })
    }

    /// Runs the work. A [kernel](crate::kernel::Kernel) calls this on a worker.
    #[must_use]
    pub fn run(self) -> Outcome {
        (self.work)()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// The value that a job returned.
pub struct Outcome(Box<dyn Any + Send>);

impl Outcome {
    /// Makes the outcome of a job that returned `value`.
    pub(crate) fn of<T: Send + 'static>(value: T) -> Self {
        Self(Box::new(value))
    }

    /// Returns the value if the job returned a `T`, or else the outcome itself.
    pub(crate) fn downcast<T: 'static>(self) -> Result<T, Self> {
        self.0.downcast().map(|value| *value).map_err(Self)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}
