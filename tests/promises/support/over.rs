//! The end of what goes on in the background.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something is over. Threads of a scope that look at it end even if the test fails before their time.
#[derive(Default)]
pub(crate) struct Over(AtomicBool);

impl Over {
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It is over when the result goes out of scope.
    #[must_use]
    pub(crate) fn at_the_end(&self) -> impl Drop {
        AtTheEnd(self)
    }
}

struct AtTheEnd<'a>(&'a Over);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
