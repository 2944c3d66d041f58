//! What the log says of a bug of a protocol.

use crate::kernel::Token;
use crate::log_limit::LogLimit;
use crate::peer::Peer;
use crate::time::Time;
use crate::xray;

/// Bugs that a peer can cause again and again, at a limited rate. Each listener has its own, so that the bugs of one do not
/// hide those of another.
#[derive(Debug, Default)]
pub(crate) struct BugLog(LogLimit);

impl BugLog {
    /// The protocol of `endpoint` did `what` while it served `who`, whose last records tell how it came to that. The peer is
    /// unknown where the connection is gone already.
    pub(crate) fn write(&mut self, now: Time, endpoint: &str, who: Token, peer: Option<&Peer>, what: &str) {
        if let Some(suppressed) = self.0.allow(now) {
            let peer = peer.map(|peer| format!(" (peer {peer})")).unwrap_or_default();
            log::error!("{endpoint}: a bug of the protocol: {what}{peer}{suppressed}");
            if let Some(last) = xray::last(Some(who)) {
                log::error!("its last records:\n{last}");
            }
        }
    }
}
