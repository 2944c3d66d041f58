//! A parent process that passes sockets, as `sd_listen_fds(3)` describes it.
#![allow(unsafe_code, reason = "code between fork and exec, and descriptors by their numbers")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;

/// `reactor` with these sockets as descriptors 3, 4, and so on. `variables` is `LISTEN_FDS=2` and more, as a shell reads it; the
/// shell also knows the `LISTEN_PID`.
pub(crate) fn passing(sockets: &[&OwnedFd], variables: &str) -> Command {
    let script = format!("LISTEN_PID=$$ {variables} exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_reactor")]);
    let numbers: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    // SAFETY: the closure only makes system calls that are safe after a fork (`signal-safety(7)`), and allocates nothing. The
    // sockets outlive the parent's part of the spawn in every test, and the child has its own table of descriptors.
    unsafe { command.pre_exec(move || pass(&numbers)) };
    command
}

/// Makes the descriptors 3, 4, and so on duplicates of `numbers`. Their own numbers may be among these, so they are moved first.
fn pass(numbers: &[RawFd]) -> io::Result<()> {
    const AWAY: RawFd = 500;
    let checked = |result: RawFd| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    for (number, away) in numbers.iter().zip(AWAY..) {
        // SAFETY: the call only changes the child's table of descriptors, where nothing has the number `away`.
        checked(unsafe { libc::dup3(*number, away, libc::O_CLOEXEC) })?;
    }
    for (away, target) in (AWAY..).zip(3..).take(numbers.len()) {
        // SAFETY: as above. `target` may be the descriptor by which the child reports a failure, which is then not reported.
        checked(unsafe { libc::dup2(away, target) })?;
    }
    Ok(())
}
