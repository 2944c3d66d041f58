use std::io::{ErrorKind, Result, Write};

use crate::client::if_ready::if_ready;

/// Bytes that are not yet sent to the server. The socket takes as many as it has room for, which may be none.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.written);
        self.written = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Writes until nothing is left or the stream says `WouldBlock`, and returns how many bytes it took.
    pub(crate) fn flush(&mut self, stream: &mut impl Write) -> Result<usize> {
        let before = self.written;
        while !self.is_empty() {
            match if_ready(|| stream.write(&self.bytes[self.written..]))? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(written) => self.written += written,
                None => break,
            }
        }
        Ok(self.written - before)
    }
}
