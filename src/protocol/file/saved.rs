//! A stored file: what the client and the access log get to know of it.

use super::name::Name;
use crate::peer::Peer;
use crate::protocol::{ConnectionId, Context};

/// A file that survives a loss of power.
pub(super) struct Saved {
    pub(super) name: Name,
    pub(super) size: u64,
}

/// Writes the line of the access log about a stored file. It goes with the job that stores the file, because a connection that ends
/// meanwhile does not get the result of that job.
pub(super) struct Witness(Option<Uploader>);

/// The client that has sent a file.
struct Uploader {
    /// The target of the line.
    target: &'static str,
    listener: String,
    connection: ConnectionId,
    peer: Peer,
}

impl Witness {
    /// Makes the witness of an upload. It says nothing while the access log is off.
    pub(super) fn of(cx: &Context<'_>) -> Self {
        let uploader =
            |target| Uploader { target, listener: cx.listener().to_owned(), connection: cx.place.id, peer: cx.peer() };
        Self(cx.place.site.access_log.map(uploader))
    }

    /// Notes that the file is stored.
    pub(super) fn note(self, saved: &Saved) {
        if let Some(Uploader { target, listener, connection, peer }) = self.0 {
            log::info!(
                target: target,
                listener = listener,
                conn:% = connection,
                peer:% = peer,
                name:% = saved.name,
                size = saved.size;
                "saved"
            );
        }
    }
}
