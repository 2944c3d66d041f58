use std::ops::Range;

use crate::client::url::Transport;
use crate::options::{Cli, Protocol};

/// Different requests: enough to notice an answer that belongs to another request.
const VARIANTS: usize = 64;
/// Over UDP only the answer shows which request it belongs to, so all requests in flight must differ.
const UDP_VARIANTS: usize = 2048;
/// The most bytes of all variants, so large requests have fewer variants.
const VARIANTS_BYTES: usize = 4 * 1024 * 1024;

/// All requests with their answers, made in advance: variant after variant, then the first again.
pub(crate) struct Tape {
    requests: Vec<u8>,
    /// Where each request starts. There are more starts than variants, so that a batch can run past the last variant.
    starts: Vec<usize>,
    answers: Vec<u8>,
    /// As `starts`, for the answers.
    answer_starts: Vec<usize>,
    variants: usize,
}

impl Tape {
    pub(crate) fn new(cli: &Cli) -> Self {
        let size = cli.size() as usize;
        let variants = match (cli.protocol, cli.transport()) {
            (Protocol::Raw, _) => 1,
            (_, Transport::Tcp) => (VARIANTS_BYTES / size.max(1)).clamp(4, VARIANTS),
            (_, Transport::Udp) => UDP_VARIANTS,
        };
        let pairs: Vec<_> = (0..variants)
            .map(|variant| match cli.protocol {
                Protocol::Sum => sum(variant, size),
                // What its answers are, an expectation knows.
                Protocol::Raw => (cli.raw.request().to_vec(), Vec::new()),
                _ => uppercase(variant, size),
            })
            .collect();
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        let (mut starts, mut answer_starts) = (vec![0], vec![0]);
        for (request, answer) in pairs.iter().cycle().take(variants + cli.pipeline as usize) {
            requests.extend_from_slice(request);
            starts.push(requests.len());
            answers.extend_from_slice(answer);
            answer_starts.push(answers.len());
        }
        Self { requests, starts, answers, answer_starts, variants }
    }

    /// The variant with which a user starts: a different one for each user.
    pub(crate) fn first(&self, user: usize) -> usize {
        user * 7 % self.variants
    }

    /// The variant that comes `count` requests after this one.
    pub(crate) fn after(&self, variant: usize, count: usize) -> usize {
        let after = variant + count;
        if after < self.variants { after } else { after % self.variants }
    }

    /// Returns where `count` requests are, from a variant on.
    pub(crate) fn range(&self, variant: usize, count: usize) -> Range<usize> {
        self.starts[variant]..self.starts[variant + count]
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.requests[range]
    }

    pub(crate) fn has_answer(&self, answer: &[u8]) -> bool {
        (0..self.variants).any(|variant| self.answer(variant) == answer)
    }

    /// The answers to `count` requests, from a variant on.
    pub(crate) fn answers(&self, variant: usize, count: usize) -> &[u8] {
        &self.answers[self.answer_starts[variant]..self.answer_starts[variant + count]]
    }

    /// Returns how many of `count` answers, from a variant on, are within the first `length` bytes, and the length of
    /// those.
    pub(crate) fn whole_answers(&self, variant: usize, count: usize, length: usize) -> (usize, usize) {
        let start = self.answer_starts[variant];
        if self.answer_starts[variant + count] - start <= length {
            return (count, self.answer_starts[variant + count] - start);
        }
        let ends = &self.answer_starts[variant + 1..=variant + count];
        let whole = ends.iter().take_while(|end| **end - start <= length).count();
        (whole, self.answer_starts[variant + whole] - start)
    }

    pub(crate) fn answer(&self, variant: usize) -> &[u8] {
        self.answers(variant, 1)
    }
}

fn sum(variant: usize, size: usize) -> (Vec<u8>, Vec<u8>) {
    let (a, b) = (1000 + 7919 * variant, 7);
    let mut request = format!(r#"{{"A":{a},"B":{b}"#).into_bytes();
    request.resize(request.len().max(size.saturating_sub(1)), b' ');
    request.push(b'}');
    (request, format!("{{\"Sum\":{}}}\n", a + b).into_bytes())
}

fn uppercase(variant: usize, size: usize) -> (Vec<u8>, Vec<u8>) {
    let text = format!("{variant:x} ")
        .into_bytes()
        .into_iter()
        .chain(b"how vexingly quick daft zebras jump, ".iter().copied().cycle());
    let mut line: Vec<u8> = text.take(size - 1).collect();
    line.push(b'\n');
    let answer = line.to_ascii_uppercase();
    (line, answer)
}
