//! A disk that fails, fills up and loses power at random: [`MemoryDisk`] with faults.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::chaos::{Chaos, Rate};
use super::random::Random;
use crate::kernel::{Directory, Disk, Draft, Existing, Pipe};
use crate::testing::{Links, MemoryDisk};

/// The disk of a simulated server. Clones are handles to the same disk.
#[derive(Debug, Clone)]
pub(super) struct FaultyDisk {
    pub(super) memory: MemoryDisk,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug)]
struct Faults {
    random: Random,
    errors: Rate,
    panics: Rate,
    /// Whether a job is running that faults may strike.
    in_job: bool,
    /// The fault that struck the job.
    struck: Option<&'static str>,
    operations: u64,
    crash_at: Option<u64>,
    /// The contents after the loss of power, once it has happened.
    left: Option<MemoryDisk>,
}

/// The only reason for which [`MemoryDisk`] itself fails.
const FULL: &str = "a full disk";

impl FaultyDisk {
    pub(super) fn new(memory: MemoryDisk, chaos: &Chaos, random: Random) -> Self {
        let faults = Faults {
            random,
            errors: chaos.disk_errors,
            panics: chaos.job_panics,
            in_job: false,
            struck: None,
            operations: 0,
            crash_at: chaos.crash_at,
            left: None,
        };
        Self { memory, faults: Arc::new(Mutex::new(faults)) }
    }

    /// Begins a job; its disk operations may fail if `may_fail`.
    pub(super) fn begin_job(&self, may_fail: bool) {
        let mut faults = self.faults();
        faults.in_job = may_fail;
        faults.struck = None;
    }

    /// Ends the job. Returns the fault that struck it, if any.
    pub(super) fn end_job(&self) -> Option<&'static str> {
        let mut faults = self.faults();
        faults.in_job = false;
        faults.struck
    }

    /// Whether the power was lost.
    pub(super) fn has_crashed(&self) -> bool {
        self.faults().left.is_some()
    }

    /// Takes the contents after the loss of power, if it has happened.
    pub(super) fn left_by_crash(&self) -> Option<MemoryDisk> {
        self.faults().left.take()
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call, with the current faults. An error that only reports that a name exists is not a fault.
    fn call<T>(&self, errnos: &[Errno], call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut faults = self.faults();
        faults.operations += 1;
        if faults.crash_at.is_some_and(|at| at == faults.operations) {
            let links = faults.random.pick(&[Links::Lost, Links::Kept]);
            faults.left = Some(self.memory.after_crash(links));
        }
        if faults.in_job {
            let (errors, panics) = (faults.errors, faults.panics);
            if faults.random.strikes(errors.per_mille) {
                faults.struck = Some(errors.what);
                return Err(faults.random.pick(errnos).into());
            }
            if faults.random.strikes(panics.per_mille) {
                faults.struck = Some(panics.what);
                drop(faults);
                std::panic::resume_unwind(Box::new("a panic in a job, on purpose"));
            }
        }
        let result = call();
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            faults.struck = Some(FULL);
        }
        result
    }
}

impl Disk for FaultyDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let directory = self.memory.open_directory(path)?;
        Ok(Arc::new(FaultyDirectory { disk: self.clone(), directory }))
    }
}

#[derive(Debug)]
struct FaultyDirectory {
    disk: FaultyDisk,
    directory: Arc<dyn Directory>,
}

impl Directory for FaultyDirectory {
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.disk.call(&[Errno::EIO, Errno::EACCES, Errno::ESTALE], || self.directory.exists(name))
    }

    fn free_space(&self) -> io::Result<u64> {
        let free = self.disk.call(&[Errno::EIO, Errno::ENOSYS], || self.directory.free_space())?;
        if free == 0 {
            self.disk.faults().struck = Some(FULL);
        }
        Ok(free)
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::ENOENT];
        let draft = self.disk.call(&errnos, || self.directory.create())?;
        Ok(Box::new(FaultyDraft { disk: self.disk.clone(), draft }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // If this fails too, a complete file stays without having been confirmed, which is allowed.
        self.disk.call(&[Errno::EIO], || self.directory.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(&[Errno::EIO], || self.directory.sync())
    }
}

struct FaultyDraft {
    disk: FaultyDisk,
    draft: Box<dyn Draft>,
}

impl Draft for FaultyDraft {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let errnos = [Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG, Errno::EIO, Errno::EROFS];
        self.disk.call(&errnos, || self.draft.write_all(bytes))
    }

    fn takes_pipes(&self) -> bool {
        self.draft.takes_pipes()
    }

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        let errnos = [Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG, Errno::EIO, Errno::EROFS];
        self.disk.call(&errnos, || self.draft.write_pipe(pipe))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.call(&[Errno::EIO, Errno::ENOSPC, Errno::EDQUOT], || self.draft.sync())
    }

    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()> {
        let errnos = [Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::ENOENT];
        self.disk.call(&errnos, || self.draft.link(name, existing))
    }
}

impl fmt::Debug for FaultyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyDraft")
    }
}
