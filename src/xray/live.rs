//! Live views of a loop: a thread writes the records while the loop runs, or the loop stops after each turn and shows
//! it.

use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;

use super::record::Record;
use super::recording::Served;
use super::text::Text;
use crate::amounts::Count;
use crate::limits::{LOG_FLUSH, XRAY_BATCH_RECORDS_MAX, XRAY_BATCHES_MAX};
use crate::log_writer::write_out;

/// The records that have not been shown yet, and the watcher that gets them.
#[derive(Debug)]
pub(super) struct Live {
    /// The records of the current turn.
    batch: Batch,
    /// The recipient of the records.
    watcher: Watcher,
}

/// Records that go to the watcher together.
#[derive(Debug, Default)]
struct Batch {
    /// Listeners and UDP sockets that have been opened since the last batch.
    served: Vec<Served>,
    /// The number of records that were lost before these.
    lost: u64,
    /// The records, in order.
    records: Vec<Record>,
}

/// The recipient of a live view.
#[derive(Debug)]
enum Watcher {
    /// A thread writes the records. The loop does not wait for it: a batch that does not fit the channel is lost and
    /// counted.
    Thread {
        /// The bounded channel to the thread.
        batches: SyncSender<Batch>,
        /// The number of records that were lost after the last batch.
        lost_at_the_end: Arc<AtomicU64>,
    },
    /// A person who looks at each turn before the next one begins.
    Step(Box<Step>),
}

impl Live {
    pub(super) fn push(&mut self, record: Record) {
        self.batch.records.push(record);
        if self.batch.records.len() == XRAY_BATCH_RECORDS_MAX {
            self.hand_over();
        }
    }

    pub(super) fn serves(&mut self, served: Served) {
        self.batch.served.push(served);
    }

    /// Ends a turn. Returns whether the loop waited for a person.
    pub(super) fn end_turn(&mut self) -> bool {
        self.hand_over();
        match &mut self.watcher {
            Watcher::Step(step) => step.wait(),
            Watcher::Thread { .. } => false,
        }
    }

    fn hand_over(&mut self) {
        let batch = mem::take(&mut self.batch);
        match &mut self.watcher {
            Watcher::Step(step) => step.show(&batch),
            Watcher::Thread { batches, .. } => {
                if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = batches.try_send(batch) {
                    self.batch.lost = batch.lost + batch.records.len() as u64;
                    self.batch.served = batch.served;
                }
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.hand_over();
        if let Watcher::Thread { lost_at_the_end, .. } = &self.watcher {
            lost_at_the_end.store(self.batch.lost, Ordering::Release);
        }
    }
}

impl Batch {
    fn write(&self, text: &mut Text, to: &mut dyn Write) -> io::Result<()> {
        if self.lost > 0 {
            writeln!(to, "… {} lost", Count(self.lost, "record"))?;
        }
        self.served.iter().try_for_each(|served| text.serves(served, to))?;
        self.records.iter().try_for_each(|record| text.record(record, to))
    }
}

/// Reports the end of the writing thread.
#[derive(Debug)]
pub(crate) struct Written(Receiver<()>);

impl Written {
    /// Waits until everything is written, but at most [`LOG_FLUSH`].
    pub(crate) fn wait(self) {
        let _ = self.0.recv_timeout(LOG_FLUSH);
    }
}

/// Starts a thread that writes the records to `sink` until the returned [`Live`] is dropped.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn to_thread(mut sink: impl Write + Send + 'static) -> io::Result<(Live, Written)> {
    let (sender, batches) = mpsc::sync_channel::<Batch>(XRAY_BATCHES_MAX);
    let lost_at_the_end = Arc::new(AtomicU64::new(0));
    let lost = Arc::clone(&lost_at_the_end);
    let (alive, end) = mpsc::channel();
    let write = move || {
        let _alive: mpsc::Sender<()> = alive;
        let (mut text, mut lines) = (Text::default(), Vec::new());
        let the_end = iter::once_with(|| Batch { lost: lost.load(Ordering::Acquire), ..Batch::default() });
        for batch in batches.into_iter().chain(the_end) {
            // Writing to memory cannot fail.
            let _ = batch.write(&mut text, &mut lines);
            write_out(&mut sink, &lines);
            lines.clear();
        }
    };
    thread::Builder::new().name("xray".to_owned()).spawn(write)?;
    let watcher = Watcher::Thread { batches: sender, lost_at_the_end };
    Ok((Live { batch: Batch::default(), watcher }, Written(end)))
}

/// Shows each turn on `output`, and calls `next`, which may wait, before the next turn, until it returns `false`.
pub(super) fn step(next: impl FnMut() -> bool + 'static, output: impl Write + 'static) -> Live {
    let step = Step { next: Some(Box::new(next)), output: Box::new(output), text: Text::default() };
    Live { batch: Batch::default(), watcher: Watcher::Step(Box::new(step)) }
}

struct Step {
    /// `None` once it has returned `false`: the loop then runs without stopping.
    next: Option<Box<dyn FnMut() -> bool>>,
    /// The terminal.
    output: Box<dyn Write>,
    /// The state of the text view.
    text: Text,
}

impl Step {
    fn show(&mut self, batch: &Batch) {
        let mut lines = Vec::new();
        // Writing to memory cannot fail. If `output` fails, Enter still works.
        let _ = batch.write(&mut self.text, &mut lines);
        write_out(&mut *self.output, &lines);
    }

    /// Waits for `next`. Returns whether it did.
    fn wait(&mut self) -> bool {
        let Some(next) = &mut self.next else { return false };
        write_out(&mut *self.output, b"-- Enter for the next turn");
        if !next() {
            self.next = None;
        }
        true
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("text", &self.text).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::xray::record::{LOOP, What};

    fn record(at: u64) -> Record {
        Record { at, who: LOOP, what: What::Reap }
    }

    /// Writes to a channel; each write waits for `go`.
    struct Gate {
        go: Receiver<()>,
        lines: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.go.recv();
            let _ = self.lines.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_sink_never_blocks_the_loop_and_lost_records_are_counted() {
        let (open, go) = mpsc::channel();
        let (lines, written) = mpsc::channel();
        let (mut live, end) = to_thread(Gate { go, lines }).expect("a thread");
        let batches = 2 * XRAY_BATCHES_MAX;
        for at in 0..batches * XRAY_BATCH_RECORDS_MAX {
            live.push(record(at as u64));
        }
        drop(live);
        drop(open);
        let text = String::from_utf8(written.into_iter().flatten().collect()).expect("text");
        end.wait();
        let losses = text.lines().filter_map(|line| line.strip_prefix("… ")?.strip_suffix(" lost")?.split_once(' '));
        let lost: usize = losses.map(|(count, _)| count.parse::<usize>().expect("a number")).sum();
        let shown = text.lines().filter(|line| line.contains("reap")).count();
        assert!(lost >= (batches - XRAY_BATCHES_MAX - 2) * XRAY_BATCH_RECORDS_MAX, "{lost}");
        assert_eq!(lost + shown, batches * XRAY_BATCH_RECORDS_MAX);
    }

    /// A sink whose contents a test reads while it is written to.
    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_turn_is_shown_and_waits_for_a_line_until_there_are_no_more() {
        let page = Page::default();
        let mut answers = [true, true, false].into_iter();
        let mut live = step(move || answers.next().expect("asked once more"), page.clone());
        for (prompts, waits) in [(1, true), (2, true), (3, true), (3, false), (3, false)] {
            live.push(record(0));
            assert_eq!(live.end_turn(), waits);
            let text = String::from_utf8(page.0.borrow().clone()).expect("text");
            assert_eq!(text.matches("Enter").count(), prompts);
        }
        assert_eq!(page.0.borrow().windows(4).filter(|word| word == b"reap").count(), 5);
    }
}
