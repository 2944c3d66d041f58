//! Work that may block: a few worker threads, a bounded queue, and the loop's waker.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use ::mio::Waker;

use super::{Panicked, Token};
#[cfg(target_os = "linux")]
use crate::limits::WORKER_NICE;
use crate::limits::{JOBS_MAX, WORKERS};
use crate::protocol::{Job, Outcome};

type Finished = (Token, Result<Outcome, Panicked>);

/// The loop's side of the worker threads. They are started when they are first needed, and end with this value once
/// they have finished what they are at.
///
/// The loop never waits for a worker: both queues are channels, whose sending does not wait, and only workers take the
/// lock around their end of the first.
pub(crate) struct Offload {
    jobs: mpsc::Sender<(Token, Job)>,
    queue: Arc<Mutex<mpsc::Receiver<(Token, Job)>>>,
    finished: mpsc::Receiver<Finished>,
    report: mpsc::Sender<Finished>,
    waker: Arc<Waker>,
    workers: usize,
    unfinished: usize,
}

impl Offload {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let (jobs, queue) = mpsc::channel();
        let (report, finished) = mpsc::channel();
        Self { jobs, queue: Arc::new(Mutex::new(queue)), finished, report, waker, workers: 0, unfinished: 0 }
    }

    /// Queues a job, or gives it back if [`JOBS_MAX`] are unfinished or no worker can be started.
    pub(crate) fn submit(&mut self, token: Token, job: Job) -> Result<(), Job> {
        if self.unfinished >= JOBS_MAX || !self.staff() {
            return Err(job);
        }
        self.jobs.send((token, job)).map_err(|mpsc::SendError((_, job))| job)?;
        self.unfinished += 1;
        Ok(())
    }

    /// What has been finished since the last call.
    pub(crate) fn finished(&mut self) -> impl Iterator<Item = Finished> {
        self.finished.try_iter().inspect(|_| self.unfinished -= 1)
    }

    /// Starts another worker if all are busy and there may be more. Returns whether there is any.
    fn staff(&mut self) -> bool {
        if self.workers < WORKERS && self.workers <= self.unfinished {
            match self.start() {
                Ok(()) => self.workers += 1,
                Err(error) => log::debug!("cannot start a worker thread: {error}"),
            }
        }
        self.workers > 0
    }

    fn start(&self) -> io::Result<()> {
        let (queue, report, waker) = (Arc::clone(&self.queue), self.report.clone(), Arc::clone(&self.waker));
        let work = move || {
            give_way_to_the_loop();
            while let Some((token, job)) = next(&queue) {
                let result = catch_unwind(AssertUnwindSafe(|| job.run())).map_err(|_| Panicked);
                if report.send((token, result)).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("reactor-worker".into()).spawn(work).map(drop)
    }
}

/// Lets the loop go first where both want the same core: it has many peers waiting, and a job keeps one. On Linux the nice
/// value is that of a thread (`setpriority(2)`); elsewhere it is that of the process, and left alone.
fn give_way_to_the_loop() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(WORKER_NICE) {
        log::debug!("a worker thread keeps its priority: {error}");
    }
}

/// Waits for the next job; `None` when the loop is gone.
fn next(queue: &Mutex<mpsc::Receiver<(Token, Job)>>) -> Option<(Token, Job)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload")
            .field("workers", &self.workers)
            .field("unfinished", &self.unfinished)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ::mio::{Events, Poll};

    use super::*;

    const TOKEN: Token = Token { slot: 1, generation: 2 };

    /// Waits, by the waker alone, for as many results.
    fn results(poll: &mut Poll, offload: &mut Offload, count: usize) -> Vec<Finished> {
        let mut results: Vec<Finished> = Vec::new();
        let mut events = Events::with_capacity(8);
        while results.len() < count {
            poll.poll(&mut events, None).expect("a working poll");
            results.extend(offload.finished());
        }
        results
    }

    fn offload() -> (Poll, Offload) {
        let poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), ::mio::Token(0)).expect("a waker");
        (poll, Offload::new(Arc::new(waker)))
    }

    #[test]
    fn no_result_goes_missing_among_many() {
        let (mut poll, mut offload) = offload();
        for number in 0..1000_u32 {
            offload.submit(Token { slot: number, generation: 0 }, Job::new(move || number * 2)).expect("room");
        }
        let mut results = results(&mut poll, &mut offload, 1000);
        results.sort_by_key(|(token, _)| token.slot);
        for (number, (token, result)) in (0..).zip(results) {
            assert_eq!(token.slot, number);
            assert_eq!(result.expect("no panic").downcast::<u32>().expect("a number"), number * 2);
        }
        assert_eq!(offload.unfinished, 0);
    }

    #[test]
    fn a_panic_is_the_result_of_its_job_and_the_worker_goes_on() {
        let (mut poll, mut offload) = offload();
        for _ in 0..2 * WORKERS {
            offload.submit(TOKEN, Job::new(|| std::panic::resume_unwind(Box::new("on purpose")))).expect("room");
        }
        let panicked = results(&mut poll, &mut offload, 2 * WORKERS);
        assert!(panicked.iter().all(|(_, result)| matches!(result, Err(Panicked))));
        offload.submit(TOKEN, Job::new(|| 7)).expect("room");
        let [(_, result)] = &mut results(&mut poll, &mut offload, 1)[..] else { panic!("one result") };
        assert!(result.is_ok());
    }

    #[test]
    fn a_slow_job_does_not_hold_up_the_next_one() {
        let (mut poll, mut offload) = offload();
        let (release, blocked) = mpsc::channel::<()>();
        offload.submit(Token { slot: 0, generation: 0 }, Job::new(move || blocked.recv())).expect("room");
        offload.submit(Token { slot: 1, generation: 0 }, Job::new(|| ())).expect("room");
        assert_eq!(results(&mut poll, &mut offload, 1)[0].0.slot, 1);
        release.send(()).expect("the first job still waits");
        assert_eq!(results(&mut poll, &mut offload, 1)[0].0.slot, 0);
    }

    #[test]
    fn the_queue_is_bounded_and_gives_back_what_does_not_fit() {
        let (_poll, mut offload) = offload();
        offload.unfinished = JOBS_MAX;
        assert!(offload.submit(TOKEN, Job::new(|| ())).is_err());
    }
}
