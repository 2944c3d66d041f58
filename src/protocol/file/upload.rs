//! The steps that store a file. All of them may block, so they run in jobs.

use std::fmt::Display;
use std::io;
use std::iter;
use std::sync::Arc;

use super::name::Name;
use super::saved::Saved;
use super::{OnExisting, refuse};
use crate::disk::{Directory, Draft, Pipe};
use crate::errno;
use crate::protocol::{ProtocolError, Sink, Stored};

/// Bytes that an upload writes between two checks of the free space: so many that the checks cost nothing. The last check
/// is before the commit, so an upload that went below the floor is discarded, and its space is free again.
const FREE_SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// The highest number tried for a name that exists (`existing: number`).
const NUMBER_MAX: u32 = 1000;

/// A directory, and the rules for what is stored in it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) existing: OnExisting,
    pub(super) size_max: u64,
    /// Bytes that must stay free; zero for no limit.
    pub(super) free_space_floor: u64,
}

impl Store {
    /// Refuses a name that exists already. Another upload may still take an admitted name first: the link decides.
    pub(super) fn admit(&self, name: &Name) -> Result<(), ProtocolError> {
        if self.existing != OnExisting::Refuse {
            return Ok(());
        }
        match self.directory.exists(name.as_str()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(exists(name)),
            Err(error) => Err(disk_error(&error)),
        }
    }

    /// Begins a file of `size` bytes or more.
    pub(super) fn open(self: &Arc<Self>, name: Name, size: u64) -> Result<Upload, ProtocolError> {
        self.ensure_room(size).map_err(|error| disk_error(&error))?;
        let draft = self.directory.create().map_err(|error| disk_error(&error))?;
        Ok(Upload { store: Arc::clone(self), name, draft, written: 0 })
    }

    /// Refuses a size of more than `size_max` bytes.
    pub(super) fn ensure_allowed(&self, size: u64) -> Result<(), ProtocolError> {
        if size <= self.size_max {
            return Ok(());
        }
        Err(refuse("too large", format_args!("the file is larger than {} bytes", self.size_max)))
    }

    fn ensure_room(&self, bytes: u64) -> io::Result<()> {
        if self.free_space_floor > 0 && self.directory.free_space()? < self.free_space_floor.saturating_add(bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// A file that is being received. Dropping the upload discards the file.
pub(super) struct Upload {
    store: Arc<Store>,
    name: Name,
    draft: Box<dyn Draft>,
    written: u64,
}

impl Sink for Upload {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.ensure_room(bytes.len())?;
        self.draft.write_all(bytes)?;
        self.written += length;
        Ok(())
    }

    fn takes_pipes(&self) -> bool {
        self.draft.takes_pipes()
    }

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        let length = self.ensure_room(pipe.len())?;
        self.draft.write_pipe(pipe)?;
        self.written += length;
        Ok(())
    }
}

impl Upload {
    /// Checks the free space now and then before `length` bytes are written. Returns their number.
    fn ensure_room(&self, length: usize) -> io::Result<u64> {
        let length = length as u64;
        if self.written / FREE_SPACE_CHECK_BYTES != (self.written + length) / FREE_SPACE_CHECK_BYTES {
            self.store.ensure_room(length)?;
        }
        Ok(length)
    }

    /// Returns the number of bytes written.
    pub(super) fn size(&self) -> u64 {
        self.written
    }

    /// Makes the file durable under its name: contents, name and directory, in this order, so that a name in the directory
    /// always belongs to a complete file (`fsync(2)`).
    pub(super) fn commit(mut self) -> Result<Saved, ProtocolError> {
        self.store.ensure_room(0).map_err(|error| disk_error(&error))?;
        self.draft.sync().map_err(|error| disk_error(&error))?;
        let name = self.link()?;
        if let Err(error) = self.store.directory.sync() {
            // A replaced file cannot come back, and then the new file, which is complete, is better than none.
            if self.store.existing != OnExisting::Replace {
                let _ = self.store.directory.remove(name.as_str());
            }
            return Err(disk_error(&error));
        }
        Ok(Saved { name, size: self.written })
    }

    fn link(&mut self) -> Result<Name, ProtocolError> {
        let existing = self.store.existing.of_the_link();
        let number_max = if self.store.existing == OnExisting::Number { NUMBER_MAX } else { 1 };
        let numbered = (2..=number_max).map(|number| self.name.numbered(number));
        for name in iter::once(self.name.clone()).chain(numbered) {
            match self.draft.link(name.as_str(), existing) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(disk_error(&error)),
            }
        }
        Err(exists(&self.name))
    }
}

/// Returns the sink, if it took all its bytes.
pub(super) fn sink_of<S>(stored: Stored<S>) -> Result<S, ProtocolError> {
    stored.result.map_err(|error| disk_error(&error))?;
    Ok(stored.sink)
}

fn exists(name: &Name) -> ProtocolError {
    refuse("file exists", format_args!("{name} exists already"))
}

/// Creates the error for the client after a failure of the disk: without a path, in words that are not a programmer's.
fn disk_error(error: &io::Error) -> ProtocolError {
    let (reason, text): (_, &dyn Display) = match error.kind() {
        io::ErrorKind::StorageFull => ("disk full", &"the disk is full"),
        io::ErrorKind::QuotaExceeded => ("quota exceeded", &"the disk quota is used up"),
        io::ErrorKind::FileTooLarge => ("file too large", &"the file is too large for this system"),
        io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle => {
            ("directory gone", &"the directory for received files is gone")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("directory read-only", &"the directory for received files cannot be written to")
        }
        io::ErrorKind::IsADirectory => ("file exists", &"a directory has this name"),
        io::ErrorKind::InvalidFilename => ("bad name", &"the disk does not take this name"),
        _ if errno::is_out_of_descriptors(error) => ("too many open files", &"too many files are open"),
        _ if errno::is_disk_failure(error) => ("disk error", &"the disk failed to read or write"),
        _ => ("disk error", error),
    };
    refuse(reason, text)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::disk::Disk;
    use crate::protocol::file::name::Field;
    use crate::testing::{Links, MemoryDisk, Operation};

    const MIB: u64 = 1024 * 1024;

    fn store(disk: &MemoryDisk, existing: OnExisting, free_space_floor: u64) -> Arc<Store> {
        let directory = disk.open_directory("received".as_ref()).unwrap();
        Arc::new(Store { directory, existing, size_max: u64::MAX, free_space_floor })
    }

    fn name(text: &str) -> Name {
        Name::parse(&Field::paused(text.as_bytes())).unwrap()
    }

    fn save(store: &Arc<Store>, text: &str, contents: &[u8]) -> Result<String, ProtocolError> {
        let mut upload = store.open(name(text), 0)?;
        upload.write_all(contents).map_err(|error| disk_error(&error))?;
        upload.commit().map(|saved| format!("{} {}", saved.name, saved.size))
    }

    #[test]
    fn a_file_is_written_synced_linked_and_then_the_directory_is_synced() {
        let disk = MemoryDisk::new();
        assert_eq!(save(&store(&disk, OnExisting::Refuse, 0), "a", b"hello").unwrap(), "a 5");
        let order = [Operation::Create, Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory];
        assert_eq!(disk.log()[1..], order);
        assert_eq!(disk.after_crash(Links::Lost).contents("a").unwrap(), b"hello");
        assert_eq!(disk.drafts(), 0);
    }

    #[test]
    fn whichever_step_fails_no_file_and_no_draft_stays_behind() {
        let steps = [Operation::Create, Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory];
        for step in steps {
            let disk = MemoryDisk::new();
            let store = store(&disk, OnExisting::Refuse, 0);
            disk.fail(step, 1, io::Error::from_raw_os_error(Errno::EIO as i32));
            let error = save(&store, "a", b"hello").unwrap_err();
            assert_eq!(error.reply, "error: the disk failed to read or write\n", "{step:?}");
            assert_eq!((disk.names(), disk.drafts()), (vec![], 0), "{step:?}");
            assert!(disk.log().iter().filter(|&&done| done == step).count() == 1, "{step:?} is not tried again");
        }
    }

    #[test]
    fn an_upload_that_loses_the_race_for_a_name_is_refused() {
        let disk = MemoryDisk::new();
        let store = store(&disk, OnExisting::Refuse, 0);
        let uploads = ["winner", "loser"].map(|contents| {
            store.admit(&name("a")).unwrap();
            let mut upload = store.open(name("a"), 0).unwrap();
            upload.write_all(contents.as_bytes()).unwrap();
            upload
        });
        let [first, second] = uploads.map(Upload::commit);
        assert!(first.is_ok());
        assert_eq!(second.err().unwrap().reply, "error: a exists already\n");
        assert_eq!(disk.contents("a").unwrap(), b"winner");
        assert_eq!(store.admit(&name("a")).unwrap_err().reply, "error: a exists already\n");
    }

    #[test]
    fn number_takes_the_next_free_number_and_fails_after_the_last() {
        let disk = MemoryDisk::new();
        let store = store(&disk, OnExisting::Number, 0);
        for expected in ["a.txt 1", "a (2).txt 1", "a (3).txt 1"] {
            store.admit(&name("a.txt")).unwrap();
            assert_eq!(save(&store, "a.txt", b"x").unwrap(), expected);
        }
        for number in 4..=NUMBER_MAX {
            disk.insert(&format!("a ({number}).txt"), b"");
        }
        assert_eq!(save(&store, "a.txt", b"x").unwrap_err().reply, "error: a.txt exists already\n");
    }

    #[test]
    fn replace_puts_the_new_file_in_the_place_of_the_old_one() {
        let disk = MemoryDisk::new();
        disk.insert("a", b"old");
        let store = store(&disk, OnExisting::Replace, 0);
        store.admit(&name("a")).unwrap();
        assert_eq!(save(&store, "a", b"new").unwrap(), "a 3");
        assert_eq!(disk.contents("a").unwrap(), b"new");
        disk.fail(Operation::SyncDirectory, 1, io::ErrorKind::Other.into());
        assert!(save(&store, "a", b"newer").is_err());
        assert_eq!(disk.contents("a").unwrap(), b"newer", "the old one is gone, so the complete new one stays");
    }

    #[test]
    fn an_upload_that_would_leave_too_little_free_space_is_refused() {
        let disk = MemoryDisk::new();
        disk.set_capacity(100);
        let store = store(&disk, OnExisting::Refuse, 40);
        assert!(store.open(name("a"), 60).is_ok());
        let error = store.open(name("a"), 61).err().unwrap();
        assert_eq!((error.reason, &*error.reply), ("disk full", "error: the disk is full\n"));
        assert_eq!(disk.log().iter().filter(|&&done| done == Operation::Create).count(), 1);
    }

    #[test]
    fn an_upload_of_unknown_size_is_stopped_within_16_mib_below_the_floor() {
        let disk = MemoryDisk::new();
        disk.set_capacity(100 * MIB);
        let mut upload = store(&disk, OnExisting::Refuse, 60 * MIB).open(name("a"), 0).unwrap();
        let error = iter::repeat_with(|| upload.write_all(&[0; MIB as usize])).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let below = upload.size() - 40 * MIB;
        assert!(below < FREE_SPACE_CHECK_BYTES, "{below}");
    }

    #[test]
    fn the_free_space_does_not_matter_without_a_floor() {
        let disk = MemoryDisk::new();
        disk.fail(Operation::FreeSpace, 1, io::ErrorKind::Unsupported.into());
        assert!(store(&disk, OnExisting::Refuse, 0).open(name("a"), u64::MAX).is_ok());
    }

    #[test]
    fn failures_of_the_disk_are_reported_in_plain_words() {
        let cases = [
            (Errno::ENOSPC, "disk full", "the disk is full"),
            (Errno::EDQUOT, "quota exceeded", "the disk quota is used up"),
            (Errno::EFBIG, "file too large", "the file is too large for this system"),
            (Errno::EIO, "disk error", "the disk failed to read or write"),
            (Errno::ENOENT, "directory gone", "the directory for received files is gone"),
            (Errno::ESTALE, "directory gone", "the directory for received files is gone"),
            (Errno::EROFS, "directory read-only", "the directory for received files cannot be written to"),
            (Errno::EACCES, "directory read-only", "the directory for received files cannot be written to"),
            (Errno::EMFILE, "too many open files", "too many files are open"),
            (Errno::ENFILE, "too many open files", "too many files are open"),
            (Errno::EISDIR, "file exists", "a directory has this name"),
            (Errno::ENAMETOOLONG, "bad name", "the disk does not take this name"),
        ];
        for (errno, reason, text) in cases {
            let error = disk_error(&errno.into());
            assert_eq!((error.reason, &*error.reply), (reason, &*format!("error: {text}\n")), "{errno}");
        }
    }
}
