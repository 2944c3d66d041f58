//! Opens, fills and closes pipes on the loop's thread, and records that.

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::OwnedFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::{Pipe, Transport};
use crate::attempt::{Attempt, attempt};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::limits::PIPE_BYTES;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::xray::ReturnValue;
use crate::xray::{self, Answer, Call, What};

/// Opens a pipe of [`PIPE_BYTES`]. A smaller one gains nothing: what makes `splice(2)` cheap is the number of bytes for each call.
///
/// # Errors
/// Out of descriptors, or the user has too many pipes (`pipe(7)`: `pipe-user-pages-soft`), or they may not be that large.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn open() -> io::Result<Pipe> {
    let Ends(from, to) = xray::answered(
        pipe_with(PipeFlags::CLOEXEC).map(|(from, to)| Ends(from, to)).map_err(io::Error::from),
        || Call::Pipe,
    )?;
    let resized = fcntl_setpipe_size(&to, PIPE_BYTES).map_err(io::Error::from);
    let resized = xray::answered(resized, || Call::SetPipeSize { bytes: PIPE_BYTES as u32 });
    let pipe = Pipe::of_kernel(from, to, PIPE_BYTES);
    match resized {
        Ok(_) => Ok(pipe),
        Err(error) => {
            close(pipe);
            Err(error)
        }
    }
}

/// Both ends of a new pipe.
#[cfg(any(target_os = "linux", target_os = "android"))]
struct Ends(OwnedFd, OwnedFd);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl ReturnValue for Ends {
    fn number(&self) -> i32 {
        0
    }
}

/// Moves at most `most` bytes from a stream into a pipe, as [`Transport::splice`] does.
pub(crate) fn fill<T: Transport>(pipe: &mut Pipe, stream: &mut T, most: usize) -> Attempt<usize> {
    attempt(|| xray::answered(stream.splice(pipe, most), || Call::Splice { asked: most as u32 }))
}

/// Closes a pipe. Bytes in it are lost.
pub(crate) fn close(pipe: Pipe) {
    drop(pipe);
    for _ in 0..2 {
        xray::record(|| What::Call { call: Call::ClosePipe, answer: Answer::ZERO });
    }
}
