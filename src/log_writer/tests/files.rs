//! The log in a file: lines are whole, in order, and counted, whatever the disk does and wherever the file is moved.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// A directory that is removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("reactor-log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn written(writer: &mut LogWriter, line: &str) {
    writer.write_all(line.as_bytes()).unwrap();
    writer.drain_but_not_again();
}

#[test]
fn a_new_file_has_its_mode_and_an_old_one_keeps_its_own() {
    let scratch = Scratch::new();
    let mode = |name: &str| fs::metadata(scratch.at(name)).unwrap().mode() & 0o7777;
    for wanted in [0o600, 0o666] {
        let name = format!("{wanted:o}.log");
        written(&mut LogWriter::to_file(&scratch.at(&name), wanted, plain).unwrap(), "one\n");
        written(&mut LogWriter::to_file(&scratch.at(&name), 0o640, plain).unwrap(), "two\n");
        assert_eq!((mode(&name), scratch.text(&name).as_str()), (wanted, "one\ntwo\n"));
    }
    symlink(scratch.at("elsewhere.log"), scratch.at("link.log")).unwrap();
    written(&mut LogWriter::to_file(&scratch.at("link.log"), 0o600, plain).unwrap(), "linked\n");
    assert_eq!((mode("elsewhere.log"), scratch.text("elsewhere.log").as_str()), (0o600, "linked\n"));
}

#[test]
fn what_cannot_be_appended_to_is_an_error_and_does_not_block() {
    let scratch = Scratch::new();
    assert!(std::process::Command::new("mkfifo").arg(scratch.at("fifo")).status().unwrap().success());
    for name in ["fifo", "", "no/such.log"] {
        assert!(LogWriter::to_file(&scratch.at(name), 0o640, plain).is_err(), "{name}");
    }
}

#[test]
fn lines_go_to_the_end_of_a_file_that_was_emptied() {
    let scratch = Scratch::new();
    let mut writer = LogWriter::to_file(&scratch.at("a.log"), 0o640, plain).unwrap();
    written(&mut writer, "before\n");
    fs::write(scratch.at("a.log"), "").unwrap();
    written(&mut writer, "after\n");
    assert_eq!(scratch.text("a.log"), "after\n");
}

#[test]
fn renaming_and_opening_again_under_load_loses_no_line_and_breaks_none() {
    const WRITERS: usize = 3;
    const LINES: usize = 4_000;
    let scratch = Scratch::new();
    let writer = LogWriter::to_file(&scratch.at("a.log"), 0o640, plain).unwrap();
    let threads: Vec<_> = (0..WRITERS)
        .map(|number| {
            let mut writer = writer.clone();
            thread::spawn(move || {
                for line in 0..LINES {
                    writer.write_all(format!("{number} {line} {}\n", "x".repeat(line % 60)).as_bytes()).unwrap();
                    wait_until(|| writer.shared.lock().lines.len() < LOG_QUEUE_BYTES_MAX / 2);
                }
            })
        })
        .collect();
    let mut names = vec!["a.log".to_owned()];
    while names.len() < 20 || !threads.iter().all(thread::JoinHandle::is_finished) {
        let name = format!("{}.log", names.len());
        fs::rename(scratch.at("a.log"), scratch.at(&name)).unwrap();
        names.push(name);
        writer.reopen();
        wait_until(|| scratch.at("a.log").exists());
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    writer.drain_but_not_again();
    let text: String = names.iter().map(|name| scratch.text(name)).collect();
    let expected: BTreeSet<_> = (0..WRITERS)
        .flat_map(|number| (0..LINES).map(move |line| format!("{number} {line} {}", "x".repeat(line % 60))))
        .collect();
    assert_eq!(text.lines().count(), WRITERS * LINES);
    assert!(text.lines().map(str::to_owned).collect::<BTreeSet<_>>() == expected);
}

#[test]
fn a_file_that_cannot_be_opened_again_goes_on_and_says_so() {
    let scratch = Scratch::new();
    let mut writer = LogWriter::to_file(&scratch.at("a.log"), 0o640, plain).unwrap();
    fs::rename(scratch.at("a.log"), scratch.at("old.log")).unwrap();
    fs::create_dir(scratch.at("a.log")).unwrap();
    writer.reopen();
    written(&mut writer, "later\n");
    let said = "cannot open the log file again, so the log goes on in the old one: ";
    let text = scratch.text("old.log");
    assert!(text.starts_with(said) && text.ends_with("\nlater\n"), "{text}");
    fs::remove_dir(scratch.at("a.log")).unwrap();
    writer.serve_process();
    reopen();
    written(&mut writer, "in the new one\n");
    assert_eq!(scratch.text("a.log"), "in the new one\n");
}

/// What a [`Disk`] has taken, and the room that is left.
#[derive(Default)]
struct State {
    text: Vec<u8>,
    room: usize,
}

/// A file on a disk that fills up: it takes a part of a write if the rest has no room (`write(2)`).
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.state().text.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let count = bytes.len().min(state.room);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.room -= count;
        state.text.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn has_room(&self, _: Duration) -> bool {
        true
    }

    fn file_bytes(&self) -> Option<u64> {
        Some(self.state().text.len() as u64)
    }

    /// As after a rename on a full disk: the new file is empty, and there is no room for it either.
    fn reopen(&mut self) -> io::Result<()> {
        self.state().text.clear();
        Ok(())
    }
}

/// Returns the numbers of lines that the lines of `text` report as lost, and how many other lines there are; all are whole.
fn accounted(text: &str) -> (usize, usize) {
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let (mut lost, mut lines) = (0, 0);
    for line in text.lines() {
        match line.split_once(" log lines lost: ") {
            Some((count, _)) => lost += count.parse::<usize>().unwrap(),
            None => lines += usize::from(line == "a line of a log" || panic!("{line:?}")),
        }
    }
    (lost, lines)
}

#[test]
fn wherever_the_disk_is_full_lines_are_whole_and_lost_ones_are_counted() {
    const LINE: &str = "a line of a log\n";
    for without_thread in [false, true] {
        for (room, more) in (0..80).flat_map(|room| [0, 1, 5, 16, 40, 60, 90].map(|more| (room, more))) {
            let disk = Disk::default();
            let counted = Arc::default();
            let mut output = Output::new(Box::new(disk.clone()), plain, Arc::clone(&counted));
            let mut write = |lines: &str| match without_thread {
                false => output.write(lines.into()),
                true => output.write_chunks(lines.into(), Instant::now()),
            };
            let mut written = 0;
            for more in [room, more, more, 1 << 20] {
                disk.state().room += more;
                assert!(write(&LINE.repeat(3)).is_empty());
                written += 3;
            }
            let (lost, lines) = accounted(&disk.text());
            assert_eq!(lost + lines, written, "{room}, {more}: {}", disk.text());
            assert_eq!(counted.load(Ordering::Relaxed), lost as u64, "{room}, {more}: {}", disk.text());
            assert!(write(LINE).is_empty() && disk.text().ends_with(&LINE.repeat(2)));
        }
    }
}

#[test]
fn a_line_whose_beginning_is_gone_is_not_completed_but_counted() {
    let (disk, line) = (Disk::default(), "a line of a log\n");
    for reopens in [false, true] {
        let counted = Arc::default();
        let mut output = Output::new(Box::new(disk.clone()), plain, Arc::clone(&counted));
        disk.state().room = 20;
        output.write(line.repeat(2).into());
        assert_eq!(disk.text(), "a line of a log\na li");
        match reopens {
            true => output.reopen(),
            false => disk.state().text.clear(),
        }
        disk.state().room = 1 << 20;
        output.write(line.into());
        assert_eq!((accounted(&disk.text()), counted.load(Ordering::Relaxed)), ((1, 1), 1));
        disk.state().text.clear();
    }
}

#[test]
fn the_end_says_how_many_lines_were_lost_even_if_no_line_follows() {
    let disk = Disk::default();
    let mut writer = LogWriter::new(disk.clone(), plain);
    written(&mut writer, "a line of a log\n");
    disk.state().room = 1 << 20;
    writer.drain();
    assert_eq!(accounted(&disk.text()), (1, 0));
}
