use serde_json::Value;

use crate::client::failure::{Failure, Result};

/// Makes the requests.
pub(crate) struct Questions {
    a: i64,
    b: i64,
    asked: u64,
}

pub(crate) struct Question {
    pub(crate) request: String,
    /// The exact sum. When it exceeds 64 bits no answer can equal it, and the server sends an error.
    pub(crate) sum: i128,
}

impl Questions {
    pub(crate) fn new(a: i64, b: i64) -> Self {
        Self { a, b, asked: 0 }
    }

    /// Returns the next question: the same one until `advance` is called.
    pub(crate) fn next(&self) -> Result<Question> {
        let Some(a) = self.a.checked_add_unsigned(self.asked) else {
            return Failure::because(format!("A has grown beyond 64 bits after {} requests", self.asked));
        };
        Ok(Question { request: format!(r#"{{"A":{a},"B":{}}}"#, self.b), sum: i128::from(a) + i128::from(self.b) })
    }

    pub(crate) fn advance(&mut self) {
        self.asked += 1;
    }
}

pub(crate) enum Reply {
    Sum(i128),
    Error(String),
    Unknown,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        match (value["Sum"].as_i64(), value["Error"].as_str()) {
            (Some(sum), None) => Self::Sum(sum.into()),
            (None, Some(text)) => Self::Error(text.into()),
            _ => Self::Unknown,
        }
    }
}
