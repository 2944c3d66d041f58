//! The output buffer of a connection: protocols append, the driver sends.

use std::io;

/// Output for one peer, in order.
///
/// A protocol only appends. The driver writes the bytes right after the protocol's call, keeps those that the kernel
/// did not take, and delivers no input while too much is pending: a protocol never asks whether there is room.
///
/// It implements [`io::Write`], which never fails, so that `write!` and `serde_json::to_writer` work.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The bytes in order, from the oldest that is still in memory.
    bytes: Vec<u8>,
    /// Bytes at the front that have been sent: fewer than are left, so at most half of the buffer is unused.
    sent: usize,
}

impl Outbox {
    /// Makes an outbox that has allocated nothing.
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), sent: 0 }
    }

    /// Appends `bytes` and returns them within the outbox, for a protocol that transforms them in place.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> &mut [u8] {
        self.make_room(bytes.len());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        &mut self.bytes[start..]
    }

    /// Appends one byte.
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Returns the number of bytes that have not been sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Returns whether everything has been sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Returns the bytes that have not been sent.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Removes the first `count` bytes of [`Outbox::pending`], which the kernel took.
    pub(crate) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "the kernel cannot take more than was offered");
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.clear();
        } else if self.sent >= self.len() {
            // A peer that always leaves a little pending must not make the buffer grow. No more bytes are moved than
            // were sent.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Makes room for `more` bytes. If that needs a new allocation, sent bytes are not copied to it.
    #[inline]
    fn make_room(&mut self, more: usize) {
        if self.sent > 0 && self.bytes.capacity() - self.bytes.len() < more {
            self.leave_what_is_sent(more);
        }
    }

    #[cold]
    fn leave_what_is_sent(&mut self, more: usize) {
        let mut bytes = Vec::with_capacity(self.len() + more);
        bytes.extend_from_slice(self.pending());
        *self = Self { bytes, sent: 0 };
    }

    /// Removes and returns the bytes after the first `from` pending ones.
    pub(crate) fn split_off(&mut self, from: usize) -> Vec<u8> {
        self.bytes.split_off(self.sent + from)
    }

    /// Discards all bytes, and keeps the memory for the next visit.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    /// Frees memory beyond the pending bytes, if it is much: a peer may leave the output pending for long.
    pub(crate) fn trim(&mut self) {
        const SPARE_BYTES_MAX: usize = 16 * 1024;
        if self.bytes.capacity() - self.bytes.len() > SPARE_BYTES_MAX {
            self.bytes.shrink_to_fit();
        }
    }

    /// Returns the bytes of memory that are allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl io::Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_the_kernel_took_are_gone_and_the_rest_stays_in_order() {
        let mut outbox = Outbox::default();
        outbox.extend_from_slice(b"hello ");
        outbox.extend_from_slice(b"world");
        outbox.advance(4);
        assert_eq!(outbox.pending(), b"o world");
        outbox.push(b'!');
        assert_eq!(outbox.len(), 8);
        outbox.advance(8);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_peer_that_never_takes_everything_does_not_make_the_buffer_grow() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.extend_from_slice(&[0; 64 * 1024]);
            outbox.advance(outbox.len() - 1);
        }
        assert_eq!(outbox.len(), 1);
        assert!(outbox.capacity() <= 256 * 1024, "{} bytes", outbox.capacity());
    }

    #[test]
    fn sent_bytes_are_not_kept_when_more_memory_is_needed() {
        let mut outbox = Outbox::default();
        outbox.extend_from_slice(&[1; 1000]);
        outbox.trim();
        outbox.advance(400);
        outbox.extend_from_slice(&[2; 500]);
        assert!(outbox.pending() == [&[1; 600][..], &[2; 500]].concat());
        assert!(outbox.capacity() < 1500, "{} bytes", outbox.capacity());
    }

    #[test]
    fn appended_bytes_can_be_changed_in_place() {
        let mut outbox = Outbox::default();
        outbox.extend_from_slice(b"Keep ");
        outbox.extend_from_slice(b"change").make_ascii_uppercase();
        assert_eq!(outbox.pending(), b"Keep CHANGE");
    }
}
