use std::io::{Error, ErrorKind, Read, Result};

use crate::client::if_ready::if_ready;

/// The longest line that is kept. Without a bound, a broken server could fill our memory.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes received from the server and not used yet. TCP has no messages: a read may return half a line, or five.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Inbox {
    /// Reads once. `Some(0)` is the end of the stream, `None` is `WouldBlock`.
    pub(crate) fn fill(&mut self, stream: &mut impl Read) -> Result<Option<usize>> {
        self.bytes.drain(..self.consumed);
        self.consumed = 0;
        if self.bytes.len() >= LINE_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "the line is too long"));
        }
        let mut chunk = [0; 16 * 1024];
        let read = if_ready(|| stream.read(&mut chunk))?;
        self.bytes.extend_from_slice(&chunk[..read.unwrap_or(0)]);
        Ok(read)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// Takes the next line, without its newline, if it is complete.
    pub(crate) fn take_line(&mut self) -> Option<Vec<u8>> {
        let length = self.bytes().iter().position(|&byte| byte == b'\n')?;
        let line = self.bytes()[..length].to_vec();
        self.consume(length + 1);
        Some(line)
    }

    pub(crate) fn consume(&mut self, length: usize) {
        self.consumed += length;
    }
}
