//! Our FIN to the peer of one half of a relay.

/// The state of our FIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fin {
    /// The peer of the other half may send more.
    NotYet,
    /// The peer of the other half has finished; ours follows the last of its bytes.
    Due,
    /// It was sent.
    Sent,
}
