//! Ending background threads.

use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that ends threads of a scope, even if the test fails early.
#[derive(Default)]
pub(crate) struct Ended(AtomicBool);

impl Ended {
    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the flag when the result is dropped.
    #[must_use]
    pub(crate) fn at_the_end(&self) -> impl Drop {
        AtTheEnd(self)
    }
}

struct AtTheEnd<'a>(&'a Ended);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
