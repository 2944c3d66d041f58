//! Jobs: work that may block, created by a protocol, queued by the kernel, run by a worker.

use std::any::Any;
use std::fmt;

use crate::snapshot::{Question, Snapshot};

/// Work that may block: a file, a lookup, heavy computation. Runs on a worker thread.
///
/// A protocol asks for a job by [`Step::job`](crate::protocol::Step::job), and may leave a last one when its connection
/// ends ([`on_close`](crate::protocol::StreamProtocol::on_close)).
pub struct Job {
    work: Box<dyn Work>,
    /// The index of the listener whose workers run the job. The loop sets it.
    pub(crate) listener: u16,
}

impl Job {
    /// Makes a job that runs `work`. The result of a job that [`on_close`](crate::protocol::StreamProtocol::on_close)
    /// returns is dropped.
    pub fn new<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self { work: Box::new(Plain(move || Outcome::of(work()))), listener: 0 }
    }

    /// Makes a job that runs `work` with the answer of the loop to `question`.
    pub(crate) fn inquiring<T: Send + 'static>(
        question: Question,
        work: impl FnOnce(Snapshot) -> T + Send + 'static,
    ) -> Self {
        let work = move |answer| Outcome::of(work(answer));
        Self { work: Box::new(Inquiring { question, answer: Snapshot::default(), work }), listener: 0 }
    }

    /// Returns the question that the loop has to answer before a worker runs the job, if there is one.
    pub(crate) fn question(&self) -> Option<&Question> {
        self.work.question()
    }

    /// Answers the question.
    pub(crate) fn answer(&mut self, snapshot: Snapshot) {
        self.work.answer(snapshot);
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
        self.work.run()
    }
}

/// What a worker runs.
trait Work: Send {
    /// The question that has to be answered before.
    fn question(&self) -> Option<&Question> {
        None
    }

    /// Answers the question.
    fn answer(&mut self, snapshot: Snapshot) {
        drop(snapshot);
    }

    /// Runs it.
    fn run(self: Box<Self>) -> Outcome;
}

/// Work without a question.
struct Plain<F>(F);

impl<F: FnOnce() -> Outcome + Send> Work for Plain<F> {
    fn run(self: Box<Self>) -> Outcome {
        (self.0)()
    }
}

/// Work on the answer to a question.
struct Inquiring<F> {
    question: Question,
    answer: Snapshot,
    work: F,
}

impl<F: FnOnce(Snapshot) -> Outcome + Send> Work for Inquiring<F> {
    fn question(&self) -> Option<&Question> {
        Some(&self.question)
    }

    fn answer(&mut self, snapshot: Snapshot) {
        self.answer = snapshot;
    }

    fn run(self: Box<Self>) -> Outcome {
        let Self { answer, work, .. } = *self;
        work(answer)
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
