//! The questions of each protocol, and their answers.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

/// The beginning of the names of this run's files, so that none of them exists before.
pub(crate) static RUN: LazyLock<String> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("check-{:x}", since.as_nanos())
});

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Sum,
    Uppercase,
    Greeting,
    Time,
    File,
    FileSized,
}

impl Protocol {
    pub(crate) const STREAMS: &[Self] = &[Self::Sum, Self::Uppercase];
    pub(crate) const ASKED: &[Self] = &[Self::Sum, Self::Uppercase, Self::Greeting];
    pub(crate) const TALKING: &[Self] = &[Self::Sum, Self::Uppercase, Self::Greeting, Self::Time];
    pub(crate) const FILES: &[Self] = &[Self::File, Self::FileSized];
    pub(crate) const ALL: &[Self] =
        &[Self::Sum, Self::Uppercase, Self::Greeting, Self::Time, Self::File, Self::FileSized];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Uppercase => "uppercase",
            Self::Greeting => "greeting",
            Self::Time => "time",
            Self::File => "file",
            Self::FileSized => "file-sized",
        }
    }

    /// A different question for each number, so that each answer shows which question it belongs to.
    pub(crate) fn question(self, number: usize) -> Vec<u8> {
        match self {
            Self::Sum => format!(r#"{{"A":{number},"B":1}}"#).into_bytes(),
            Self::Uppercase => format!("question {number}\n").into_bytes(),
            Self::Greeting => b"hello socket".to_vec(),
            Self::Time => Vec::new(),
            Self::File | Self::FileSized => format!("{}\n", file_name(number)).into_bytes(),
        }
    }

    pub(crate) fn answer(self, number: usize) -> Vec<u8> {
        match self {
            Self::Sum => format!("{{\"Sum\":{}}}\n", number + 1).into_bytes(),
            Self::Uppercase => format!("QUESTION {number}\n").into_bytes(),
            Self::Greeting => b"This is Server\n".to_vec(),
            Self::Time => Vec::new(),
            Self::File => b"ok\n".to_vec(),
            Self::FileSized => b"OK\n".to_vec(),
        }
    }

    /// Questions of `bytes` bytes together, or a few more, and their answers. Millions of bytes take time, so they are made
    /// before the client connects: a server with short deadlines would close it meanwhile.
    pub(crate) fn questions(self, bytes: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut questions, mut answers) = (Vec::new(), Vec::new());
        for number in 1.. {
            if questions.len() >= bytes {
                break;
            }
            questions.extend(self.question(number));
            answers.extend(self.answer(number));
        }
        (questions, answers)
    }
}

/// A name that no other file has.
pub(crate) fn file_name(number: usize) -> String {
    format!("{}-{number}.txt", *RUN)
}
