//! Real files in a real directory, with names and without.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sys::stat;
use nix::unistd::mkfifo;
use rustix::fs::{FlockOperation, flock};

use super::*;

/// A directory for one test; dropping it removes it with its contents.
struct Room(PathBuf);

impl Room {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("reactor-disk-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn open(&self, disk: PosixDisk) -> Arc<dyn Directory> {
        disk.open_directory(&self.0).unwrap()
    }

    /// Returns the names in the directory, including those with a leading dot.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a test with unnamed files, where there are such, and with temporary names.
fn with_both(test: impl Fn(PosixDisk, &Room)) {
    for disk in [PosixDisk::new(), PosixDisk::portable()] {
        test(disk, &Room::new());
    }
}

fn draft(directory: &Arc<dyn Directory>, contents: &[u8]) -> Box<dyn Draft> {
    let mut draft = directory.create().unwrap();
    draft.write_all(contents).unwrap();
    draft.sync().unwrap();
    draft
}

fn left_over(room: &Room) -> PathBuf {
    let path = room.path(".reactor-0123456789abcdef.tmp");
    fs::write(&path, "left").unwrap();
    path
}

#[test]
fn a_file_gets_its_name_complete_and_leaves_nothing_else() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        let mut draft = draft(&directory, b"hello, ");
        draft.write_all(b"world").unwrap();
        assert!(!directory.exists("a").unwrap());
        draft.link("a", Existing::Keep).unwrap();
        directory.sync().unwrap();
        assert!(directory.exists("a").unwrap());
        assert_eq!(room.names(), ["a"]);
        drop(draft);
        assert_eq!((room.names(), fs::read(room.path("a")).unwrap()), (vec!["a".to_owned()], b"hello, world".to_vec()));
    });
}

#[test]
fn a_draft_that_is_dropped_vanishes() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        drop(draft(&directory, b"hello"));
        assert_eq!(room.names(), [""; 0]);
    });
}

#[test]
fn an_unnamed_draft_is_in_no_directory_and_a_portable_one_is_hidden() {
    let room = Room::new();
    let directory = room.open(PosixDisk::portable());
    let _draft = draft(&directory, b"hello");
    assert!(room.names()[0].starts_with(".reactor-"));
    #[cfg(target_os = "linux")]
    {
        let room = Room::new();
        let directory = room.open(PosixDisk::new());
        let _draft = draft(&directory, b"hello");
        assert_eq!(room.names(), [""; 0], "the file system of the tests has O_TMPFILE");
    }
}

#[test]
fn a_file_of_any_kind_that_has_the_name_stays_untouched() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        let outside = Room::new();
        fs::write(outside.path("target"), "target").unwrap();
        symlink(outside.path("target"), room.path("link")).unwrap();
        symlink("nowhere", room.path("dangling")).unwrap();
        mkfifo(&room.path("fifo"), stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(room.path("directory")).unwrap();
        fs::write(room.path("file"), "file").unwrap();
        fs::hard_link(room.path("file"), room.path("twin")).unwrap();

        let mut draft = draft(&directory, b"new");
        for name in ["link", "dangling", "fifo", "directory", "file", "twin"] {
            assert!(directory.exists(name).unwrap(), "{name}");
            let error = draft.link(name, Existing::Keep).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(fs::read(outside.path("target")).unwrap(), b"target");
        assert!(room.path("link").is_symlink() && room.path("dangling").is_symlink());
        assert!(fs::symlink_metadata(room.path("fifo")).unwrap().file_type().is_fifo());
        assert!(room.path("directory").is_dir());
        assert_eq!(fs::read(room.path("twin")).unwrap(), b"file");
        draft.link("free", Existing::Keep).unwrap();
        assert_eq!(fs::read(room.path("free")).unwrap(), b"new", "a refused name does not spoil the draft");
    });
}

#[test]
fn replacing_changes_the_name_and_not_the_target_of_a_link() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        fs::write(room.path("file"), "old").unwrap();
        let held_open = File::open(room.path("file")).unwrap();
        symlink("file", room.path("link")).unwrap();
        for name in ["link", "file", "fresh"] {
            draft(&directory, b"new").link(name, Existing::Replace).unwrap();
            assert_eq!(fs::read(room.path(name)).unwrap(), b"new");
            assert!(!room.path(name).is_symlink());
        }
        assert_eq!(io::read_to_string(held_open).unwrap(), "old", "a reader keeps what it opened");
        assert_eq!(room.names(), ["file", "fresh", "link"]);
    });
}

#[test]
fn a_directory_is_not_replaced_by_a_file() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        fs::create_dir(room.path("a")).unwrap();
        let error = draft(&directory, b"new").link("a", Existing::Replace).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(room.names(), ["a"]);
    });
}

#[test]
fn while_a_file_is_replaced_its_name_always_holds_a_complete_one() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        draft(&directory, &[0; 10_000]).link("a", Existing::Keep).unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for version in 1..=50 {
                    draft(&directory, &[version; 10_000]).link("a", Existing::Replace).unwrap();
                }
            });
            while !writer.is_finished() {
                let contents = fs::read(room.path("a")).unwrap();
                assert!(contents.len() == 10_000 && contents.iter().all(|byte| *byte == contents[0]));
            }
        });
        assert_eq!(room.names(), ["a"]);
    });
}

#[test]
fn of_a_hundred_links_to_one_name_at_once_exactly_one_wins() {
    with_both(|disk, room| one_of_a_hundred_wins(&room.open(disk), room));
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        let room = Room::new();
        let handle = Arc::new(File::open(&room.0).unwrap());
        let directory = PosixDirectory { handle, unnamed: None, unlocked: None, naming: Naming::Rename };
        one_of_a_hundred_wins(&(Arc::new(directory) as Arc<dyn Directory>), &room);
    }
}

fn one_of_a_hundred_wins(directory: &Arc<dyn Directory>, room: &Room) {
    let drafts: Vec<_> = (0..100).map(|number: u8| (number, draft(directory, &[number]))).collect();
    let start = Barrier::new(drafts.len());
    let race = |mut draft: Box<dyn Draft>| {
        start.wait();
        draft.link("a", Existing::Keep).map_err(|error| error.kind())
    };
    let winners: Vec<_> = thread::scope(|scope| {
        let race = &race;
        let runners: Vec<_> =
            drafts.into_iter().map(|(number, draft)| (number, scope.spawn(move || race(draft)))).collect();
        let results = runners.into_iter().map(|(number, runner)| (number, runner.join().unwrap()));
        results.filter(|(_, result)| *result != Err(io::ErrorKind::AlreadyExists)).collect()
    });
    let [(winner, Ok(()))] = winners[..] else { panic!("{winners:?}") };
    assert_eq!(fs::read(room.path("a")).unwrap(), [winner]);
    assert_eq!(room.names(), ["a"]);
}

#[test]
fn files_have_mode_0640_and_one_link() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        for existing in [Existing::Keep, Existing::Replace] {
            draft(&directory, b"").link("a", existing).unwrap();
            let metadata = fs::metadata(room.path("a")).unwrap();
            assert_eq!((metadata.mode() & 0o7777 & !0o640, metadata.nlink()), (0, 1));
            assert_eq!(metadata.mode() & 0o600, 0o600);
        }
    });
}

#[test]
fn a_missing_directory_is_created_with_its_parents() {
    with_both(|disk, room| {
        let path = room.path("deep/er/received");
        let directory = disk.open_directory(&path).unwrap();
        draft(&directory, b"x").link("a", Existing::Keep).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"x");
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o027, 0);
    });
}

#[test]
fn an_unusable_directory_is_an_error_at_once() {
    with_both(|disk, room| {
        fs::write(room.path("file"), "").unwrap();
        assert!(disk.open_directory(&room.path("file")).is_err());
        assert!(disk.open_directory(&room.path("file/received")).is_err());
        if fs::metadata(&room.0).unwrap().uid() != 0 {
            fs::create_dir(room.path("read-only")).unwrap();
            fs::set_permissions(room.path("read-only"), Permissions::from_mode(0o500)).unwrap();
            let error = disk.open_directory(&room.path("read-only")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    });
}

#[test]
fn a_directory_that_is_removed_while_the_server_runs_is_an_error() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        let mut early = draft(&directory, b"hello");
        fs::remove_dir_all(&room.0).unwrap();
        assert!(!directory.exists("a").unwrap());
        assert_eq!(directory.create().err().unwrap().kind(), io::ErrorKind::NotFound);
        for existing in [Existing::Keep, Existing::Replace] {
            assert_eq!(early.link("a", existing).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    });
}

#[test]
fn a_directory_that_is_moved_is_still_the_same() {
    with_both(|disk, room| {
        let path = room.path("received");
        let directory = disk.open_directory(&path).unwrap();
        fs::rename(&path, room.path("moved")).unwrap();
        symlink("/", &path).unwrap();
        draft(&directory, b"x").link("a", Existing::Keep).unwrap();
        assert_eq!(fs::read(room.path("moved/a")).unwrap(), b"x");
    });
}

#[test]
fn the_leftovers_of_a_dead_server_are_swept() {
    with_both(|disk, room| {
        left_over(room);
        fs::write(room.path("a"), "").unwrap();
        fs::write(room.path(".reactor-notes"), "").unwrap();
        room.open(disk);
        assert_eq!(room.names(), [".reactor-notes", "a"]);
    });
}

#[test]
fn a_file_that_is_locked_is_not_swept() {
    with_both(|disk, room| {
        let path = left_over(room);
        let holder = File::open(&path).unwrap();
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        room.open(disk);
        assert!(path.exists());
        drop(holder);
        room.open(disk);
        assert!(!path.exists());
    });
}

#[test]
fn a_new_file_that_a_sweep_holds_or_has_removed_is_given_up() {
    let room = Room::new();
    let path = left_over(&room);
    let open = || File::options().write(true).open(&path).unwrap();
    let sweep = open();
    flock(&sweep, FlockOperation::LockExclusive).unwrap();
    assert!(!temporary::claim(&open()).unwrap());
    drop(sweep);
    let removed = open();
    assert!(temporary::claim(&open()).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(!temporary::claim(&removed).unwrap());
}

#[test]
fn temporary_names_differ_and_clients_cannot_ask_for_them() {
    let directory = Arc::new(File::open(env::temp_dir()).unwrap());
    let names = [(); 2].map(|()| Temporary::new(&directory));
    assert_ne!(names[0].as_str(), names[1].as_str());
    assert!(names[0].as_str().starts_with('.'));
}

#[test]
fn the_sweep_ignores_links_pipes_and_directories() {
    with_both(|disk, room| {
        fs::write(room.path("target"), "").unwrap();
        symlink("target", room.path(".reactor-link.tmp")).unwrap();
        mkfifo(&room.path(".reactor-fifo.tmp"), stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(room.path(".reactor-directory.tmp")).unwrap();
        room.open(disk);
        assert_eq!(room.names(), [".reactor-directory.tmp", ".reactor-fifo.tmp", ".reactor-link.tmp", "target"]);
    });
}

#[test]
fn uploads_survive_servers_that_start_on_their_directory() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        thread::scope(|scope| {
            let uploads = scope.spawn(|| {
                for number in 0..200 {
                    let existing = if number % 2 == 0 { Existing::Keep } else { Existing::Replace };
                    let mut draft = directory.create().unwrap();
                    draft.write_all(b"x").unwrap();
                    draft.link(&number.to_string(), existing).unwrap();
                }
            });
            while !uploads.is_finished() {
                temporary::sweep(&File::open(&room.0).unwrap()).unwrap();
            }
        });
        assert_eq!(room.names().len(), 200);
    });
}

#[test]
fn the_free_space_is_what_the_file_system_reports() {
    with_both(|disk, room| {
        let stat = rustix::fs::statvfs(&room.0).unwrap();
        let total = stat.f_blocks * stat.f_frsize;
        let free = room.open(disk).free_space().unwrap();
        assert!(free > 0 && free <= total);
    });
}

#[test]
fn a_name_can_be_taken_back() {
    with_both(|disk, room| {
        let directory = room.open(disk);
        draft(&directory, b"x").link("a", Existing::Keep).unwrap();
        directory.remove("a").unwrap();
        assert_eq!(room.names(), [""; 0]);
        assert_eq!(directory.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}
