use std::fmt::Write;

/// No more is shown of what a server sent: enough for the longest name of a file, and what is said about it.
const SHOWN_BYTES_MAX: usize = 300;

/// What a server sent, fit for a terminal. Control characters could move the cursor or change its colours, and a server may
/// send without end. So what is not printable is escaped, and of what is long only the beginning is shown.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut text = String::new();
    for chunk in shown.utf8_chunks() {
        // Quotation marks are left as they are: JSON has many.
        text += &chunk.valid().escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
        text += &chunk.invalid().escape_ascii().to_string();
    }
    if shown.len() < bytes.len() {
        // Writing to a string cannot fail.
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
