//! Writes whole texts to stdout and stderr, even if these are non-blocking.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::write;

use crate::attempt::{Attempt, attempt, uninterrupted};

/// Writes all of `text`. Another process that shares the terminal or pipe may have made it non-blocking; if it is full, this waits
/// for room (`poll(2)`).
///
/// # Errors
/// See `write(2)`: the disk is full, or the reader has closed the pipe.
pub(super) fn write_whole(to: impl AsFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match attempt(|| Ok(write(&to, rest)?)) {
            Attempt::Done(0) => return Err(io::ErrorKind::WriteZero.into()),
            Attempt::Done(count) => rest = &rest[count..],
            Attempt::WouldBlock => {
                uninterrupted(|| poll(&mut [PollFd::new(&to, PollFlags::OUT)], None))?;
            }
            Attempt::Failed(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::thread;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    #[test]
    fn all_of_a_text_arrives_through_a_pipe_that_is_non_blocking_and_full() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("an open pipe");
        let text = "0123456789".repeat(100_000);
        let expected = text.clone();
        let writes = thread::spawn(move || write_whole(&writer, &text));
        let mut arrived = String::new();
        reader.read_to_string(&mut arrived).expect("text");
        writes.join().expect("no panic").expect("all is written");
        assert!(arrived == expected, "{} bytes", arrived.len());
    }

    #[test]
    fn a_reader_that_has_closed_is_an_error_and_not_an_endless_wait() {
        let (reader, writer) = io::pipe().expect("a pipe");
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("an open pipe");
        while write(&writer, &[0; 4096]).is_ok() {}
        drop(reader);
        assert_eq!(write_whole(&writer, "x").expect_err("the pipe has no reader").kind(), io::ErrorKind::BrokenPipe);
    }
}
