//! What an outgoing connection is for.

use crate::protocol::Connect;
use crate::time::Time;
use crate::token::Token;

/// The connection for which a socket connects.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The connection whose protocol asked.
    pub(crate) asker: Token,
    /// The end of the time for all addresses.
    pub(crate) until: Time,
    /// What it asked for.
    pub(crate) connect: Box<Connect>,
}
