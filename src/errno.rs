//! The meaning of the numbers of `errno(3)` for a server, in one place.
//!
//! Only for errors that [`io::ErrorKind`] does not distinguish.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// The number of an error, displayed by its name in C: `EMFILE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(i32);

impl Code {
    pub(crate) const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Returns the number of `error`, or if it has none, the one closest to its kind: `EIO` if no other fits.
    pub(crate) fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or_else(|| nearest(error.kind()) as i32))
    }

    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }

    /// Whether a call would have blocked (`EAGAIN`).
    pub(crate) fn would_block(self) -> bool {
        self.0 == Errno::EAGAIN as i32
    }
}

fn nearest(kind: io::ErrorKind) -> Errno {
    match kind {
        io::ErrorKind::WouldBlock => Errno::EAGAIN,
        io::ErrorKind::Interrupted => Errno::EINTR,
        io::ErrorKind::ConnectionReset => Errno::ECONNRESET,
        io::ErrorKind::NotConnected => Errno::ENOTCONN,
        io::ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Errno::from_raw(self.0) {
            Errno::UnknownErrno => write!(f, "errno {}", self.0),
            errno => write!(f, "{errno:?}"),
        }
    }
}

impl From<Code> for io::Error {
    fn from(code: Code) -> Self {
        Self::from_raw_os_error(code.0)
    }
}

/// What an error of `accept(2)` concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// One connection, which has ended, or a pending network error of that connection; with the name of its counter.
    Connection(&'static str),
    /// Descriptors or memory are exhausted; they may be freed later.
    Shortage,
    /// Anything else: an immediate retry cannot help.
    Other,
}

/// Classifies an error of `accept(2)`. Linux also returns network errors that are pending on the new socket, and
/// recommends to treat them like `EAGAIN` by retrying (`accept(2)`, "Error handling"). They must not stop or delay a
/// server, unless they never end.
pub(crate) fn of_accept(error: &io::Error) -> AcceptError {
    AcceptError::Connection(match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::ECONNABORTED => "ECONNABORTED",
        Errno::ECONNRESET => "ECONNRESET",
        Errno::EPROTO => "EPROTO",
        Errno::ENOPROTOOPT => "ENOPROTOOPT",
        Errno::ENETDOWN => "ENETDOWN",
        Errno::ENETUNREACH => "ENETUNREACH",
        #[cfg(target_os = "linux")]
        Errno::ENONET => "ENONET",
        Errno::EHOSTDOWN => "EHOSTDOWN",
        Errno::EHOSTUNREACH => "EHOSTUNREACH",
        Errno::EOPNOTSUPP => "EOPNOTSUPP",
        Errno::EPERM => "EPERM",
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => return AcceptError::Shortage,
        _ => return AcceptError::Other,
    })
}

/// Whether this process or the system is out of descriptors.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::EMFILE, Errno::ENFILE])
}

/// Whether a non-blocking connect goes on (`connect(2)`; `EINTR` has the same meaning, POSIX.1-2024).
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::EINPROGRESS, Errno::EINTR])
}

/// Whether this machine has no address of the family.
pub(crate) fn is_missing_family(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL])
}

/// Whether `splice(2)` cannot be used between two descriptors, or not at all in this process; nothing was moved. `EACCES` is not among
/// them: a socket may have it as an error of its own, which the call would take away.
pub(crate) fn is_no_splice(error: &io::Error) -> bool {
    let errnos = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EPERM];
    error.kind() == io::ErrorKind::Unsupported || is_one_of(error, &errnos)
}

/// Whether locking failed because the file system does not support it (NFS without its lock manager, some FUSE).
pub(crate) fn is_missing_locks(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::ENOLCK, Errno::EINVAL])
}

/// Whether a disk failed to read or write.
pub(crate) fn is_disk_failure(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::EIO])
}

/// Whether an error may mean that the kernel does not have the call, or that a filter refuses it (`seccomp(2)`). A
/// packet filter refuses single datagrams with the same errno (`EPERM`).
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
pub(crate) fn may_refuse_call(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::ENOSYS, Errno::EPERM, Errno::EACCES])
}

/// Whether an error may mean that a run of datagrams cannot be sent as one message (`udp(7)`: `UDP_SEGMENT`): they are
/// too long for the route to the peer, or its device does not compute checksums (`EIO`).
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
pub(crate) fn may_refuse_segments(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::EINVAL, Errno::EIO, Errno::EMSGSIZE])
}

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    errnos.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_accept_is_classified() {
        for errno in [Errno::ECONNABORTED, Errno::EPROTO, Errno::ENETDOWN, Errno::EHOSTUNREACH, Errno::EPERM] {
            let AcceptError::Connection(name) = of_accept(&errno.into()) else { panic!("{errno}") };
            assert_eq!(name, format!("{errno:?}"));
        }
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            assert_eq!(of_accept(&errno.into()), AcceptError::Shortage, "{errno}");
        }
        for errno in [Errno::EINVAL, Errno::EBADF] {
            assert_eq!(of_accept(&errno.into()), AcceptError::Other, "{errno}");
        }
        assert_eq!(of_accept(&io::ErrorKind::Other.into()), AcceptError::Other);
    }

    #[test]
    fn a_number_is_displayed_by_its_name_in_c() {
        let shown = |error: io::Error| Code::of(&error).to_string();
        assert_eq!(shown(Errno::EMFILE.into()), "EMFILE");
        assert_eq!(shown(io::ErrorKind::WouldBlock.into()), "EAGAIN");
        assert_eq!(shown(io::Error::from_raw_os_error(4_095)), "errno 4095");
    }

    #[test]
    fn an_error_without_a_number_has_no_meaning_here() {
        let error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert!(
            !is_missing_family(&error)
                && !is_out_of_descriptors(&error)
                && !is_missing_locks(&error)
                && !is_disk_failure(&error)
        );
        assert!(is_missing_family(&Errno::EADDRNOTAVAIL.into()) && is_missing_locks(&Errno::ENOLCK.into()));
    }
}
