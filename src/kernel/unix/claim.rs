//! The path of a Unix socket: taken without a moment in which a wrong process could connect, and never from a living one.
//!
//! ```text
//! lock       PATH.lock: of several starters one goes on, the others fail
//! probe      connects to what is at PATH: refused means that its process has ended; only such a socket is replaced
//! bind       to a temporary name in the same directory, with no permissions
//! owner      then the mode; no client can be connected yet, because the socket does not listen
//! listen
//! rename     over the stale socket, or link, which never replaces anything
//! ```
//!
//! None of these calls waits for another process. They are made when a listener begins and ends, at a reload by the loop, and on a
//! slow disk it waits for them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::net::{self, SocketAddrUnix, SocketType};

use super::{FileOptions, bind_to, credentials, open};
use crate::attempt::{Attempt, attempt};
use crate::file_lock::try_lock;
use crate::limits::LOCK_ATTEMPTS_MAX;
use crate::xray::{self, Call};

/// The file of a bound socket. Dropped, it is removed, unless another socket has its path by now.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// The device and the inode.
    identity: (u64, u64),
}

/// Opens a socket and puts it at `path`.
pub(super) fn at(
    path: &str,
    kind: SocketType,
    options: &FileOptions,
    listen: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<(OwnedFd, Claim)> {
    let path = Path::new(path);
    let Some(lock) = Lock::take(path)? else {
        return Err(in_use("another process binds it at this moment"));
    };
    let replaces = is_stale(path, kind)?;
    let temporary = Temporary::beside(path)?;
    let socket = open(kind)?;
    // The file of the socket gets this mode and the umask (Linux); elsewhere only the umask.
    let _ = rustix::fs::fchmod(&socket, Mode::empty());
    bind_to(&socket, &SocketAddrUnix::new(&temporary.0)?)?;
    let (owner, group) = (options.owner.map(Uid::from_raw), options.group.map(Gid::from_raw));
    if owner.is_some() || group.is_some() {
        rustix::fs::chown(&temporary.0, owner, group)?;
    }
    rustix::fs::chmod(&temporary.0, Mode::from_raw_mode(options.mode as _))?;
    listen(&socket)?;
    let identity = identity(&fs::symlink_metadata(&temporary.0)?);
    if replaces {
        fs::rename(&temporary.0, path)?;
    } else {
        fs::hard_link(&temporary.0, path)?;
    }
    drop((temporary, lock));
    Ok((socket, Claim { path: path.to_owned(), identity }))
}

/// Whether the socket of a process that has ended is at `path`; `false` if nothing is there.
///
/// # Errors
/// Something else is there, or a process may be listening.
fn is_stale(path: &Path, kind: SocketType) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => {
            if !found?.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file is there that is not a socket"));
            }
        }
    }
    let probe = open(kind)?;
    let address = SocketAddrUnix::new(path)?;
    let connect = || net::connect(&probe, &address).map_err(io::Error::from);
    match attempt(|| xray::answered(connect(), || Call::Connect)) {
        Attempt::Failed(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Attempt::Failed(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Attempt::Failed(error) => Err(in_use(&format!("a socket is there, and it may be in use: {error}"))),
        // `WouldBlock`: its accept queue is full.
        Attempt::Done(()) | Attempt::WouldBlock => {
            let owner = credentials(&probe);
            let process = owner.pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            let user = owner.uid.map_or_else(String::new, |uid| format!(" (uid {uid})"));
            Err(in_use(&format!("in use by {process}{user}")))
        }
    }
}

fn in_use(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, message)
}

/// The device and the inode of a file.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for Claim {
    /// A starter that holds the lock decides about the path itself, so without the lock nothing is removed.
    fn drop(&mut self) {
        let removed = Lock::take(&self.path).and_then(|lock| {
            let is_ours = lock.is_some() && identity(&fs::symlink_metadata(&self.path)?) == self.identity;
            if is_ours { fs::remove_file(&self.path) } else { Ok(()) }
        });
        if let Err(error) = removed {
            log::debug!("cannot remove the socket {}: {error}", self.path.display());
        }
    }
}

/// The name to which a socket is bound first. Dropped, it is removed.
struct Temporary(PathBuf);

impl Temporary {
    /// Returns the temporary name for `path`: always the same, so that what a killed starter left is removed by the next one,
    /// and no longer than a socket may be called. Only the holder of the lock may do this.
    fn beside(path: &Path) -> io::Result<Self> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        // FNV-1a, which is short, and the same in every version.
        let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let name = path.file_name().unwrap_or_default();
        let hash = name.as_encoded_bytes().iter().fold(0x811c_9dc5, mix);
        let digits = (0..4).map(|place| char::from(DIGITS[(hash >> (8 * place) & 63) as usize]));
        let temporary = path.with_file_name(format!(".{}", digits.collect::<String>()));
        match fs::symlink_metadata(&temporary) {
            Ok(left) if left.file_type().is_socket() => fs::remove_file(&temporary)?,
            Ok(_) => return Err(in_use(&format!("its temporary name {} is taken by a file", temporary.display()))),
            Err(_) => {}
        }
        Ok(Self(temporary))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

/// The lock of a path, held while a starter decides about it. Dropped, its file is removed.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of the socket at `path`, without waiting. Returns `None` if another process has it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let unlocked =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot lock {}: {error}", path.display()));
        for _ in 0..LOCK_ATTEMPTS_MAX {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path).map_err(unlocked)?;
            if !try_lock(&file).map_err(unlocked)? {
                return Ok(None);
            }
            // Its last holder may have removed the file between our two calls: then the lock protects nothing.
            let named = fs::symlink_metadata(&path).map(|named| identity(&named)).ok();
            if named == Some(identity(&file.metadata()?)) {
                return Ok(Some(Self { path, _file: file }));
            }
        }
        Ok(None)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is locked, so that no other process locks a file that is about to go.
        let _ = fs::remove_file(&self.path);
    }
}
