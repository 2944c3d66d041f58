//! From the number of a descriptor that another process passed to its owner in this one.
#![allow(unsafe_code, reason = "a descriptor that another process opened comes as a number")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::libc;
use rustix::io::{FdFlags, fcntl_setfd};

/// Takes the descriptor `number`, which must have come through `execve(2)`, and closes it in programs that this one executes.
///
/// # Errors
/// It is not open, or this process has opened it or taken it already: then it is closed at an exec.
pub(super) fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call reads one number of the kernel's table and no memory. If no descriptor has the number, it fails.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        let message = format!("expected descriptor {number} from the service manager, found that it was not passed");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // SAFETY: the descriptor is open. It has no other owner: Rust's library, the packages and this crate open every descriptor so
    // that it is closed at an exec, and this one is not. So it came through an exec, from a process that announced it to this one
    // for that purpose (`LISTEN_PID`). The next call makes it close at an exec, so that this function never returns it twice; the
    // caller calls it once in a process, so no two threads can be between these two calls.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use rustix::io::{dup, fcntl_getfd};

    use super::*;

    #[test]
    fn a_descriptor_that_came_through_an_exec_is_taken_once() {
        let file = File::open("/dev/null").expect("a file");
        assert!(take(file.as_raw_fd()).is_err(), "this process has opened it");
        // A duplicate is not closed at an exec, as if it had come through one (`dup(2)`).
        let number = dup(&file).map(std::os::fd::IntoRawFd::into_raw_fd).expect("a descriptor");
        let taken = take(number).expect("an open descriptor");
        assert_eq!(fcntl_getfd(&taken).expect("its flags"), FdFlags::CLOEXEC);
        assert!(take(number).is_err(), "it is taken");
        assert!(take(RawFd::MAX).is_err(), "it is not open");
    }
}
