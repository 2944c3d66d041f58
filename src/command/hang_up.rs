//! SIGHUP before the loop watches signals: a server that is starting must not be ended by it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::kernel::{Handle, is_ignored};

/// Remembers a SIGHUP. The handler stays until the process ends, so that none ends it while it stops, either.
pub(super) struct HangUp(Arc<AtomicBool>);

impl HangUp {
    /// Installs the handler, unless the parent process had the signal ignored.
    ///
    /// # Errors
    /// The handler cannot be installed.
    pub(super) fn watch() -> io::Result<Self> {
        let came = Arc::default();
        if !is_ignored(SIGHUP) {
            flag::register(SIGHUP, Arc::clone(&came))?;
        }
        Ok(Self(came))
    }

    /// Passes a SIGHUP that has come to the loop, which watches for the next ones. `is_terminal`: as for
    /// [`Reactor::watch_signals`](crate::Reactor::watch_signals).
    pub(super) fn pass_on(&self, handle: &Handle, is_terminal: bool) {
        match self.0.load(Ordering::SeqCst) {
            true if is_terminal => handle.stop(),
            true => handle.reload(),
            false => {}
        }
    }
}
