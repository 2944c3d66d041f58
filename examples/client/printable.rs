/// What a server sent, fit for a terminal: control characters could move the cursor or change its colours.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let keep = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(bytes).chars().map(keep).collect()
}
