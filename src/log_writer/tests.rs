use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::limits;

mod files;

/// Waits for a change that has no event; fails if it does not come.
#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        thread::yield_now();
    }
}

/// Renders a sentence as a line of text.
fn plain(_: Level, text: &str) -> String {
    format!("{text}\n")
}

/// A sink that reports when a write begins, and waits for the result of the write.
struct Gate {
    begun: mpsc::Sender<Vec<u8>>,
    go: mpsc::Receiver<io::Result<()>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.send(bytes.to_vec());
        match self.go.recv() {
            Ok(result) => result.map(|()| bytes.len()),
            Err(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Gate {
    fn has_room(&self, _: Duration) -> bool {
        true
    }

    fn file_bytes(&self) -> Option<u64> {
        None
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated() -> (LogWriter, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
    let (begun, writes) = mpsc::channel();
    let (open, go) = mpsc::channel();
    (LogWriter::new(Gate { begun, go }, plain), writes, open)
}

#[test]
fn a_stuck_sink_never_blocks_the_caller_and_dropped_lines_are_counted() {
    let (mut writer, writes, open) = gated();
    writer.write_all(b"first\n").unwrap();
    assert_eq!(writes.recv().unwrap(), b"first\n");

    let line = [b'x'; 1024];
    let fitting = LOG_QUEUE_BYTES_MAX / line.len();
    for _ in 0..fitting + 7 {
        writer.write_all(&line).unwrap();
    }
    open.send(Ok(())).unwrap();
    let second = writes.recv().unwrap();
    assert_eq!(second.len(), LOG_QUEUE_BYTES_MAX + b"7 log lines dropped\n".len());
    assert!(second.ends_with(b"x7 log lines dropped\n"));
    assert_eq!(writer.lost_lines(), 7);

    drop(open);
    writer.write_all(b"last\n").unwrap();
    assert_eq!(writes.recv().unwrap(), b"last\n");
}

#[test]
fn draining_waits_for_queued_lines_and_gives_up_on_a_stuck_sink() {
    let (mut writer, writes, open) = gated();
    writer.write_all(b"line\n").unwrap();
    writes.recv().unwrap();
    let start = Instant::now();
    writer.drain();
    assert!(start.elapsed() >= LOG_FLUSH);

    drop(open);
    writer.write_all(b"more\n").unwrap();
    writer.drain();
    assert!(writer.shared.lock().is_drained());
}

#[test]
fn a_log_at_rest_has_no_thread_and_the_next_line_starts_one() {
    let (mut writer, writes, open) = gated();
    drop(open);
    for line in [b"one\n", b"two\n"] {
        writer.write_all(line).unwrap();
        assert_eq!(writes.recv().unwrap(), line);
        // The thread holds the sink for as long as it lives.
        drop(writer.shared.output.lock().unwrap());
        assert!(!writer.shared.lock().has_thread);
    }
}

#[test]
fn the_writer_survives_an_error_of_its_sink_and_counts_lost_lines() {
    let (mut writer, writes, open) = gated();
    let mut lost = 0;
    for (kind, lines) in [(io::ErrorKind::StorageFull, "one\n"), (io::ErrorKind::BrokenPipe, "one\ntwo\n")] {
        writer.write_all(lines.as_bytes()).unwrap();
        assert!(writes.recv().unwrap().ends_with(lines.as_bytes()));
        open.send(Err(kind.into())).unwrap();
        writer.drain_but_not_again();
        lost += lines.lines().count();
        let said = format!("{lost} log lines lost: {}\n", io::Error::from(kind));
        writer.write_all(b"lost\n").unwrap();
        assert_eq!(String::from_utf8(writes.recv().unwrap()).unwrap(), said + "lost\n");
        open.send(Err(kind.into())).unwrap();
        writer.drain_but_not_again();
        lost += 1;
    }
    let kind = io::ErrorKind::BrokenPipe;
    open.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
    open.send(Ok(())).unwrap();
    writer.write_all(b"again\n").unwrap();
    let said = format!("{lost} log lines lost: {}\nagain\n", io::Error::from(kind));
    assert_eq!([writes.recv().unwrap(), writes.recv().unwrap()], [said.as_bytes(), said.as_bytes()]);
    drop(open);
    writer.write_all(b"all is well\n").unwrap();
    assert_eq!(writes.recv().unwrap(), b"all is well\n");
    assert_eq!(writer.lost_lines(), lost as u64);
}

impl LogWriter {
    /// Waits until the thread has written what there is.
    fn drain_but_not_again(&self) {
        wait_until(|| self.shared.lock().is_drained());
    }
}

/// A sink that takes a few bytes at a time, if it has room.
struct Narrow(mpsc::Sender<Vec<u8>>, bool);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = &bytes[..bytes.len().min(7)];
        self.0.send(some.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Narrow {
    fn has_room(&self, _: Duration) -> bool {
        self.1
    }

    fn file_bytes(&self) -> Option<u64> {
        None
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose lines wait, as when no thread can be started.
fn without_thread(sink: impl Sink + 'static, lines: &str) -> LogWriter {
    let writer = LogWriter::new(sink, plain);
    writer.shared.lock().lines = lines.into();
    writer
}

#[test]
fn without_a_thread_the_end_writes_the_last_lines() {
    let (begun, writes) = mpsc::channel();
    let lines = "one line\n".repeat(limits::LOG_CHUNK_BYTES_MAX) + "the last line\n";
    let writer = without_thread(Narrow(begun, true), &lines);
    writer.shared.lock().dropped_lines = 3;
    writer.drain();
    assert!(writer.shared.lock().is_drained());
    let written = writes.try_iter().collect::<Vec<_>>().concat();
    assert_eq!(String::from_utf8(written).unwrap(), lines + "3 log lines dropped\n");
}

#[test]
fn without_a_thread_a_stuck_sink_delays_nothing_and_loses_nothing() {
    let (begun, writes) = mpsc::channel();
    let writer = without_thread(Narrow(begun, false), "stuck\n");
    writer.drain();
    writer.shared.write_without_thread(Instant::now());
    assert!(writes.try_recv().is_err());
    assert_eq!(writer.shared.lock().lines, b"stuck\n");
}
