//! Watching a loop as it happens: its records go to a thread that writes them down, or the loop itself stops after each
//! turn and shows it.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::mem;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;

use super::record::Record;
use super::recording::Served;
use super::text::Text;
use crate::limits::{LOG_FLUSH, XRAY_BATCH_RECORDS_MAX, XRAY_BATCHES_MAX};
use crate::log_writer::write_out;

/// What has not been shown yet, and to whom it goes.
#[derive(Debug)]
pub(super) struct Live {
    batch: Batch,
    watcher: Watcher,
}

/// Some records.
#[derive(Debug, Default)]
struct Batch {
    /// Sockets that they may be the first to name.
    served: Vec<Served>,
    /// How many are missing before them.
    lost: u64,
    records: Vec<Record>,
}

#[derive(Debug)]
enum Watcher {
    /// A thread that writes them down. The loop does not wait for it: what does not fit the channel is lost.
    Thread(SyncSender<Batch>),
    /// Somebody who wants to see each turn before the next one.
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

    /// A turn is over.
    pub(super) fn end_turn(&mut self) {
        self.hand_over();
        if let Watcher::Step(step) = &mut self.watcher {
            step.wait();
        }
    }

    fn hand_over(&mut self) {
        let batch = mem::take(&mut self.batch);
        match &mut self.watcher {
            Watcher::Step(step) => step.show(&batch),
            Watcher::Thread(thread) => {
                if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = thread.try_send(batch) {
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
    }
}

impl Batch {
    fn write(&self, text: &mut Text, to: &mut dyn Write) -> io::Result<()> {
        if self.lost > 0 {
            writeln!(to, "… {} records lost", self.lost)?;
        }
        self.served.iter().try_for_each(|served| text.serves(served, to))?;
        self.records.iter().try_for_each(|record| text.record(record, to))
    }
}

/// The end of a thread that writes.
#[derive(Debug)]
pub(crate) struct Written(Receiver<()>);

impl Written {
    /// Waits until everything is written, but no longer than a slow sink is worth.
    pub(crate) fn wait(self) {
        let _ = self.0.recv_timeout(LOG_FLUSH);
    }
}

/// A thread that writes down what it is given until nobody gives it anything any more.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn to_thread(mut sink: impl Write + Send + 'static) -> io::Result<(Live, Written)> {
    let (sender, batches) = mpsc::sync_channel::<Batch>(XRAY_BATCHES_MAX);
    let (alive, end) = mpsc::channel();
    let write = move || {
        let _alive: mpsc::Sender<()> = alive;
        let (mut text, mut lines) = (Text::default(), Vec::new());
        for batch in batches {
            // Nothing that is written to memory can fail.
            let _ = batch.write(&mut text, &mut lines);
            write_out(&mut sink, &lines);
            lines.clear();
        }
    };
    thread::Builder::new().name("xray".to_owned()).spawn(write)?;
    Ok((Live { batch: Batch::default(), watcher: Watcher::Thread(sender) }, Written(end)))
}

/// Shows each turn on `output`, and waits for a line of `input` before the next one.
pub(super) fn step(input: impl BufRead + 'static, output: impl Write + 'static) -> Live {
    let step = Step { input: Some(Box::new(input)), output: Box::new(output), text: Text::default() };
    Live { batch: Batch::default(), watcher: Watcher::Step(Box::new(step)) }
}

struct Step {
    /// `None` once it has ended: the loop goes on without stopping.
    input: Option<Box<dyn BufRead>>,
    output: Box<dyn Write>,
    text: Text,
}

impl Step {
    fn show(&mut self, batch: &Batch) {
        // Whoever cannot be shown anything can still press Enter.
        let _ = batch.write(&mut self.text, &mut *self.output);
    }

    fn wait(&mut self) {
        let Some(input) = &mut self.input else { return };
        let _ = self.output.write_all(b"-- Enter for the next turn").and_then(|()| self.output.flush());
        if !input.read_until(b'\n', &mut Vec::new()).is_ok_and(|count| count > 0) {
            self.input = None;
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("text", &self.text).finish_non_exhaustive()
    }
}
