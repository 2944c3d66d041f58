//! Which planted bug is switched on. This module exists only in the copy of the server that `tests/planted` makes.

use std::sync::OnceLock;

/// Whether `bug` is the one that the environment names.
pub(crate) fn on(bug: &str) -> bool {
    static BUG: OnceLock<Option<String>> = OnceLock::new();
    BUG.get_or_init(|| std::env::var("REACTOR_PLANTED").ok()).as_deref() == Some(bug)
}
