//! The text view: one line for each record.

use std::io::{self, Write};

use super::Recording;

/// Writes `recording` to `to`.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    for record in &recording.records {
        writeln!(to, "{record:?}")?;
    }
    Ok(())
}
