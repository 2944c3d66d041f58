//! The recorder of a thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Instant, SystemTime};

use super::answer::{Answer, Gives};
use super::record::{Call, NOBODY, Record, What};
use super::recording::Recording;
use super::ring::Ring;
use crate::kernel::Token;
use crate::limits::XRAY_RECORDS_MAX;

thread_local! {
    /// Whether this thread records.
    static ON: Cell<bool> = const { Cell::new(false) };
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// What a thread remembers of its loop.
struct Recorder {
    origin: Instant,
    began: SystemTime,
    /// The time of the last record.
    at: u64,
    /// Whose turn it is.
    who: Token,
    ring: Ring,
}

/// Starts to record what the loop on this thread does, with room for [`XRAY_RECORDS_MAX`] records; what was recorded
/// before is forgotten. Start before [`Reactor::bind`](crate::Reactor::bind) to see the sockets being opened too.
pub fn start() {
    let recorder = Recorder {
        origin: Instant::now(),
        began: SystemTime::now(),
        at: 0,
        who: NOBODY,
        ring: Ring::new(XRAY_RECORDS_MAX),
    };
    RECORDER.set(Some(recorder));
    ON.set(true);
}

/// Stops recording on this thread, and gives the memory back.
pub fn stop() {
    ON.set(false);
    RECORDER.set(None);
}

/// What was recorded on this thread; `None` if nothing is.
#[must_use]
pub fn recording() -> Option<Recording> {
    RECORDER.with_borrow(|recorder| {
        recorder.as_ref().map(|recorder| Recording {
            began: recorder.began,
            records: recorder.ring.records().copied().collect(),
            overwritten: recorder.ring.overwritten(),
            endpoints: Vec::new(),
            connections: Vec::new(),
        })
    })
}

/// Records a system call and its answer, if this thread records, and passes the answer on.
#[inline(always)]
pub(crate) fn answered<T: Gives>(result: io::Result<T>, call: impl FnOnce() -> Call) -> io::Result<T> {
    record(|| What::Call { call: call(), answer: Answer::from(&result) });
    result
}

/// Records what `what` says, if this thread records.
#[inline(always)]
fn record(what: impl FnOnce() -> What) {
    if ON.get() {
        push(what());
    }
}

#[cold]
fn push(what: What) {
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else { return };
        if what.takes_time() {
            recorder.at = recorder.origin.elapsed().as_nanos() as u64;
        }
        recorder.ring.push(Record { at: recorder.at, who: recorder.who, what });
    });
}
