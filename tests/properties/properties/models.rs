//! A second implementation of each protocol, to compare with: slow, with the whole input at hand, and without state.

use reactor::protocol::CloseReason;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::streams::{Files, Outcome};

/// The longest request of `sum`, as it is configured by default.
pub(crate) const REQUEST_BYTES_MAX: usize = 4096;

/// The largest file that the models expect to be accepted.
pub(crate) const FILE_BYTES_MAX: u64 = 1000;

pub(crate) const OVERFLOW: &str = r#"{"Error":"sum overflows"}"#;

/// The answer to a request, if `text` is one.
pub(crate) fn sum(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Operands<'a> {
        #[serde(borrow, rename = "A", alias = "a")]
        a: &'a RawValue,
        #[serde(borrow, rename = "B", alias = "b")]
        b: &'a RawValue,
    }
    if !text.trim_start().starts_with('{') {
        return None; // serde takes an array of two for such a structure.
    }
    let Operands { a, b } = serde_json::from_str(text).ok()?;
    let (a, b) = (a.get().parse::<i64>().ok()?, b.get().parse::<i64>().ok()?);
    Some(a.checked_add(b).map_or_else(|| OVERFLOW.to_owned(), |sum| format!(r#"{{"Sum":{sum}}}"#)))
}

/// Whether serde_json accepts one JSON value; it has its own bounds, so a rejection proves nothing.
pub(crate) fn is_surely_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Compares the answers to `stream` and FIN with those computed by serde_json, as far as it gets.
pub(crate) fn check_sums(stream: &[u8], outcome: &Outcome) {
    let sent = str::from_utf8(&outcome.sent).expect("answers are text");
    assert!(sent.is_empty() || sent.ends_with('\n'));
    let mut answers = sent.lines();
    for answer in answers.clone() {
        let answer: serde_json::Value = serde_json::from_str(answer).expect("an answer is JSON");
        let members = answer.as_object().expect("an answer is an object");
        assert!(members.len() == 1 && (members.contains_key("Sum") || members.contains_key("Error")), "{answer}");
    }
    let mut values = serde_json::Deserializer::from_slice(stream).into_iter::<&RawValue>();
    for value in &mut values {
        let Some(value) = value.ok().map(RawValue::get).filter(|value| value.len() <= REQUEST_BYTES_MAX) else {
            return;
        };
        if !is_surely_json(value) {
            return;
        }
        let answer = answers.next().unwrap_or_else(|| panic!("no answer to {value}"));
        match sum(value) {
            Some(expected) => assert_eq!(answer, expected, "{value}"),
            None => assert!(answer.starts_with(r#"{"Error":"#) && answer != OVERFLOW, "{value} is answered {answer}"),
        }
    }
    assert_eq!((answers.next(), outcome.reason), (None, CloseReason::Eof), "every byte belongs to a request");
}

/// The answer of `uppercase` to `stream` and FIN.
pub(crate) fn uppercase(stream: &[u8]) -> Vec<u8> {
    let lines = stream.split_inclusive(|byte| *byte == b'\n');
    let before_exit: Vec<u8> =
        lines.take_while(|line| !matches!(*line, b"exit" | b"exit\n" | b"exit\r\n")).flatten().copied().collect();
    before_exit
        .utf8_chunks()
        .flat_map(|chunk| [chunk.valid().to_uppercase().into_bytes(), chunk.invalid().to_vec()].concat())
        .collect()
}

/// The name, if a file may have it.
pub(crate) fn name(bytes: &[u8]) -> Option<&str> {
    let name = str::from_utf8(bytes).ok()?;
    let is_harmful = |char: char| matches!(char, '/' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}');
    let accepted = (1..=255).contains(&name.len()) && !name.starts_with('.') && !name.contains(is_harmful);
    accepted.then_some(name)
}

/// The bytes before the end of the line, and the bytes after it.
fn line(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = stream.iter().position(|byte| *byte == b'\n')?;
    let line = &stream[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &stream[end + 1..]))
}

/// The result of `file` and `file-sized`: the answers before an error, whether an error comes, and the files.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) answers: String,
    pub(crate) refused: bool,
    pub(crate) files: Files,
}

impl Received {
    fn refused(mut self) -> Self {
        self.refused = true;
        self
    }
}

/// The result of `file` for `stream` and FIN.
pub(crate) fn file(stream: &[u8]) -> Received {
    let mut received = Received::default();
    if stream.is_empty() {
        return received;
    }
    let (bytes, contents, ok) =
        line(stream).map_or((stream, &[][..], "ok"), |(bytes, contents)| (bytes, contents, "ok\n"));
    let Some(name) = name(bytes) else { return received.refused() };
    received.answers.push_str(ok);
    if contents.len() as u64 > FILE_BYTES_MAX {
        return received.refused();
    }
    received.answers.push_str(&format!("saved {name} {}\n", contents.len()));
    received.files.insert(name.to_owned(), contents.to_vec());
    received
}

/// The result of `file-sized` for `stream` and FIN, if no pause ends a line.
pub(crate) fn file_sized(mut stream: &[u8]) -> Received {
    let mut received = Received::default();
    while !stream.is_empty() {
        let Some((bytes, rest)) = line(stream) else { return received.refused() };
        let Some(name) = name(bytes).filter(|name| !received.files.contains_key(*name)) else {
            return received.refused();
        };
        received.answers.push_str("OK\n");
        let Some((digits, rest)) = line(rest) else { return received.refused() };
        let size = str::from_utf8(digits)
            .ok()
            .filter(|digits| (1..=19).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let Some(size) = size.and_then(|size| size.parse::<u64>().ok()).filter(|size| *size <= FILE_BYTES_MAX) else {
            return received.refused();
        };
        received.answers.push_str("OK\n");
        let Some((contents, rest)) = rest.split_at_checked(size as usize) else { return received.refused() };
        received.answers.push_str("OK\n");
        received.files.insert(name.to_owned(), contents.to_vec());
        stream = rest;
    }
    received
}
