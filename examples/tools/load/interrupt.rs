use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use reactor::kernel::is_ignored;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::client::failure::{Context as _, Result};

/// Signals that end a run early: Ctrl-C, `kill`, `timeout(1)`.
pub(crate) struct Interrupt {
    /// The number of the signal that came, or 0.
    caught: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on the first such signal is only noted, and a second one ends the process at once. An ignored signal
    /// stays ignored. Every call returns the same watch, since signals belong to the process.
    pub(crate) fn watch() -> Result<&'static Self> {
        static WATCH: OnceLock<Interrupt> = OnceLock::new();
        if let Some(watch) = WATCH.get() {
            return Ok(watch);
        }
        let caught = Arc::new(AtomicUsize::new(0));
        let has_come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)) {
            // The actions run in this order, so that the first signal does not end the process.
            flag::register_conditional_default(signal, Arc::clone(&has_come))
                .and_then(|_| flag::register(signal, Arc::clone(&has_come)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&caught), signal as usize))
                .context("cannot watch signals")?;
        }
        Ok(WATCH.get_or_init(|| Self { caught }))
    }

    pub(crate) fn signal(&self) -> Option<c_int> {
        match self.caught.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as c_int),
        }
    }
}

/// Ends the process as the signal would have, so that a shell knows that its script is to end as well.
pub(crate) fn end_by(signal: c_int) -> Result<()> {
    low_level::emulate_default_handler(signal).context("cannot end by a signal")
}
