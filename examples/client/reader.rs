use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::client::failure::{Context, Result};

/// Asks for an event when the reader of our standard output closes it. Otherwise a client with nothing to write would
/// not notice, and `time | head -1` would run for as long as the server does.
pub(crate) fn watch_reader(poll: &Poll, token: Token) -> Result<()> {
    let stdout = io::stdout().as_raw_fd();
    match poll.registry().register(&mut SourceFd(&stdout), token, Interest::WRITABLE) {
        // A regular file can't be watched, and has no reader that could close it (see epoll_ctl(2), EPERM).
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        result => result.context("cannot watch standard output"),
    }
}

pub(crate) fn has_left(event: &Event, token: Token) -> bool {
    event.token() == token && event.is_write_closed()
}
