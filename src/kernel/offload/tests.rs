use ::mio::{Events, Poll};

use super::*;

const TOKEN: Token = Token { slot: 1, generation: 2 };

fn offload() -> (Poll, Offload) {
    let poll = Poll::new().expect("a poll");
    let waker = Waker::new(poll.registry(), ::mio::Token(0)).expect("a waker");
    (poll, Offload::new(Arc::new(waker)))
}

/// Waits, by the waker alone, for `count` results.
fn results(poll: &mut Poll, offload: &mut Offload, count: usize) -> Vec<(Token, Result<Outcome, Panicked>)> {
    let mut results = Vec::new();
    let mut events = Events::with_capacity(8);
    while results.len() < count {
        poll.poll(&mut events, None).expect("a working poll");
        results.extend(offload.finished().map(|notice| match notice {
            Notice::Done(token, result) => (token, result),
            other => panic!("not a result: {other:?}"),
        }));
    }
    results
}

fn token(slot: u32) -> Token {
    Token { slot, generation: 0 }
}

/// A job of the listener with this index.
fn of<T: Send + 'static>(listener: u16, work: impl FnOnce() -> T + Send + 'static) -> Job {
    let mut job = Job::new(work);
    job.listener = listener;
    job
}

/// Submits one job for each worker of a listener; they wait until the returned sender is dropped.
fn block_all_workers(offload: &mut Offload, listener: u16) -> mpsc::Sender<()> {
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (begun, begins) = mpsc::channel();
    for _ in 0..offload.workers_max {
        let (blocked, begun) = (Arc::clone(&blocked), begun.clone());
        let wait = move || {
            let _ = begun.send(());
            let _ = blocked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        };
        offload.submit(TOKEN, of(listener, wait)).expect("room");
    }
    for _ in 0..offload.workers_max {
        begins.recv().expect("a worker for each");
    }
    release
}

#[test]
fn no_result_goes_missing_among_many() {
    let (mut poll, mut offload) = offload();
    for number in 0..1000_u32 {
        offload.submit(token(number), of((number % 3) as u16, move || number * 2)).expect("room");
    }
    let mut results = results(&mut poll, &mut offload, 1000);
    results.sort_by_key(|(token, _)| token.slot);
    for (number, (token, result)) in (0..).zip(results) {
        assert_eq!(token.slot, number);
        assert_eq!(result.expect("no panic").downcast::<u32>().expect("a number"), number * 2);
    }
    assert!(offload.lanes.values().all(|lane| lane.unfinished == 0));
}

#[test]
fn a_panic_is_the_result_of_its_job_and_the_worker_goes_on() {
    let (mut poll, mut offload) = offload();
    for _ in 0..2 * WORKERS {
        offload.submit(TOKEN, Job::new(|| std::panic::resume_unwind(Box::new("on purpose")))).expect("room");
    }
    let panicked = results(&mut poll, &mut offload, 2 * WORKERS);
    assert!(panicked.iter().all(|(_, result)| matches!(result, Err(panicked) if panicked.detail() == ": on purpose")));
    offload.submit(TOKEN, Job::new(|| 7)).expect("room");
    let [(_, result)] = &mut results(&mut poll, &mut offload, 1)[..] else { panic!("one result") };
    assert!(result.is_ok());
}

#[test]
fn a_slow_job_does_not_delay_the_next_one() {
    let (mut poll, mut offload) = offload();
    let (release, blocked) = mpsc::channel::<()>();
    offload.submit(token(0), Job::new(move || blocked.recv())).expect("room");
    offload.submit(token(1), Job::new(|| ())).expect("room");
    assert_eq!(results(&mut poll, &mut offload, 1)[0].0.slot, 1);
    release.send(()).expect("the first job still waits");
    assert_eq!(results(&mut poll, &mut offload, 1)[0].0.slot, 0);
}

#[test]
fn blocked_jobs_of_one_listener_do_not_delay_another() {
    let (mut poll, mut offload) = offload();
    let release = block_all_workers(&mut offload, 0);
    offload.submit(token(7), of(1, || ())).expect("room");
    assert_eq!(results(&mut poll, &mut offload, 1)[0].0, token(7));
    drop(release);
    results(&mut poll, &mut offload, WORKERS);
}

#[test]
fn the_workers_of_a_listener_are_limited() {
    let (mut poll, mut offload) = offload();
    offload.limit_workers(2);
    let release = block_all_workers(&mut offload, 0);
    for number in 0..10 {
        offload.submit(token(number), Job::new(|| ())).expect("room");
    }
    assert_eq!(offload.lanes[&0].workers(), 2);
    drop(release);
    results(&mut poll, &mut offload, 2 + 10);
}

#[test]
fn a_job_that_waits_for_long_is_reported_once_in_a_period() {
    let (mut poll, mut offload) = offload();
    let mut notices = Vec::new();
    assert_eq!(offload.look_after_waiting(&mut notices), None);
    let release = block_all_workers(&mut offload, 3);
    assert_eq!(offload.look_after_waiting(&mut notices), None, "all have been taken");
    offload.submit(TOKEN, of(3, || ())).expect("room");
    let left = offload.look_after_waiting(&mut notices).expect("a time to look again");
    assert!(left <= JOB_WAIT && notices.is_empty(), "{left:?} {notices:?}");

    let lane = offload.lanes.get_mut(&3).expect("it has jobs");
    lane.waiting[0] -= JOB_WAIT;
    for _ in 0..10 {
        let left = offload.look_after_waiting(&mut notices).expect("a time to look again");
        assert!(left <= LOG_PERIOD && left > JOB_WAIT, "{left:?}");
    }
    let [Notice::Waiting(noticed)] = notices[..] else { panic!("{notices:?}") };
    assert_eq!((noticed.listener, noticed.jobs, noticed.workers), (3, 1, WORKERS));
    assert!(noticed.since >= JOB_WAIT);
    drop(release);
    results(&mut poll, &mut offload, WORKERS + 1);
    assert_eq!(offload.look_after_waiting(&mut notices), None);
}

#[test]
fn a_worker_that_has_ended_is_replaced() {
    let (mut poll, mut offload) = offload();
    let release = block_all_workers(&mut offload, 0);
    drop(release);
    results(&mut poll, &mut offload, WORKERS);
    let lane = offload.lanes.get_mut(&0).expect("it has jobs");
    // All workers end because their queue is closed; the lane gets another queue.
    let (jobs, receiver) = mpsc::channel();
    lane.jobs = jobs;
    while lane.workers() > 0 {
        thread::yield_now();
    }
    lane.queue = Arc::new(Queue { jobs: Mutex::new(receiver), taken: AtomicUsize::new(0) });
    offload.submit(TOKEN, Job::new(|| ())).expect("room");
    assert_eq!(results(&mut poll, &mut offload, 1).len(), 1);
}

#[test]
fn the_queue_is_bounded_and_refuses_further_jobs() {
    let (_poll, mut offload) = offload();
    let mut lane = Lane::new(0);
    lane.unfinished = JOBS_MAX;
    offload.lanes.insert(0, lane);
    assert!(matches!(offload.submit(TOKEN, Job::new(|| ())), Err(NoWorker::QueueFull)));
    assert!(offload.submit(TOKEN, of(1, || ())).is_ok());
}
