//! Work that may block: for each listener a few worker threads and a bounded queue; and the loop's waker.
//!
//! Each listener has workers of its own, so that jobs which block at one, because a disk hangs or a plug-in waits for another
//! service, do not hold up another listener. That is simpler than sharing fewer threads fairly, and holds whatever a job does; the price is
//! more threads where several listeners are busy, and those sleep.

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

/// A result, whose it is, and the listener.
type Finished = (u16, Token, Result<Outcome, Panicked>);

/// The loop's side of the worker threads. They are started when they are first needed, and end with this value once
/// they have finished what they are at.
///
/// The loop never waits for a worker: both queues are channels, whose sending does not wait, and only workers take the
/// lock around their end of the first.
pub(crate) struct Offload {
    lanes: BTreeMap<u16, Lane>,
    /// Jobs of all lanes together.
    unfinished: usize,
    workers_max: usize,
    finished: mpsc::Receiver<Finished>,
    report: mpsc::Sender<Finished>,
    waker: Arc<Waker>,
}

/// The jobs of one listener, and its workers.
struct Lane {
    listener: u16,
    jobs: mpsc::Sender<(Token, Job)>,
    queue: Arc<Queue>,
    /// Each worker holds a weak reference, so that one which has ended, for whatever reason, is not counted and is replaced.
    loop_is_there: Arc<()>,
    unfinished: usize,
    /// When the jobs were submitted that no worker had taken when this was last looked at, the oldest first.
    waiting: VecDeque<Instant>,
    /// When it was last told that they wait.
    told: Option<Instant>,
}

/// The workers' end.
struct Queue {
    jobs: Mutex<mpsc::Receiver<(Token, Job)>>,
    /// Jobs that were taken since the loop last looked.
    taken: AtomicUsize,
}

impl Offload {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let (report, finished) = mpsc::channel();
        Self { lanes: BTreeMap::new(), unfinished: 0, workers_max: WORKERS, finished, report, waker }
    }

    /// Lets each listener have at most so many workers from now on; at least one.
    pub(crate) fn limit_workers(&mut self, most: usize) {
        self.workers_max = most.max(1);
    }

    /// Queues a job. Drops it if [`JOBS_MAX`] of its listener are unfinished, or no worker can be started and none is there.
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
        // Rule 10: sending to this queue waits for no worker.
        lane.push(token, job);
        self.unfinished += 1;
        Ok(())
    }

    /// What has been finished since the last call.
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

    /// Notices which jobs have waited for a worker for [`JOB_WAIT`], once in [`LOG_PERIOD`] for each listener. Returns the time
    /// after which to look again, if any job is waiting: the loop has no other reason to wake.
    pub(crate) fn look_after_waiting(&mut self, notices: &mut Vec<Notice>) -> Option<Duration> {
        if self.unfinished == 0 {
            return None;
        }
        let mut next = None;
        let now = Instant::now();
        for lane in self.lanes.values_mut() {
            let Some(mut due) = lane.overdue_at() else { continue };
            if due <= now {
                notices.push(Notice::Waiting(lane.tell(now)));
                // One that has ended, or could not be had before, is missing now.
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
            told: None,
        }
    }

    fn workers(&self) -> usize {
        Arc::weak_count(&self.loop_is_there)
    }

    fn push(&mut self, token: Token, job: Job) {
        self.forget_taken();
        self.waiting.push_back(Instant::now());
        self.unfinished += 1;
        // The receiver lives as long as this does, so nothing can be refused.
        let _ = self.jobs.send((token, job));
    }

    fn forget_taken(&mut self) {
        let taken = self.queue.taken.swap(0, Ordering::Relaxed);
        self.waiting.drain(..taken.min(self.waiting.len()));
    }

    /// When it has to be told that jobs wait, if any does.
    fn overdue_at(&mut self) -> Option<Instant> {
        self.forget_taken();
        let due = *self.waiting.front()? + JOB_WAIT;
        Some(self.told.map_or(due, |told| due.max(told + LOG_PERIOD)))
    }

    fn tell(&mut self, now: Instant) -> Waiting {
        self.told = Some(now);
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
    /// Waits for the next job; `None` when the loop is gone.
    fn next(&self) -> Option<(Token, Job)> {
        let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        self.taken.fetch_add(usize::from(next.is_some()), Ordering::Relaxed);
        next
    }
}

/// Wakes the loop, however often that has to be tried: a connection waits for the result, and for nothing else.
fn wake(waker: &Waker, loop_is_there: &Weak<()>) {
    let mut is_told = false;
    while let Err(error) = waker.wake() {
        if loop_is_there.strong_count() == 0 {
            return;
        }
        if !std::mem::replace(&mut is_told, true) {
            log::error!("a worker cannot wake the loop: {error}; it tries again");
        }
        // No event tells when the wake-up can be made; only a worker waits here.
        thread::sleep(ERROR_PAUSE);
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

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = self.lanes.values().map(|lane| (lane.listener, lane.workers(), lane.unfinished));
        f.debug_struct("Offload").field("lanes", &lanes.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
