//! Panics of code that is not ours: caught, and put into words.
//!
//! What a panic says is in its payload; where it happened only a hook learns (`std::panic::set_hook`). There is one hook for a
//! whole process, so only the command installs ours: a program that embeds the server keeps its own, and gets the message
//! without the place.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use crate::limits::PANIC_MESSAGE_CHARS_MAX;

thread_local! {
    /// Where the last panic of this thread happened, if our hook is installed.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Code that panicked instead of returning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panicked {
    /// Place and message, as [`Panicked::detail`] returns them.
    detail: String,
}

impl Panicked {
    /// What is known of a panic that has been caught, from its payload.
    #[must_use]
    #[cold]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let place = PLACE.with(Cell::take);
        let text = payload.downcast_ref::<&'static str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let detail = detail(place.as_deref(), message);
        // A payload may be of any type, and even one that panics when it is dropped must not reach further.
        if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            mem::forget(again);
        }
        Self { detail }
    }

    /// Place and message, as far as they are known, to stand behind who panicked: ` at src/my.rs:7:5: not a number`. At most
    /// 500 characters of the message, all of them printable: it may quote what a peer sent.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// It does not say more, because an error may be told to a peer.
impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it panicked")
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
            // What quotes need no escape here would be harder to read with one.
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

/// Calls code that is not ours. Whatever it has touched is thrown away if it panics, so nothing half done is seen. Rule 9: it
/// ends its own connection, and nothing else.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked::new)
}

/// Installs our hook. Panics are not written to stderr, for which the loop would wait: the caller that catches one tells it, at a limited
/// rate, because a peer may cause it as often as it likes.
pub(crate) fn remember_places() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        // A thread that ends has no place to remember it.
        let _ = PLACE.try_with(|last| last.set(place));
        log::debug!("{}", panic.to_string().escape_debug());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics with whatever it is, past the hook, which would print it.
    fn panicked(payload: impl Any + Send) -> Panicked {
        catch(|| panic::resume_unwind(Box::new(payload))).expect_err("a panic")
    }

    #[test]
    fn a_panic_is_told_with_its_message_and_its_place() {
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

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_reaches_no_further() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic::resume_unwind(Box::new("dropped"));
            }
        }
        assert_eq!(panicked(Bomb).detail(), "");
    }
}
