//! `load raw`: requests and answers of any protocol, which the command line describes.

mod expectation;
mod options;
mod text;

pub(crate) use expectation::{Expectation, RawAnswers};
pub(crate) use options::RawOptions;
