//! The problems of a configuration: all at once, in the order of the text.

use std::collections::BTreeSet;
use std::fmt;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use serde::de::DeserializeOwned;

use super::deserialize::{Cause, Reader};
use super::document::{Document, line_and_column, member};
use crate::limits::PROBLEMS_MAX;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of the value, such as `listeners[1].limits.idle_timeout`; empty for the text as a whole.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// All problems of one text, in the order of the text; never empty.
///
/// Displayed as one line each: `reactor.json:14:23: listeners[1].protocol: unknown protocol "smu"; did you mean "sum"?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Creates a single problem at a byte offset of `text`.
    pub(crate) fn one(file: &str, text: &str, offset: usize, message: String) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { file: file.to_owned(), list: vec![Problem { line, column, path: String::new(), message }] }
    }

    /// Returns the problems in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, path, message }) in self.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let separator = if path.is_empty() { "" } else { ": " };
            write!(f, "{newline}{}:{line}:{column}: {path}{separator}{message}", self.file)?;
        }
        if self.list.len() < PROBLEMS_MAX { Ok(()) } else { write!(f, "\n{}: there may be more problems", self.file) }
    }
}

impl std::error::Error for Problems {}

/// Collects the problems of one document while the document is being read.
pub(crate) struct Findings<'d> {
    document: &'d Document<'d>,
    /// Offset, path and message.
    found: BTreeSet<(usize, String, String)>,
    /// Offsets of wrong parts. Reading skips them, and so reaches the next problem.
    bad: BTreeSet<usize>,
}

impl<'d> Findings<'d> {
    pub(crate) fn new(document: &'d Document<'d>) -> Self {
        Self { document, found: BTreeSet::new(), bad: BTreeSet::new() }
    }

    /// Whether no more problems are collected.
    fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    /// Reports a problem of the value at `offset`.
    pub(crate) fn report(&mut self, offset: usize, message: impl Into<String>) {
        let path = if self.is_full() { String::new() } else { self.path(offset) };
        self.report_as(offset, path, message);
    }

    /// Reports a problem at `offset` of a value that has the path `path`, or would have it if it were not missing.
    pub(crate) fn report_as(&mut self, offset: usize, path: String, message: impl Into<String>) {
        if !self.is_full() {
            self.found.insert((offset, path, message.into()));
        }
        self.bad.insert(offset);
    }

    /// Returns the path of the value at `offset`.
    pub(crate) fn path(&self, offset: usize) -> String {
        self.document.path(offset)
    }

    /// Reads a `T` from a value, and reports all problems. Wrong parts are left out, so it may return a `T` in spite of problems.
    ///
    /// A deserializer stops at the first error. So it runs again for each problem, without the parts that are known to be wrong,
    /// at most [`PROBLEMS_MAX`] times.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, value: &Value<'_>, null_is_absent: bool) -> Option<T> {
        while !self.is_full() {
            let error = match T::deserialize(Reader { value, bad: &self.bad, null_is_absent }) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let offset = error.offset.unwrap_or_else(|| value.start());
            // A wrong member is left out, and so seems to be missing; it has been reported.
            let is_reported = match error.cause {
                Cause::Missing(name) => member(self.document.find(offset).1, name).is_some(),
                Cause::Reported => true,
                _ => false,
            };
            let is_new = !self.bad.contains(&offset);
            if is_reported {
                self.bad.insert(offset);
            } else {
                self.report(offset, error.to_string());
            }
            if !is_new || offset == value.start() {
                break;
            }
        }
        None
    }

    /// Returns the value, if there is no problem.
    pub(crate) fn finish<T>(self, file: &str, text: &str, value: T) -> Result<T, Problems> {
        if self.found.is_empty() {
            return Ok(value);
        }
        let position = |(offset, path, message)| {
            let (line, column) = line_and_column(text, offset);
            Problem { line, column, path, message }
        };
        Err(Problems { file: file.to_owned(), list: self.found.into_iter().map(position).collect() })
    }
}
