//! How a demand was missed.

use std::fmt::{self, Display, Formatter};

/// The result of a demand.
pub(crate) type Verdict = Result<(), Miss>;

/// The bytes of an excerpt.
pub(crate) const EXCERPT_BYTES: usize = 60;

/// What the checker sent, got and expected, in words.
pub(crate) struct Miss {
    pub(crate) when: Option<&'static str>,
    pub(crate) sent: String,
    pub(crate) got: String,
    pub(crate) expected: String,
}

impl Miss {
    pub(crate) fn new(sent: impl Into<String>, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { when: None, sent: sent.into(), got: got.into(), expected: expected.into() }
    }

    /// Names the situation, unless one is named already.
    pub(crate) fn when(mut self, situation: &'static str) -> Self {
        self.when.get_or_insert(situation);
        self
    }
}

impl Display for Miss {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(when) = self.when {
            writeln!(f, "          when      {when}")?;
        }
        writeln!(f, "          sent      {}", self.sent)?;
        writeln!(f, "          got       {}", self.got)?;
        write!(f, "          expected  {}", self.expected)
    }
}

/// Bytes as text: escaped, and only the first of them if they are many.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    match bytes.len() {
        0 => "nothing".to_owned(),
        length if length > EXCERPT_BYTES => format!("{}... ({length} bytes)", escaped(&bytes[..EXCERPT_BYTES])),
        _ => escaped(bytes),
    }
}

/// Quotation marks are left as they are: JSON has many.
fn escaped(bytes: &[u8]) -> String {
    let escape = |byte: &u8| {
        if matches!(byte, b'"' | b'\'') { char::from(*byte).to_string() } else { byte.escape_ascii().to_string() }
    };
    bytes.iter().map(escape).collect()
}
