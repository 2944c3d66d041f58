//! The protocol `sum`, as far as the pieces need it: `{"A":7,"B":4}` is answered by `{"Sum":11}`.

use serde_json::{Deserializer, Value};

const REQUEST_BYTES_MAX: usize = 4096;

/// Takes all whole requests from the front of what has been received. Gives their answers; and an error line if what follows
/// is none, so that there is no telling where the next one begins.
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
