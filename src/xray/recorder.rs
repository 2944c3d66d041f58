//! The recorder of a thread, and the functions by which the loop, the drivers and the kernel record.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::answer::{Answer, ReturnValue};
use super::file::File;
use super::live::{self, Live, Written};
use super::record::{Call, LOOP, Record, What};
use super::recording::{Open, Recording, Served};
use super::ring::Ring;
use super::text;
use super::view::View;
use crate::limits::{XRAY_LAST_RECORDS, XRAY_RECORDS_MAX};
use crate::token::Token;

/// The number of threads that record. A loop that is not recorded only loads this: within a library, access to a
/// thread-local variable costs as much as a function call.
static RECORDERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// The records of one thread's loop.
struct Recorder {
    clock: Clock,
    /// The wall clock at the start of the recording.
    began: SystemTime,
    /// The time of the last record.
    at: u64,
    /// The owner of the next records.
    who: Token,
    /// The number of turns so far.
    turns: u64,
    ring: Ring,
    /// The listeners and UDP sockets that have been opened.
    endpoints: Vec<Served>,
    /// The live view, if there is one.
    live: Option<Live>,
    /// The file that recordings are saved to, if there is one.
    file: Option<File>,
}

/// The source of the time.
enum Clock {
    /// The monotonic clock, in nanoseconds since this reading.
    Real(u64),
    /// The simulation: see [`set_simulated_time`].
    Simulated,
}

impl Recorder {
    fn new(clock: Clock, most: usize) -> Self {
        Self {
            clock,
            began: SystemTime::now(),
            at: 0,
            who: LOOP,
            turns: 0,
            ring: Ring::new(most),
            endpoints: Vec::new(),
            live: None,
            file: None,
        }
    }

    fn look_at_the_clock(&mut self) {
        if let Clock::Real(origin) = self.clock {
            self.at = monotonic().saturating_sub(origin);
        }
    }

    fn push(&mut self, what: What) {
        if what.takes_time() {
            self.look_at_the_clock();
        }
        let record = Record { at: self.at, who: self.who, what };
        self.ring.push(record);
        if let Some(live) = &mut self.live {
            live.push(record);
        }
    }
}

/// Reads the monotonic clock, in nanoseconds (`clock_gettime(2)`). The arithmetic of `Instant` takes longer than
/// reading the clock, and this runs for every system call.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes `recorder` the recorder of this thread, and returns the previous one.
fn install(recorder: Option<Recorder>) -> Option<Recorder> {
    let more = recorder.is_some();
    let before = RECORDER.replace(recorder);
    match (before.is_some(), more) {
        (false, true) => drop(RECORDERS.fetch_add(1, Ordering::Relaxed)),
        (true, false) => drop(RECORDERS.fetch_sub(1, Ordering::Relaxed)),
        _ => {}
    }
    before
}

/// Starts to record the loop on this thread; an earlier recording is discarded. The recorder keeps the last 65,536
/// records. Started before [`Reactor::bind`](crate::Reactor::bind), it also records how the sockets are opened.
pub fn start() {
    install(Some(Recorder::new(Clock::Real(monotonic()), XRAY_RECORDS_MAX)));
}

/// Stops recording on this thread, and frees the memory.
pub fn stop() {
    install(None);
}

/// Records on a simulated clock, which [`set_simulated_time`] moves, until it is dropped. It keeps as many records as
/// [`last`] returns.
pub(crate) struct SimulatedClock {
    /// The recorder that this thread had before.
    before: Option<Recorder>,
}

impl SimulatedClock {
    pub(crate) fn start() -> Self {
        Self { before: install(Some(Recorder::new(Clock::Simulated, XRAY_LAST_RECORDS))) }
    }
}

impl Drop for SimulatedClock {
    fn drop(&mut self) {
        install(self.before.take());
    }
}

/// Writes all further records to `sink`, as text; the loop does not wait for it.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn watch(sink: impl Write + Send + 'static) -> io::Result<Written> {
    let (live, written) = live::to_thread(sink)?;
    with(|recorder| recorder.live = Some(live));
    Ok(written)
}

/// Shows each turn on `output`, and calls `next`, which may wait, before the next turn, until it returns `false`.
pub(crate) fn step(next: impl FnMut() -> bool + 'static, output: impl Write + 'static) {
    with(|recorder| recorder.live = Some(live::step(next, output)));
}

/// Makes [`save`] write to `path`. If the file cannot be written now, a warning is logged; each save tries again.
pub(crate) fn save_to(path: PathBuf, view: View) {
    let file = File::new(path, view);
    with(|recorder| recorder.file = Some(file));
}

/// Sets the time of the records that follow, on a [`SimulatedClock`].
pub(crate) fn set_simulated_time(at: Duration) {
    with(|recorder| recorder.at = nanoseconds(at));
}

/// Adds a listener or a UDP socket to the recording. Returns its number there; without a recording, or if there are too many, one
/// that no listener has.
pub(crate) fn serves(served: impl FnOnce() -> Option<Served>) -> u16 {
    let added = with(|recorder| {
        let number = u16::try_from(recorder.endpoints.len()).ok().filter(|number| *number < u16::MAX)?;
        let served = served()?;
        if let Some(live) = &mut recorder.live {
            live.serves(served.clone());
        }
        recorder.endpoints.push(served);
        Some(number)
    });
    added.flatten().unwrap_or(u16::MAX)
}

/// Returns the recording of this thread, with `connections` as the open ones; `None` if nothing is being recorded.
pub(crate) fn recording(connections: impl FnOnce() -> Vec<Open>) -> Option<Recording> {
    with(|recorder| recorder.recording(connections()))
}

/// Saves the recording to the file, if there is one, with `connections` as the open ones.
pub(crate) fn save(connections: impl FnOnce() -> Vec<Open>) {
    with(|recorder| recorder.save(connections));
}

/// Saves the recording when the loop has ended: returns when the file is written.
pub(crate) fn save_last(connections: impl FnOnce() -> Vec<Open>) {
    with(|recorder| {
        if let Some(mut file) = recorder.file.take() {
            file.write_last(&recorder.recording(connections()));
        }
    });
}

/// Returns the last [`XRAY_LAST_RECORDS`] records as text, only those of `who` if it is given; `None` if nothing is
/// being recorded.
pub(crate) fn last(who: Option<Token>) -> Option<String> {
    with(|recorder| recorder.last(who))
}

/// Calls `use_it` with the recorder of this thread, if it has one.
fn with<R>(use_it: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    if RECORDERS.load(Ordering::Relaxed) == 0 {
        return None;
    }
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().map(use_it))
}

/// Whether this thread records.
pub(crate) fn is_on() -> bool {
    !is_off()
}

/// Whether this thread does not record.
#[inline(always)]
fn is_off() -> bool {
    RECORDERS.load(Ordering::Relaxed) == 0 || is_off_here()
}

/// Whether this thread does not record, while another thread does.
#[cold]
#[inline(never)]
fn is_off_here() -> bool {
    RECORDER.with_borrow(Option::is_none)
}

/// Records `what`. This function and the next three are on the hot path. When recording is off they cost a load and a
/// branch, and the closure is not run. A closure should take its values by `move`: a borrowed value would have to be in
/// memory even when recording is off.
#[inline(always)]
pub(crate) fn record(what: impl FnOnce() -> What) {
    if !is_off() {
        push(what());
    }
}

/// Records `what` about `who`. The following records are about `who` too, until another owner is named.
#[inline(always)]
pub(crate) fn about(who: Token, what: impl FnOnce() -> What) {
    if !is_off() {
        push_about(who, what());
    }
}

/// Makes the next records be about `who`.
#[inline(always)]
pub(crate) fn go_on_about(who: Token) {
    if !is_off() {
        with(|recorder| recorder.who = who);
    }
}

/// Records a system call and its result, and returns the result.
#[inline(always)]
pub(crate) fn answered<T: ReturnValue>(result: io::Result<T>, call: impl FnOnce() -> Call) -> io::Result<T> {
    // Matched and rebuilt, the result can stay in registers.
    match result {
        Ok(given) => {
            if !is_off() {
                push_answer(call(), given.number());
            }
            Ok(given)
        }
        Err(error) => Err(if is_off() { error } else { push_error(call(), error) }),
    }
}

/// Records the beginning of a turn; `what` makes the record from the number of the turn. A live view first gets all
/// records before it.
#[inline(always)]
pub(crate) fn turn(what: impl FnOnce(u64) -> What) {
    if !is_off() {
        push_turn(what);
    }
}

#[cold]
#[inline(never)]
fn push(what: What) {
    with(|recorder| recorder.push(what));
}

#[cold]
#[inline(never)]
fn push_about(who: Token, what: What) {
    with(|recorder| {
        recorder.who = who;
        recorder.push(what);
    });
}

#[cold]
#[inline(never)]
fn push_answer(call: Call, given: i32) {
    push(What::Call { call, answer: Answer::returned(given) });
}

#[cold]
#[inline(never)]
fn push_error(call: Call, error: io::Error) -> io::Error {
    push(What::Call { call, answer: Answer::from(&error) });
    error
}

#[cold]
#[inline(never)]
fn push_turn(what: impl FnOnce(u64) -> What) {
    with(|recorder| {
        recorder.who = LOOP;
        if recorder.live.as_mut().is_some_and(Live::end_turn) {
            // The time that the person took does not count for the next action.
            recorder.look_at_the_clock();
        }
        recorder.turns += 1;
        let what = what(recorder.turns);
        recorder.push(what);
    });
}

impl Recorder {
    fn recording(&self, connections: Vec<Open>) -> Recording {
        Recording {
            began: self.began,
            records: self.ring.records().copied().collect(),
            overwritten: self.ring.overwritten(),
            endpoints: self.endpoints.clone(),
            connections,
        }
    }

    fn save(&mut self, connections: impl FnOnce() -> Vec<Open>) {
        if let Some(mut file) = self.file.take() {
            file.write(|| self.recording(connections()));
            self.file = Some(file);
        }
    }

    fn last(&self, who: Option<Token>) -> String {
        let is_meant = |record: &&Record| who.is_none_or(|who| record.who == who);
        let mut records: Vec<_> = self.ring.records().rev().filter(is_meant).take(XRAY_LAST_RECORDS).copied().collect();
        records.reverse();
        text::lines(&records, &self.endpoints, who.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xray::record::Waits;

    const FIRST: Token = Token { slot: 3, generation: 1 };
    const SECOND: Token = Token { slot: 3, generation: 2 };

    #[test]
    fn while_recording_is_off_the_closure_is_not_run() {
        record(|| What::Reap);
        record(|| panic!("the closure is run"));
        assert_eq!(answered(Ok(7_usize), || Call::Close).expect("the result is passed on"), 7);
        assert!(recording(Vec::new).is_none() && last(None).is_none());
        start();
        record(|| What::Reap);
        stop();
        record(|| panic!("the closure is run"));
        assert!(recording(Vec::new).is_none());
    }

    #[test]
    fn a_record_belongs_to_the_last_named_owner_and_to_this_thread() {
        start();
        about(FIRST, || What::Visit);
        let failed = answered(Err::<usize, _>(io::ErrorKind::WouldBlock.into()), || Call::Read { asked: 1 });
        assert!(failed.is_err(), "the answer is passed on");
        about(SECOND, || What::Visit);
        turn(|number| What::Turn { number, connections: 0, pending: 0, pressed: false });
        let elsewhere = std::thread::spawn(|| recording(Vec::new).is_none()).join();
        assert!(elsewhere.expect("no panic"));
        let recording = recording(Vec::new).expect("a recording");
        let who: Vec<_> = recording.records.iter().map(|record| record.who).collect();
        assert_eq!(who, [FIRST, FIRST, SECOND, LOOP]);
        assert!(matches!(recording.records[3].what, What::Turn { number: 1, .. }));
        assert!(recording.records.is_sorted_by_key(|record| record.at));
        stop();
    }

    #[test]
    fn waiting_for_a_person_ends_when_the_next_turn_begins() {
        const THOUGHT: u64 = 2_000_000;
        start();
        let think = || {
            let begin = monotonic();
            while monotonic() - begin < THOUGHT {}
            true
        };
        step(think, io::sink());
        answered(Ok(0_usize), || Call::Close).expect("the result is passed on");
        turn(|number| What::Turn { number, connections: 0, pending: 0, pressed: false });
        let records = recording(Vec::new).expect("a recording").records;
        assert!(records[1].at - records[0].at >= THOUGHT, "{records:?}");
        stop();
    }

    #[test]
    fn the_last_records_are_those_of_one_connection_if_it_is_named() {
        start();
        about(FIRST, || What::Closed("first"));
        for _ in 0..2 * XRAY_LAST_RECORDS {
            about(SECOND, || What::Closed("second"));
        }
        let of_first = last(Some(FIRST)).expect("it records");
        assert!(of_first.contains("closed: first") && !of_first.contains("second"));
        let of_all = last(None).expect("it records");
        assert_eq!(of_all.matches("closed: second").count(), XRAY_LAST_RECORDS);
        stop();
    }

    #[test]
    fn a_simulated_clock_leaves_the_recording_around_it_alone() {
        start();
        record(|| What::Reap);
        {
            let _clock = SimulatedClock::start();
            set_simulated_time(Duration::from_secs(5));
            record(|| What::Left { status: Waits::Event, pending: 0, deadline: 0 });
            let records = recording(Vec::new).expect("a recording").records;
            assert_eq!(records.iter().map(|record| record.at).collect::<Vec<_>>(), [5_000_000_000]);
        }
        assert!(matches!(recording(Vec::new).expect("a recording").records[..], [Record { what: What::Reap, .. }]));
        stop();
    }
}
