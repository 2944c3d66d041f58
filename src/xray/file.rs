//! An X-ray on its way to a file: written off the loop's thread, and there completely or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::thread::{self, JoinHandle};

use super::recording::Recording;
use super::view::View;

/// The file that recordings are written to, each over the one before.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    view: View,
    /// Who is writing, if anybody is. A thread that only waits for something to write would make every system call of the
    /// loop dearer: the kernel has less to guard where there is one thread.
    writer: Option<JoinHandle<()>>,
}

impl File {
    /// Looks whether it can be written: better now than after a day.
    ///
    /// # Errors
    /// It cannot, or something is there that is no file and would be replaced by one.
    pub(super) fn new(path: PathBuf, view: View) -> io::Result<Self> {
        match fs::symlink_metadata(&path) {
            Ok(there) if !there.is_file() => return Err(io::Error::other("what is there is no regular file")),
            _ => {}
        }
        let temporary = temporary(&path);
        create(&temporary).and_then(|_| fs::remove_file(&temporary))?;
        Ok(Self { path, view, writer: None })
    }

    /// Has a thread write what `recording` gives, unless one is still writing the one before.
    pub(super) fn write(&mut self, recording: impl FnOnce() -> Recording) {
        if self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return log::warn!("the X-ray is not written: the one before is still being written");
        }
        self.wait();
        let (path, view, recording) = (self.path.clone(), self.view, recording());
        let write = move || write(&path, view, &recording);
        match thread::Builder::new().name("xray".to_owned()).spawn(write) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => log::error!("the X-ray is not written: {error}"),
        }
    }

    /// Writes the last one here and now, after the one before.
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

/// Has the file at `path` hold what `write` writes, in one step (`rename(2)`): who reads it meanwhile sees the old one.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = BufWriter::new(create(&temporary)?);
    let result = (|| {
        write(&mut file)?;
        file.flush()?;
        fs::rename(&temporary, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A file that was not there: nothing else is written over or waited for (`open(2)`: `O_EXCL`).
fn create(path: &Path) -> io::Result<fs::File> {
    fs::File::create_new(path)
}

/// What the file of this process is called until it is complete.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", process::id()));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_neither_replaced_nor_written_through() {
        let directory = std::env::temp_dir().join(format!("reactor-xray-{}", process::id()));
        fs::create_dir_all(directory.join("taken.txt")).unwrap();
        assert!(File::new(directory.join("taken.txt"), View::Text).is_err(), "a directory");

        let (path, precious) = (directory.join("x.txt"), directory.join("precious"));
        fs::write(&precious, "still here").unwrap();
        std::os::unix::fs::symlink(&precious, temporary(&path)).unwrap();
        assert!(File::new(path.clone(), View::Text).is_err(), "a link where the new file would be");
        assert!(replace(&path, |file| file.write_all(b"lost")).is_err());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "still here");

        fs::remove_file(temporary(&path)).unwrap();
        replace(&path, |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        fs::remove_dir_all(&directory).unwrap();
    }
}
