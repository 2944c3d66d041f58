//! Pipes: bytes of an upload that stay in the kernel on their way from a socket to a file (`splice(2)`).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::OwnedFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::pipe::{SpliceFlags, splice};

use crate::attempt::uninterrupted;
use crate::errno;

/// Bytes that are read from a pipe at a time where `splice(2)` cannot write to the file.
const COPIED_BYTES: usize = 64 * 1024;

/// A pipe that holds bytes of an upload. The server moves them into it from a socket; a [`Sink`](crate::protocol::Sink) that
/// [takes pipes](crate::protocol::Sink::takes_pipes) moves them to a file. A program's memory never holds them.
#[derive(Debug)]
pub struct Pipe {
    /// Where the bytes are.
    ends: Ends,
    /// The number of bytes in the pipe.
    held: usize,
    /// The most bytes that it is to hold.
    capacity: usize,
}

/// A function that opens a pipe, for the pool of uploads. It is called on the loop's thread and does not wait.
pub type OpenPipe = Box<dyn FnMut() -> io::Result<Pipe> + Send>;

#[derive(Debug)]
enum Ends {
    /// Both ends of a pipe of the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Kernel { from: OwnedFd, to: OwnedFd },
    /// The bytes of a simulated pipe, and the pieces that it has room for: a pipe of the kernel may be full of small pieces, too.
    Memory { bytes: VecDeque<u8>, pieces: usize, pieces_max: usize },
}

impl Pipe {
    /// Makes a pipe of the kernel's from its two ends. It holds `capacity` bytes at most.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn of_kernel(from: OwnedFd, to: OwnedFd, capacity: usize) -> Self {
        Self { ends: Ends::Kernel { from, to }, held: 0, capacity }
    }

    /// Makes a simulated pipe. It holds `capacity` bytes at most, in at most `pieces_max` pieces.
    pub(crate) fn in_memory(capacity: usize, pieces_max: usize) -> Self {
        Self { ends: Ends::Memory { bytes: VecDeque::new(), pieces: 0, pieces_max }, held: 0, capacity }
    }

    /// Returns the number of bytes in the pipe.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether the pipe is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Returns the number of bytes that it may still take.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.held
    }

    /// Moves bytes into the pipe from `socket`, at most `most` and [`room`](Self::room), without waiting (`splice(2)`). Returns
    /// their number; 0 is the peer's FIN, or urgent data with a FIN somewhere behind it.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived, or if the pipe is full: perhaps of a few bytes, because each page in it counts as a whole one
    /// (`pipe(7)`).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn take_from(&mut self, socket: impl AsFd, most: usize) -> io::Result<usize> {
        let most = most.min(self.room());
        let Ends::Kernel { to, .. } = &self.ends else { return Err(io::ErrorKind::Unsupported.into()) };
        let count = splice(socket, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.held += count;
        Ok(count)
    }

    /// Moves at most `most` of `arrived` into a simulated pipe. Returns their number, or `None` if the pipe is full.
    pub(crate) fn take_arrived(&mut self, arrived: &mut VecDeque<u8>, most: usize) -> Option<usize> {
        let count = most.min(self.room()).min(arrived.len());
        match &mut self.ends {
            Ends::Memory { bytes, pieces, pieces_max } if count > 0 && *pieces < *pieces_max => {
                *pieces += 1;
                bytes.extend(arrived.drain(..count));
                self.held += count;
                Some(count)
            }
            _ => None,
        }
    }

    /// Whether a simulated pipe is full, of bytes or of pieces.
    pub(crate) fn is_full(&self) -> bool {
        let is_full_of_pieces = matches!(&self.ends, Ends::Memory { pieces, pieces_max, .. } if pieces == pieces_max);
        is_full_of_pieces || self.room() == 0
    }

    /// Moves all bytes in the pipe to `file`, at its position (`splice(2)`), and leaves the pipe empty. May block, for the file
    /// only.
    ///
    /// # Errors
    /// The error of the file. Bytes that it did not take may be left in the pipe.
    pub fn move_to(&mut self, file: impl AsFd) -> io::Result<()> {
        while self.held > 0 {
            match self.move_some(&file) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.held = self.held.saturating_sub(count),
                Err(error) if errno::is_no_splice(&error) => {
                    return self.copy_to(|bytes| write_all(&file, bytes));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes one call. `NONBLOCK` is for the pipe: an empty one is an error, and not something to wait for.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn move_some(&self, file: &impl AsFd) -> io::Result<usize> {
        let Ends::Kernel { from, .. } = &self.ends else { return Err(io::ErrorKind::Unsupported.into()) };
        uninterrupted(|| splice(from, None, file, None, self.held, SpliceFlags::NONBLOCK | SpliceFlags::MOVE))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn move_some(&self, _: &impl AsFd) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads all bytes in the pipe, part by part, and calls `write` with each part.
    ///
    /// # Errors
    /// The first error of `write`. The parts after that are left in the pipe.
    pub fn copy_to(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; self.held.min(COPIED_BYTES)];
        while self.held > 0 {
            match self.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => write(&buffer[..count])?,
            }
        }
        Ok(())
    }
}

/// Reads what is in the pipe; 0 if it is empty. Never waits.
impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.held);
        if most == 0 {
            return Ok(0);
        }
        let count = match &mut self.ends {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Ends::Kernel { from, .. } => uninterrupted(|| rustix::io::read(&*from, &mut buffer[..most]))?,
            Ends::Memory { bytes, pieces, .. } => {
                let count = bytes.read(&mut buffer[..most])?;
                if bytes.is_empty() {
                    *pieces = 0;
                }
                count
            }
        };
        self.held = self.held.saturating_sub(count);
        Ok(count)
    }
}

/// Writes all of `bytes` to `file`.
fn write_all(file: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| rustix::io::write(file, bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests;
