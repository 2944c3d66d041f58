use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::client::if_ready::if_ready;

/// Standard input, which may be a terminal, a pipe or a file.
///
/// It stays in blocking mode: that mode belongs to the terminal, so the shell would inherit a change when this program
/// ends. A read after an event still returns at once. (Unless another program takes the input first. Then the read
/// waits for the next input.)
///
/// `io::stdin()` won't do: it reads ahead into its own buffer, and no event reports the bytes in there.
pub(crate) struct Keyboard {
    file: File,
    token: Token,
    is_watched: bool,
    is_ready: bool,
}

impl Keyboard {
    pub(crate) fn open(poll: &Poll, token: Token) -> io::Result<Self> {
        let file: File = io::stdin().as_fd().try_clone_to_owned()?.into();
        let is_watched = match poll.registry().register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE) {
            Ok(()) => true,
            // A regular file and /dev/null can't be watched, as they are always ready (see epoll_ctl(2), EPERM).
            Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
            Err(error) => return Err(error),
        };
        Ok(Self { file, token, is_watched, is_ready: !is_watched })
    }

    pub(crate) fn note(&mut self, event: &Event) {
        self.is_ready |= event.token() == self.token;
    }

    /// Reads once. `Some(0)` is the end of the input, and `None` means that there is none before the next event.
    ///
    /// In blocking mode a second read might block, so reading until `WouldBlock` to use up the edge is impossible.
    /// Instead the file is registered again: if there is still input, that causes a new event.
    pub(crate) fn read(&mut self, poll: &Poll, chunk: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.is_ready {
            return Ok(None);
        }
        let read = if_ready(|| self.file.read(chunk))?;
        if self.is_watched {
            self.is_ready = false;
            poll.registry().reregister(&mut SourceFd(&self.file.as_raw_fd()), self.token, Interest::READABLE)?;
        }
        Ok(read)
    }

    /// Closing the file would not end its events: this descriptor is a duplicate, and events go on until the last
    /// duplicate is closed.
    pub(crate) fn close(self, poll: &Poll) -> io::Result<()> {
        if self.is_watched {
            poll.registry().deregister(&mut SourceFd(&self.file.as_raw_fd()))?;
        }
        Ok(())
    }
}
