use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::failure::{Context, Failure, Result};
use super::if_ready::if_ready;
use super::wait::wait;

/// Standard output, unbuffered.
///
/// `println!` would panic when the reader has closed, and would lose bytes when another program has made the terminal
/// non-blocking: that mode belongs to the terminal, not to the program that sets it.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn open() -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        Ok(Self(stdout.context("cannot use standard output")?.into()))
    }

    /// Returns once all bytes are written, however slow the reader is.
    ///
    /// Meanwhile the client does not read from the server, so TCP makes the server wait too: nothing is lost and memory
    /// stays bounded.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        match self.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
            result => result.context("cannot write to standard output"),
        }
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match if_ready(|| (&self.0).write(bytes))? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(written) => bytes = &bytes[written..],
                None => self.wait_until_writable()?,
            }
        }
        Ok(())
    }

    fn wait_until_writable(&self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&self.0.as_raw_fd()), Token(0), Interest::WRITABLE)?;
        wait(&mut poll, &mut Events::with_capacity(1), None)
    }
}
