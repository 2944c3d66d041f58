//! Work that may block: for each listener a few worker threads and a bounded queue, and the loop's waker.
//!
//! Each listener has its own workers, so that jobs of one listener which block, because a disk hangs or a plug-in waits
//! for another service, do not delay another listener. That is simpler than sharing fewer threads fairly, and holds for
//! any job. The price is more threads where several listeners are busy; those threads sleep.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ::mio::Waker;

use super::{NoWorker, Notice, Panicked, Token, Waiting};
use crate::job::{Job, Outcome};
#[cfg(target_os = "linux")]
use crate::limits::WORKER_NICE;
use crate::limits::{ERROR_PAUSE, JOB_WAIT, JOBS_MAX, LOG_PERIOD, WORKERS};
use crate::panics::catch;

/// The listener, the owner of the job, and the result.
type Finished = (u16, Token, Result<Outcome, Panicked>);

/// The loop's side of the worker threads. They are started when they are first needed. After this value is dropped each
/// ends with its current job.
///
/// The loop never waits for a worker: both queues are channels, to which sending does not wait, and only workers take
/// the lock of the receiving end of the first.
pub(crate) struct Offload {
    /// The lanes of the listeners that have submitted jobs, by index.
    lanes: BTreeMap<u16, Lane>,
    /// Unfinished jobs of all lanes together.
    unfinished: usize,
    /// The most workers that a lane may have.
    workers_max: usize,
    /// The results of the workers.
    finished: mpsc::Receiver<Finished>,
    /// The sender that each worker clones for its results.
    report: mpsc::Sender<Finished>,
    /// Wakes the loop when a result has been sent.
    waker: Arc<Waker>,
}

/// The jobs of one listener, and its workers.
struct Lane {
    /// The index of the listener.
    listener: u16,
    /// The queue of jobs that no worker has taken.
    jobs: mpsc::Sender<(Token, Job)>,
    /// The workers' side of the queue.
    queue: Arc<Queue>,
    /// Each worker holds a weak reference, so that a worker that has ended for any reason is not counted and is
    /// replaced.
    loop_is_there: Arc<()>,
    /// Jobs that are queued or running.
    unfinished: usize,
    /// The times at which the jobs were submitted that no worker has taken, the oldest first; updated by
    /// `forget_taken`.
    waiting: VecDeque<Instant>,
    /// The time of the last notice that jobs wait.
    noticed: Option<Instant>,
}

/// The workers' side of a lane.
struct Queue {
    /// The receiving end; a worker holds the lock while it waits for a job.
    jobs: Mutex<mpsc::Receiver<(Token, Job)>>,
    /// Jobs that were taken since the loop last checked.
    taken: AtomicUsize,
}

impl Offload {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let (report, finished) = mpsc::channel();
        Self { lanes: BTreeMap::new(), unfinished: 0, workers_max: WORKERS, finished, report, waker }
    }

    /// Limits each listener to `most` workers from now on; at least one.
    pub(crate) fn limit_workers(&mut self, most: usize) {
        self.workers_max = most.max(1);
    }

    /// Queues a job. Drops it if [`JOBS_MAX`] jobs of its listener are unfinished, or if it has no worker and none can
    /// be started.
    pub(crate) fn submit(&mut self, token: Token, job: Job) -> Result<(), NoWorker> {
        let listener = job.listener;
        let lane = self.lanes.entry(listener).or_insert_with(|| Lane::new(listener));
        if lane.unfinished >= JOBS_MAX {
            return Err(NoWorker::QueueFull);
        }
        if let Err(error) = lane.staff(self.workers_max, &self.report, &self.waker) {
            if lane.workers() == 0 {
                return Err(NoWorker::NoThread(error));
            }
            log::debug!("cannot start another worker thread: {error}");
        }
        // Rule 10: sending to this queue never waits.
        lane.push(token, job);
        self.unfinished += 1;
        Ok(())
    }

    /// Returns the jobs that have finished since the last call.
    pub(crate) fn finished(&mut self) -> impl Iterator<Item = Notice> {
        let (lanes, unfinished) = (&mut self.lanes, &mut self.unfinished);
        self.finished.try_iter().map(|(listener, token, result)| {
            *unfinished -= 1;
            if let Some(lane) = lanes.get_mut(&listener) {
                lane.unfinished -= 1;
            }
            Notice::Done(token, result)
        })
    }

    /// Returns the number of jobs that a worker runs, and of those that wait for a worker.
    pub(crate) fn jobs(&self) -> (usize, usize) {
        let waiting: usize = self.lanes.values().map(Lane::waiting).sum();
        (self.unfinished.saturating_sub(waiting), waiting)
    }

    /// Appends a notice for each listener whose jobs have waited for a worker for [`JOB_WAIT`], at most once in
    /// [`LOG_PERIOD`]. If jobs are waiting, returns the time until the next check: the loop may have no other reason to
    /// wake.
    pub(crate) fn look_after_waiting(&mut self, notices: &mut Vec<Notice>) -> Option<Duration> {
        if self.unfinished == 0 {
            return None;
        }
        let mut next = None;
        let now = Instant::now();
        for lane in self.lanes.values_mut() {
            let Some(mut due) = lane.overdue_at() else { continue };
            if due <= now {
                notices.push(Notice::Waiting(lane.notice(now)));
                // Replaces a worker that has ended or could not be started before.
                if let Err(error) = lane.staff(self.workers_max, &self.report, &self.waker) {
                    log::debug!("cannot start another worker thread: {error}");
                }
                due = now + LOG_PERIOD;
            }
            let left = due.saturating_duration_since(now);
            next = Some(next.map_or(left, |next: Duration| next.min(left)));
        }
        next
    }
}

impl Lane {
    fn new(listener: u16) -> Self {
        let (jobs, receiver) = mpsc::channel();
        let queue = Arc::new(Queue { jobs: Mutex::new(receiver), taken: AtomicUsize::new(0) });
        Self {
            listener,
            jobs,
            queue,
            loop_is_there: Arc::default(),
            unfinished: 0,
            waiting: VecDeque::new(),
            noticed: None,
        }
    }

    fn workers(&self) -> usize {
        Arc::weak_count(&self.loop_is_there)
    }

    fn push(&mut self, token: Token, job: Job) {
        self.forget_taken();
        self.waiting.push_back(Instant::now());
        self.unfinished += 1;
        // The receiver lives as long as this lane, so sending cannot fail.
        let _ = self.jobs.send((token, job));
    }

    fn waiting(&self) -> usize {
        self.waiting.len().saturating_sub(self.queue.taken.load(Ordering::Relaxed))
    }

    fn forget_taken(&mut self) {
        let taken = self.queue.taken.swap(0, Ordering::Relaxed);
        self.waiting.drain(..taken.min(self.waiting.len()));
    }

    /// Returns when to report that jobs wait, if any does.
    fn overdue_at(&mut self) -> Option<Instant> {
        self.forget_taken();
        let due = *self.waiting.front()? + JOB_WAIT;
        Some(self.noticed.map_or(due, |noticed| due.max(noticed + LOG_PERIOD)))
    }

    fn notice(&mut self, now: Instant) -> Waiting {
        self.noticed = Some(now);
        let since = self.waiting.front().map_or(Duration::ZERO, |since| now.saturating_duration_since(*since));
        Waiting { listener: self.listener, jobs: self.waiting.len(), workers: self.workers(), since }
    }

    /// Starts another worker if all are busy and there may be more.
    fn staff(&self, most: usize, report: &mpsc::Sender<Finished>, waker: &Arc<Waker>) -> io::Result<()> {
        if self.workers() < most && self.workers() <= self.unfinished {
            return self.start(report.clone(), Arc::clone(waker));
        }
        Ok(())
    }

    fn start(&self, report: mpsc::Sender<Finished>, waker: Arc<Waker>) -> io::Result<()> {
        let (listener, queue) = (self.listener, Arc::clone(&self.queue));
        let loop_is_there = Arc::downgrade(&self.loop_is_there);
        let work = move || {
            give_way_to_the_loop();
            while let Some((token, job)) = queue.next() {
                let result = catch(|| job.run());
                if report.send((listener, token, result)).is_err() {
                    break;
                }
                wake(&waker, &loop_is_there);
            }
        };
        thread::Builder::new().name("reactor-worker".into()).spawn(work).map(drop)
    }
}

impl Queue {
    /// Waits for the next job; `None` when the loop has ended.
    fn next(&self) -> Option<(Token, Job)> {
        let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        self.taken.fetch_add(usize::from(next.is_some()), Ordering::Relaxed);
        next
    }
}

/// Wakes the loop, and retries until that succeeds: a connection waits for the result and would otherwise never
/// continue.
fn wake(waker: &Waker, loop_is_there: &Weak<()>) {
    let mut is_logged = false;
    while let Err(error) = waker.wake() {
        if loop_is_there.strong_count() == 0 {
            return;
        }
        if !std::mem::replace(&mut is_logged, true) {
            log::error!("a worker cannot wake the loop: {error}; retrying");
        }
        // No event reports when the wake-up can succeed. Only a worker waits here.
        thread::sleep(ERROR_PAUSE);
    }
}

/// Lowers the priority of a worker, so that the loop runs first where both want the same core: many peers wait for the
/// loop, and one for a job. On Linux the nice value belongs to the thread (`setpriority(2)`); elsewhere it belongs to
/// the process and is not changed.
fn give_way_to_the_loop() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(WORKER_NICE) {
        log::debug!("cannot lower the priority of a worker thread: {error}");
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = self.lanes.values().map(|lane| (lane.listener, lane.workers(), lane.unfinished));
        f.debug_struct("Offload").field("lanes", &lanes.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
