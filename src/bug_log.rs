//! Logs bugs of protocols.

use crate::kernel::Token;
use crate::log_limit::LogLimit;
use crate::peer::Peer;
use crate::time::Time;
use crate::xray;

/// Logs bugs at a limited rate, because a peer may cause them repeatedly. Each listener has its own limit, so that the
/// bugs of one listener do not hide those of another.
#[derive(Debug, Default)]
pub(crate) struct BugLog(LogLimit);

impl BugLog {
    /// Logs that the protocol of `endpoint` did `what` while it served `who`, with the last X-ray records of `who`.
    /// `peer` is `None` if the connection has already ended.
    pub(crate) fn write(&mut self, now: Time, endpoint: &str, who: Token, peer: Option<&Peer>, what: &str) {
        if let Some(suppressed) = self.0.allow(now) {
            let peer = peer.map(|peer| format!(" (peer {peer})")).unwrap_or_default();
            log::error!("{endpoint}: protocol bug: {what}{peer}{suppressed}");
            if let Some(last) = xray::last(Some(who)) {
                log::error!("last records of {who}:\n{last}");
            }
        }
    }
}
