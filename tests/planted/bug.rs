//! A planted bug.

/// A mistake in one place of the server.
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    /// The numbers of the cases in `docs/reliability.md` that it breaks.
    pub(crate) cases: &'static [u32],
    /// What the server does with the bug, and the projects that had it.
    pub(crate) does: &'static str,
    pub(crate) file: &'static str,
    /// The only function of this name in the file.
    pub(crate) function: &'static str,
    /// An expression, or whole statements, that occur exactly once in the function, letter for letter.
    pub(crate) right: &'static str,
    /// The text in its place while the bug is on.
    pub(crate) wrong: &'static str,
    pub(crate) caught_by: Catcher,
}

/// The test that catches a bug. No test was made for its bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Catcher {
    /// The default seeds of `tests/simulation.rs`.
    Seeds,
    /// A test of the library, by its path.
    Unit(&'static str),
    /// A test of `tests/promises`, on real sockets.
    Promise(&'static str),
}
