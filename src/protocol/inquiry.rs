//! The step of a protocol that inquires what the loop does. Only protocols of this crate can.

use super::job::Continuation;
use super::step::{Reply, Step, Then};
use super::{Context, StreamProtocol};
use crate::job::Job;
use crate::snapshot::{Question, Snapshot};

impl Step {
    /// Asks the loop `question`, and runs `work` with the answer on a worker thread, as [`Step::job`] runs its work.
    pub(super) fn inquire<P: StreamProtocol, T: Send + 'static>(
        question: Question,
        work: impl FnOnce(Snapshot) -> T + Send + 'static,
        then: fn(&mut P, T, &[u8], &mut Context<'_>) -> Reply,
    ) -> Self {
        let job = Job::inquiring(question, move |snapshot| Continuation::new(work(snapshot), then));
        Self { then: Then::Job(job), ..Self::wait(super::Within::Nothing) }
    }
}
