//! Catches panics of protocols and jobs, and describes them.
//!
//! The payload of a panic has its message; only a hook gets its place (`std::panic::set_hook`). A process has one hook,
//! so only the command installs ours: a program that embeds the server keeps its own, and gets the message without the
//! place.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use crate::limits::PANIC_MESSAGE_CHARS_MAX;

thread_local! {
    /// The place of the last panic of this thread, if our hook is installed.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panicked {
    /// Place and message, as [`Panicked::detail`] returns them.
    detail: String,
}

impl Panicked {
    /// Describes a caught panic from its payload.
    #[must_use]
    #[cold]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let place = PLACE.with(Cell::take);
        let text = payload.downcast_ref::<&'static str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let detail = detail(place.as_deref(), message);
        // A payload may be of any type. Even if it panics when it is dropped, that panic must not spread.
        if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            mem::forget(again);
        }
        Self { detail }
    }

    /// Returns place and message, as far as they are known, to follow the word "panicked": ` at src/my.rs:7:5: not a
    /// number`. At most 500 characters of the message, all printable: it may quote a peer's bytes.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// Without details, because a peer may see this text.
impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panicked")
    }
}

impl std::error::Error for Panicked {}

fn detail(place: Option<&str>, message: Option<&str>) -> String {
    let mut detail = String::new();
    if let Some(place) = place {
        detail.push_str(" at ");
        detail.push_str(place);
    }
    if let Some(message) = message {
        detail.push_str(": ");
        let mut characters = message.chars();
        for character in characters.by_ref().take(PANIC_MESSAGE_CHARS_MAX) {
            // Quotes are not escaped, to be easier to read.
            match character {
                '"' | '\'' => detail.push(character),
                _ => detail.extend(character.escape_debug()),
            }
        }
        if characters.next().is_some() {
            detail.push('…');
        }
    }
    detail
}

/// Calls code of a protocol or a job. If it panics, everything that it has changed is discarded, so no half-done state
/// is seen. Rule 9: a panic ends its own connection, and nothing else.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked::new)
}

/// A value of a plug-in that the loop may drop. Rule 9: if it panics then, the loop goes on.
pub(crate) struct Foreign<T>(Option<T>);

impl<T> Foreign<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Takes the value out; `None` if it was taken before.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Foreign<T> {
    fn drop(&mut self) {
        if let Some(value) = self.take()
            && let Err(panicked) = catch(move || drop(value))
        {
            log::error!("a value of a plug-in panicked when it was dropped{}", panicked.detail());
        }
    }
}

/// Installs our hook. It does not write panics to stderr, which could block the loop: the caller that catches a panic
/// logs it, at a limited rate, because a peer may cause any number of panics.
pub(crate) fn remember_places() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        // A thread that is ending may have lost its thread-local variables.
        let _ = PLACE.try_with(|last| last.set(place));
        log::debug!("{}", panic.to_string().escape_debug());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics with `payload`, without the hook, which would print it.
    fn panicked(payload: impl Any + Send) -> Panicked {
        catch(|| panic::resume_unwind(Box::new(payload))).expect_err("a panic")
    }

    #[test]
    fn a_panic_is_described_with_its_message_and_its_place() {
        assert_eq!(panicked("static").detail(), ": static");
        assert_eq!(panicked("7 is odd".to_owned()).detail(), ": 7 is odd");
        assert_eq!(panicked(7).detail(), "");
        PLACE.set(Some("src/my.rs:7:5".to_owned()));
        assert_eq!(panicked("\"a\"\nb").detail(), r#" at src/my.rs:7:5: "a"\nb"#);
        assert_eq!(panicked("later").detail(), ": later", "a place belongs to one panic");
    }

    #[test]
    fn the_message_of_a_panic_is_bounded() {
        let long = panicked("ä".repeat(2 * PANIC_MESSAGE_CHARS_MAX));
        assert_eq!(long.detail().chars().count(), ": ".len() + PANIC_MESSAGE_CHARS_MAX + 1);
        assert!(long.detail().ends_with("ä…"));
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("dropped"));
        }
    }

    #[test]
    fn the_panic_of_a_payload_that_is_dropped_does_not_spread() {
        assert_eq!(panicked(Bomb).detail(), "");
    }

    #[test]
    fn the_panic_of_a_foreign_value_that_is_dropped_does_not_spread() {
        assert_eq!(catch(|| drop(Foreign::new(Bomb))), Ok(()));
    }
}
