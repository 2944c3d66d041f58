//! A disk that fails, fills up and loses power by chance: [`MemoryDisk`] with weather.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::chaos::{Chaos, Rate};
use super::random::Random;
use crate::kernel::{Directory, Disk, Draft, Existing};
use crate::testing::{Links, MemoryDisk};

/// The disk of a simulated server. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub(super) struct StormyDisk {
    pub(super) memory: MemoryDisk,
    weather: Arc<Mutex<Weather>>,
}

#[derive(Debug)]
struct Weather {
    random: Random,
    errors: Rate,
    panics: Rate,
    /// A job is running, and faults may strike it.
    in_job: bool,
    /// What failed in the job.
    struck: Option<&'static str>,
    operations: u64,
    crash_at: Option<u64>,
    /// What the loss of power left, once it has happened.
    left: Option<MemoryDisk>,
}

/// The one thing that [`MemoryDisk`] fails of by itself.
const FULL: &str = "a full disk";

impl StormyDisk {
    pub(super) fn new(memory: MemoryDisk, chaos: &Chaos, random: Random) -> Self {
        let weather = Weather {
            random,
            errors: chaos.disk_errors,
            panics: chaos.job_panics,
            in_job: false,
            struck: None,
            operations: 0,
            crash_at: chaos.crash_at,
            left: None,
        };
        Self { memory, weather: Arc::new(Mutex::new(weather)) }
    }

    /// A job begins, and what it does on the disk may fail if `stormy`.
    pub(super) fn begin_job(&self, stormy: bool) {
        let mut weather = self.weather();
        weather.in_job = stormy;
        weather.struck = None;
    }

    /// The job is over; what failed in it, if anything.
    pub(super) fn end_job(&self) -> Option<&'static str> {
        let mut weather = self.weather();
        weather.in_job = false;
        weather.struck
    }

    /// Whether the power was lost.
    pub(super) fn has_crashed(&self) -> bool {
        self.weather().left.is_some()
    }

    /// The power was lost; what is left then.
    pub(super) fn left_by_crash(&self) -> Option<MemoryDisk> {
        self.weather().left.take()
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call, with the weather of the moment. An error that only says that a name is taken is no fault.
    fn call<T>(&self, errnos: &[Errno], call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut weather = self.weather();
        weather.operations += 1;
        if weather.crash_at.is_some_and(|at| at == weather.operations) {
            let links = weather.random.pick(&[Links::Lost, Links::Kept]);
            weather.left = Some(self.memory.after_crash(links));
        }
        if weather.in_job {
            let (errors, panics) = (weather.errors, weather.panics);
            if weather.random.strikes(errors.per_mille) {
                weather.struck = Some(errors.what);
                return Err(weather.random.pick(errnos).into());
            }
            if weather.random.strikes(panics.per_mille) {
                weather.struck = Some(panics.what);
                drop(weather);
                std::panic::resume_unwind(Box::new("a panic in a job, on purpose"));
            }
        }
        let result = call();
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            weather.struck = Some(FULL);
        }
        result
    }
}

impl Disk for StormyDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let directory = self.memory.open_directory(path)?;
        Ok(Arc::new(StormyDirectory { disk: self.clone(), directory }))
    }
}

#[derive(Debug)]
struct StormyDirectory {
    disk: StormyDisk,
    directory: Arc<dyn Directory>,
}

impl Directory for StormyDirectory {
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.disk.call(&[Errno::EIO, Errno::EACCES, Errno::ESTALE], || self.directory.exists(name))
    }

    fn free_space(&self) -> io::Result<u64> {
        let free = self.disk.call(&[Errno::EIO, Errno::ENOSYS], || self.directory.free_space())?;
        if free == 0 {
            self.disk.weather().struck = Some(FULL);
        }
        Ok(free)
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::ENOENT];
        let draft = self.disk.call(&errnos, || self.directory.create())?;
        Ok(Box::new(StormyDraft { disk: self.disk.clone(), draft }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // Were this to fail too, a complete file would stay without having been confirmed, which is no lie.
        self.disk.call(&[Errno::EIO], || self.directory.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(&[Errno::EIO], || self.directory.sync())
    }
}

struct StormyDraft {
    disk: StormyDisk,
    draft: Box<dyn Draft>,
}

impl Draft for StormyDraft {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let errnos = [Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG, Errno::EIO, Errno::EROFS];
        self.disk.call(&errnos, || self.draft.write_all(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.call(&[Errno::EIO, Errno::ENOSPC, Errno::EDQUOT], || self.draft.sync())
    }

    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()> {
        let errnos = [Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::ENOENT];
        self.disk.call(&errnos, || self.draft.link(name, existing))
    }
}

impl fmt::Debug for StormyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StormyDraft")
    }
}
