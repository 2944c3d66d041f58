//! The forms in which a recording is written.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use super::Recording;
use super::{page, text, trace_events};

/// A form in which a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum View {
    /// `.txt`: one line for each record, as terse as `strace(1)`.
    Text,
    /// `.json`: trace events, which Perfetto and Chrome open.
    TraceEvents,
    /// `.html`: a page with a timeline, which any browser opens.
    Page,
}

impl View {
    /// All views.
    pub const ALL: [Self; 3] = [Self::Text, Self::TraceEvents, Self::Page];

    /// The file name extension of this view, without the dot.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::TraceEvents => "json",
            Self::Page => "html",
        }
    }

    /// Returns the view that the extension of `path` names.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|view| path.extension() == Some(OsStr::new(view.ending())))
    }

    /// Writes `recording` to `to`.
    ///
    /// # Errors
    /// Errors of `to`.
    pub fn write(self, recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Text => text::write(recording, to),
            Self::TraceEvents => trace_events::write(recording, to),
            Self::Page => page::write(recording, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_chooses_the_view() {
        for view in View::ALL {
            assert_eq!(View::of(&Path::new("a.b/c").with_extension(view.ending())), Some(view));
        }
        for path in ["x", "txt", ".txt", "x.TXT", "x.txt.gz"] {
            assert_eq!(View::of(Path::new(path)), None, "{path}");
        }
    }
}
