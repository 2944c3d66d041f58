use std::fmt::Write;

/// The most characters shown of a server's text: enough for the longest file name and the message about it.
const SHOWN_BYTES_MAX: usize = 300;

/// Makes a server's bytes safe for a terminal. Control characters could move the cursor or change its colours, and a
/// server may send without end. So unprintable bytes are escaped, and only the beginning of a long text is shown.
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
