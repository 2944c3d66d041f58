//! What the log says of a bug of a protocol.

use crate::kernel::Token;
use crate::log_limit::LogLimit;
use crate::time::Time;
use crate::xray;

/// Bugs that a peer can cause again and again, at a limited rate.
#[derive(Debug, Default)]
pub(crate) struct BugLog(LogLimit);

impl BugLog {
    /// The protocol of `endpoint` did `what` while it served `who`, whose last records tell how it came to that.
    pub(crate) fn write(&mut self, now: Time, endpoint: &str, who: Token, what: &str) {
        if let Some(suppressed) = self.0.allow(now) {
            log::error!("{endpoint}: a bug of the protocol: {what} ({suppressed} such lines suppressed)");
            if let Some(last) = xray::last(Some(who)) {
                log::error!("its last records:\n{last}");
            }
        }
    }
}
