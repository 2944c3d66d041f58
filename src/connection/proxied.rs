//! The opening of a connection that a proxy makes for its client: the header that names the client comes first.

use super::opener::{Opener, Progress};
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::protocol::Refusal;
use crate::proxy::{self, Header};

/// Reads the header, and sends nothing. It needs few bytes, so it reads them again when more come.
#[derive(Default)]
pub(crate) struct Proxied {
    /// Whether the header says that the proxy connects for a client.
    has_client: bool,
}

impl Opener for Proxied {
    fn on_received(&mut self, received: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        match proxy::read(received) {
            Ok(None) => Ok(Progress::More),
            Ok(Some((header, consumed))) => {
                self.has_client = header != Header::Local;
                Ok(Progress::Done { consumed, peer: header.source().map(Peer::from), layer: None })
            }
            Err(_) => Err(Refusal("proxy header")),
        }
    }

    fn is_probe(&self) -> bool {
        !self.has_client
    }
}
