//! Writes an X-ray to a file: on a thread of its own, and completely or not at all.

mod part;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use self::part::Part;
use super::recording::Recording;
use super::view::View;

/// The file that recordings are written to; each replaces the previous one.
#[derive(Debug)]
pub(super) struct File {
    /// The path of the file.
    path: PathBuf,
    /// The form of the file.
    view: View,
    /// The thread that is writing, if any. It ends after each file: a second thread would make every system call of the
    /// loop slower, because the kernel must count references to descriptors as soon as a process has two threads.
    writer: Option<JoinHandle<()>>,
}

impl File {
    /// Warns if the file cannot be written now, because a warning at the start is better than after a day, and removes
    /// unfinished files that another process left beside it. Each write tries again.
    pub(super) fn new(path: PathBuf, view: View) -> Self {
        part::sweep(&path);
        if let Err(error) = is_free(&path).and_then(|()| Part::create(&path)) {
            log::warn!("the X-ray cannot be written to {}: {error}", path.display());
        }
        Self { path, view, writer: None }
    }

    /// Starts a thread that writes `recording`, unless the previous thread is still writing.
    pub(super) fn write(&mut self, recording: impl FnOnce() -> Recording) {
        if self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return log::warn!("the X-ray is not written: the previous one is still being written");
        }
        self.wait();
        let (path, view, recording) = (self.path.clone(), self.view, recording());
        let write = move || write(&path, view, &recording);
        match thread::Builder::new().name("xray".to_owned()).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => log::error!("the X-ray is not written: {error}"),
        }
    }

    /// Writes the last recording on this thread, after the previous write has ended.
    pub(super) fn write_last(&mut self, recording: &Recording) {
        self.wait();
        write(&self.path, self.view, recording);
    }

    fn wait(&mut self) {
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            log::error!("the X-ray was not written: its view panicked");
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.wait();
    }
}

fn write(path: &Path, view: View, recording: &Recording) {
    match replace(path, |file| view.write(recording, file)) {
        Ok(()) => log::info!("the X-ray is in {}", path.display()),
        Err(error) => log::error!("cannot write the X-ray to {}: {error}", path.display()),
    }
}

/// Replaces the file at `path` by the output of `write`, in one step (`rename(2)`): until then a reader sees the old
/// file.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    is_free(path)?;
    let mut part = Part::create(path)?;
    let mut file = BufWriter::new(part.file());
    write(&mut file)?;
    file.flush()?;
    drop(file);
    part.rename_to(path)
}

/// Returns an error if `path` exists and is not a regular file: the new file would replace it.
fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::other("not a regular file")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_or_directory_is_neither_replaced_nor_written_through() {
        let directory = std::env::temp_dir().join(format!("reactor-xray-{}", std::process::id()));
        fs::create_dir_all(directory.join("taken.txt")).unwrap();
        let (path, precious) = (directory.join("x.txt"), directory.join("precious"));
        fs::write(&precious, "still here").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        for path in [directory.join("taken.txt"), path.clone()] {
            let error = replace(&path, |file| file.write_all(b"lost")).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "still here");

        fs::remove_file(&path).unwrap();
        replace(&path, |file| file.write_all(b"whole")).unwrap();
        replace(&path, |_| Err(io::Error::other("a view that fails"))).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3, "and nothing unfinished");
        fs::remove_dir_all(&directory).unwrap();
    }
}
