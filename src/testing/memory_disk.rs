//! A disk in memory that can fill up, fail and lose power.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernel::{Directory, Disk, Draft, Existing, Pipe};

/// A [`Disk`] with a single directory, which every path opens. Clones are handles of the same disk.
///
/// The disk distinguishes written from synced data, so that [`MemoryDisk::after_crash`] returns the files that a loss of power
/// would leave. It logs every call, and fails the calls that [`MemoryDisk::fail`] names.
///
/// ```
/// use reactor::kernel::{Disk, Existing};
/// use reactor::testing::{Links, MemoryDisk};
///
/// # fn main() -> std::io::Result<()> {
/// let disk = MemoryDisk::new();
/// let directory = disk.open_directory("received".as_ref())?;
/// let mut draft = directory.create()?;
/// draft.write_all(b"hello")?;
/// draft.sync()?;
/// draft.link("notes.txt", Existing::Keep)?;
/// assert_eq!(disk.contents("notes.txt"), Some(b"hello".to_vec()));
/// assert_eq!(disk.after_crash(Links::Lost).contents("notes.txt"), None, "the directory has not been synced");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// A call on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Disk::open_directory`].
    Open,
    /// [`Directory::exists`].
    Exists,
    /// [`Directory::free_space`].
    FreeSpace,
    /// [`Directory::create`].
    Create,
    /// [`Draft::write_all`].
    Write,
    /// [`Draft::sync`].
    Sync,
    /// [`Draft::link`].
    Link,
    /// [`Directory::sync`].
    SyncDirectory,
    /// [`Directory::remove`].
    Remove,
}

/// What a loss of power does to links that were not synced: a file system may or may not have written them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// The directory is as it was when it was last synced.
    Lost,
    /// The directory is as it is now, while contents that were not synced are lost.
    Kept,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    /// The names when the directory was last synced.
    synced_names: BTreeMap<String, FileId>,
    drafts: BTreeSet<FileId>,
    files_created: FileId,
    capacity: Option<u64>,
    log: Vec<Operation>,
    faults: Vec<Fault>,
}

type FileId = u64;

#[derive(Debug, Default)]
struct File {
    contents: Vec<u8>,
    synced_bytes: usize,
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    /// How many more calls succeed before the one that fails.
    calls_before: usize,
    error: io::Error,
}

impl MemoryDisk {
    /// Creates an empty disk of unlimited capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a durable file, as if it had been there before.
    pub fn insert(&self, name: &str, contents: &[u8]) {
        let mut state = self.state();
        let id = state.new_file();
        state.files.insert(id, File { contents: contents.to_vec(), synced_bytes: contents.len() });
        state.names.insert(name.to_owned(), id);
        state.synced_names.insert(name.to_owned(), id);
    }

    /// Limits the disk to this many bytes: a write beyond fails with [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// Makes the `nth` call of `operation` from now fail with `error`, without an effect; 1 is the next call.
    pub fn fail(&self, operation: Operation, nth: usize, error: io::Error) {
        self.state().faults.push(Fault { operation, calls_before: nth.saturating_sub(1), error });
    }

    /// Returns the contents of the file of this name.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.files.get(state.names.get(name)?)?;
        Some(file.contents.clone())
    }

    /// Returns all names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Returns the number of drafts that have not been dropped.
    #[must_use]
    pub fn drafts(&self) -> usize {
        self.state().drafts.len()
    }

    /// Returns all calls so far in their order, failed ones included.
    #[must_use]
    pub fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    /// Returns the disk as a loss of power now would leave it: with what has been synced, and without drafts.
    #[must_use]
    pub fn after_crash(&self, links: Links) -> Self {
        let state = self.state();
        let names = match links {
            Links::Lost => &state.synced_names,
            Links::Kept => &state.names,
        };
        let left = Self::new();
        for (name, id) in names {
            let synced = state.files.get(id).map_or(&[][..], |file| &file.contents[..file.synced_bytes]);
            left.insert(name, synced);
        }
        left.state().capacity = state.capacity;
        left
    }

    /// Locks the state. A panic of another thread leaves no change half done, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, operation: Operation) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.log.push(operation);
        let mut failed = None;
        for (index, fault) in state.faults.iter_mut().enumerate().filter(|(_, fault)| fault.operation == operation) {
            if fault.calls_before == 0 {
                failed = Some(index);
            } else {
                fault.calls_before -= 1;
            }
        }
        match failed {
            Some(index) => Err(state.faults.swap_remove(index).error),
            None => Ok(state),
        }
    }
}

impl State {
    fn new_file(&mut self) -> FileId {
        self.files_created += 1;
        self.files_created
    }

    /// Frees the files that no name and no draft refers to, now or after a crash.
    fn forget_lost_files(&mut self) {
        let Self { files, names, synced_names, drafts, .. } = self;
        let held: BTreeSet<_> = names.values().chain(synced_names.values()).chain(&*drafts).collect();
        files.retain(|id, _| held.contains(id));
    }

    fn free_bytes(&self) -> u64 {
        let held: BTreeSet<_> = self.names.values().chain(&self.drafts).collect();
        let used: usize = held.iter().filter_map(|id| self.files.get(id)).map(|file| file.contents.len()).sum();
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used as u64))
    }
}

impl Disk for MemoryDisk {
    fn open_directory(&self, _: &Path) -> io::Result<Arc<dyn Directory>> {
        self.begin(Operation::Open).map(drop)?;
        Ok(Arc::new(self.clone()))
    }
}

impl Directory for MemoryDisk {
    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.begin(Operation::Exists)?.names.contains_key(name))
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.begin(Operation::FreeSpace)?.free_bytes())
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let mut state = self.begin(Operation::Create)?;
        let id = state.new_file();
        state.files.insert(id, File::default());
        state.drafts.insert(id);
        Ok(Box::new(MemoryDraft { disk: self.clone(), id }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.begin(Operation::Remove)?.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.begin(Operation::SyncDirectory)?;
        state.synced_names = state.names.clone();
        Ok(())
    }
}

struct MemoryDraft {
    disk: MemoryDisk,
    id: FileId,
}

impl Draft for MemoryDraft {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Write)?;
        if state.free_bytes() < bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files.entry(self.id).or_default().contents.extend_from_slice(bytes);
        Ok(())
    }

    fn takes_pipes(&self) -> bool {
        true
    }

    /// As on a real disk that fills up, part of the bytes may be written.
    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Write)?;
        let room = state.free_bytes().min(pipe.len() as u64);
        let is_full = room < pipe.len() as u64;
        let contents = &mut state.files.entry(self.id).or_default().contents;
        pipe.take(room).read_to_end(contents)?;
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Sync)?;
        let file = state.files.entry(self.id).or_default();
        file.synced_bytes = file.contents.len();
        Ok(())
    }

    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Link)?;
        if existing == Existing::Keep && state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.names.insert(name.to_owned(), self.id);
        Ok(())
    }
}

impl Drop for MemoryDraft {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        state.drafts.remove(&self.id);
        state.forget_lost_files();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(disk: &MemoryDisk, contents: &[u8]) -> Box<dyn Draft> {
        let mut draft = disk.create().unwrap();
        draft.write_all(contents).unwrap();
        draft
    }

    #[test]
    fn a_crash_leaves_only_what_was_synced() {
        let disk = MemoryDisk::new();
        let mut draft = draft(&disk, b"synced");
        draft.sync().unwrap();
        draft.write_all(b", not synced").unwrap();
        draft.link("a", Existing::Keep).unwrap();
        assert_eq!(disk.contents("a").unwrap(), b"synced, not synced");
        assert_eq!(disk.after_crash(Links::Kept).contents("a").unwrap(), b"synced");
        assert_eq!(disk.after_crash(Links::Lost).names(), [""; 0]);
        disk.sync().unwrap();
        assert_eq!(disk.after_crash(Links::Lost).contents("a").unwrap(), b"synced");
        assert_eq!((disk.drafts(), disk.after_crash(Links::Kept).drafts()), (1, 0));
    }

    #[test]
    fn a_fault_hits_the_call_it_names_and_no_other() {
        let disk = MemoryDisk::new();
        disk.fail(Operation::Create, 2, io::ErrorKind::QuotaExceeded.into());
        disk.fail(Operation::Create, 3, io::ErrorKind::StorageFull.into());
        assert!(disk.exists("a").is_ok());
        let kinds: Vec<_> = (0..4).map(|_| disk.create().err().map(|error| error.kind())).collect();
        assert_eq!(kinds, [None, Some(io::ErrorKind::QuotaExceeded), Some(io::ErrorKind::StorageFull), None]);
    }

    #[test]
    fn a_discarded_draft_frees_its_space() {
        let disk = MemoryDisk::new();
        disk.set_capacity(8);
        let first = draft(&disk, b"12345");
        assert_eq!(disk.free_space().unwrap(), 3);
        assert_eq!(disk.create().unwrap().write_all(b"1234").unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(first);
        assert_eq!((disk.free_space().unwrap(), disk.drafts()), (8, 0));
    }

    #[test]
    fn a_name_is_taken_once_unless_it_is_replaced() {
        let disk = MemoryDisk::new();
        disk.insert("a", b"old");
        let mut draft = draft(&disk, b"new");
        assert_eq!(draft.link("a", Existing::Keep).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        draft.link("a", Existing::Replace).unwrap();
        assert_eq!(disk.contents("a").unwrap(), b"new");
    }
}
