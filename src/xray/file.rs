//! An X-ray on its way to a file: written by a thread, and there completely or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use super::Recording;
use super::view::View;

/// Where a recorder sends what is to be written. There is room for one that waits while another one is being written.
pub(super) type Recordings = SyncSender<Recording>;

/// A thread that writes recordings to one file, each over the one before.
#[derive(Debug)]
pub(crate) struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until all is written.
    pub(crate) fn wait(self) {
        if self.0.join().is_err() {
            log::error!("the X-ray was not written: its view panicked");
        }
    }
}

/// A thread that writes what it is given to `path`, until nobody gives it anything any more.
///
/// # Errors
/// It cannot be written to, or there is no thread to be had.
pub(super) fn to_file(path: PathBuf, view: View) -> io::Result<(Recordings, Writer)> {
    // Better now than after a day.
    let temporary = temporary(&path);
    File::create(&temporary).and_then(|_| fs::remove_file(&temporary))?;
    let (sender, recordings) = mpsc::sync_channel::<Recording>(1);
    let write = move || {
        for recording in recordings {
            match replace(&path, |file| view.write(&recording, file)) {
                Ok(()) => log::info!("the X-ray is in {}", path.display()),
                Err(error) => log::error!("cannot write the X-ray to {}: {error}", path.display()),
            }
        }
    };
    let thread = thread::Builder::new().name("xray".to_owned()).spawn(write)?;
    Ok((sender, Writer(thread)))
}

/// Has the file at `path` hold what `write` writes, in one step (`rename(2)`): who reads it meanwhile sees the old one.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path);
    let result = (|| {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.into_inner()?;
        fs::rename(&temporary, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// What a file is called until it is complete.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
