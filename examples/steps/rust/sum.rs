//! The protocol: two numbers as JSON, and their sum.

use std::io;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Question {
    a: i64,
    b: i64,
}

/// Returns the answer to a question. Fails if it is a mistake.
pub(crate) fn answer(question: &[u8]) -> io::Result<Vec<u8>> {
    let Question { a, b } = serde_json::from_slice(question)?;
    let sum = a.checked_add(b).ok_or_else(|| io::Error::other("the sum does not fit"))?;
    Ok(format!("{{\"Sum\":{sum}}}\n").into_bytes())
}
