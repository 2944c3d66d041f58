//! The protocol `sum`, as far as the pieces need it: `{"A":7,"B":4}` is answered by `{"Sum":11}`.

use serde_json::{Deserializer, Value};

const REQUEST_BYTES_MAX: usize = 4096;

/// What stands at the front of a stream.
pub(crate) enum Front {
    /// A request, which has been taken away, and its answer.
    Request(String),
    /// The beginning of a request, or nothing.
    Incomplete,
    /// No request, and no telling where the next one begins.
    Garbage(String),
}

/// Takes a request from the front of what has been received.
pub(crate) fn take(input: &mut Vec<u8>) -> Front {
    let mut values = Deserializer::from_slice(input).into_iter::<Value>();
    let value = values.next();
    let end = values.byte_offset();
    match value {
        Some(Ok(value)) => {
            input.drain(..end);
            Front::Request(answer_to(&value).unwrap_or_else(|| error("not two integers")))
        }
        Some(Err(error)) if !error.is_eof() => Front::Garbage(self::error("not JSON")),
        _ if input.len() > REQUEST_BYTES_MAX => Front::Garbage(error("too long")),
        _ => Front::Incomplete,
    }
}

/// The answer to what must be a request and nothing else.
pub(crate) fn answer(text: &[u8]) -> Option<String> {
    answer_to(&serde_json::from_slice(text).ok()?)
}

pub(crate) fn error(text: &str) -> String {
    format!("{{\"Error\":\"{text}\"}}\n")
}

fn answer_to(value: &Value) -> Option<String> {
    let sum = value["A"].as_i64()?.checked_add(value["B"].as_i64()?)?;
    Some(format!("{{\"Sum\":{sum}}}\n"))
}
