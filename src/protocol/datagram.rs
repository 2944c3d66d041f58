//! The protocol of a datagram socket.

use std::fmt;

use super::Context;

/// The protocol of one datagram socket: each datagram is a request, and gets at most one datagram in reply.
///
/// UDP has no connections, and any machine can send under a false address, so a protocol should keep no state for a peer.
///
/// ```
/// use std::net::SocketAddr;
/// use reactor::protocol::{Context, DatagramProtocol, Dropped};
/// use reactor::testing::ask;
///
/// /// Answers a datagram by its first byte.
/// struct First;
///
/// impl DatagramProtocol for First {
///     fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
///         let first = payload.first().ok_or(Dropped("empty"))?;
///         cx.out.push(*first);
///         Ok(())
///     }
/// }
///
/// let peer: SocketAddr = "192.0.2.1:4000".parse()?;
/// assert_eq!(ask(&mut First, b"abc", peer), Ok(b"a".to_vec()));
/// assert_eq!(ask(&mut First, b"", peer), Err(Dropped("empty")));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub trait DatagramProtocol: Send {
    /// Handles one datagram. The bytes that it appends to `cx.out` are sent to `cx.peer()` as one datagram; if it appends
    /// none, nothing is sent. A panic drops the datagram, and the socket serves on.
    ///
    /// # Errors
    /// [`Dropped`], for a datagram that must get no reply. Two servers that answer each other's errors go on for ever
    /// (CVE-2024-2169), so do not answer what is not a request.
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped>;

    /// Returns the longest payload, in bytes, that can be a request. A longer datagram is dropped and counted as
    /// `too long`, without a call of the protocol. Called once, when the socket is bound.
    fn payload_bytes_max(&self) -> usize {
        crate::limits::DATAGRAM_BYTES_MAX
    }
}

/// A datagram that gets no reply. The text is the name of its counter: a few words, the same for every peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped(pub &'static str);

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Dropped {}
