//! The part of the protocol `sum` that the pieces need: `{"A":7,"B":4}` is answered by `{"Sum":11}`.

use serde_json::{Deserializer, Value};

const REQUEST_BYTES_MAX: usize = 4096;

/// Takes all whole requests from the front of the input. Returns their answers; and an error line if the next bytes are
/// not a request, so that the start of the one after it is unknown.
pub(crate) fn take(input: &mut Vec<u8>) -> (String, Option<String>) {
    let mut values = Deserializer::from_slice(input).into_iter::<Value>();
    let mut answers = String::new();
    let refusal = loop {
        match values.next() {
            Some(Ok(value)) => answers += &answer_to(&value).unwrap_or_else(|| error("not two integers")),
            Some(Err(mistake)) if !mistake.is_eof() => break Some(error("not JSON")),
            _ => break None,
        }
    };
    let end = values.byte_offset();
    input.drain(..end);
    let too_long = input.len() > REQUEST_BYTES_MAX;
    (answers, refusal.or_else(|| too_long.then(|| error("too long"))))
}

/// Returns the answer to bytes that must be exactly one request.
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
