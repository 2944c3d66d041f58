//! What may block: made by a protocol, done by a worker, carried by the kernel.

use std::any::Any;
use std::fmt;

/// Work that may block: a file, a lookup, heavy computation. Runs on a worker thread.
///
/// A protocol asks for one by [`Step::job`](crate::protocol::Step::job), and leaves a last one when its connection has ended
/// ([`on_close`](crate::protocol::StreamProtocol::on_close)).
pub struct Job {
    work: Box<dyn FnOnce() -> Outcome + Send>,
    /// The index of the listener whose workers do it. The loop sets it.
    pub(crate) listener: u16,
}

impl Job {
    /// A job that does `work`. Of what [`on_close`](crate::protocol::StreamProtocol::on_close) leaves nothing comes back.
    pub fn new<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self { work: Box::new(move || Outcome(Box::new(work()))), listener: 0 }
    }

    /// Drops what may block to drop, then does the last job of a protocol and drops its result too: nothing is left for
    /// the loop.
    pub(crate) fn discarding(remains: Option<Box<dyn Any + Send>>, last: Option<Self>) -> Self {
        Self::new(move || {
            drop(remains);
            drop(last.map(Self::run));
        })
    }

    /// Does the work. That is for a worker; a [kernel](crate::kernel::Kernel) calls it.
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

/// What a job returned.
pub struct Outcome(Box<dyn Any + Send>);

impl Outcome {
    /// The value, if the job returned a `T`, or else the outcome itself.
    pub(crate) fn downcast<T: 'static>(self) -> Result<T, Self> {
        self.0.downcast().map(|value| *value).map_err(Self)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}
