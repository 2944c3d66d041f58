//! Step 3: framing. A question ends at its brace, and not where a read ends.

use std::io::{Read, Result, Write};
use std::net::TcpListener;

use crate::sum;

/// Collects input, and takes whole questions from it.
#[derive(Default)]
struct Framing {
    input: Vec<u8>,
}

impl Framing {
    /// Returns the answers to the questions that end in the received bytes.
    fn answers(&mut self, received: &[u8]) -> Result<Vec<u8>> {
        self.input.extend_from_slice(received);
        let mut answers = Vec::new();
        let mut start = 0;
        while let Some(length) = self.input[start..].iter().position(|byte| *byte == b'}') {
            let end = start + length + 1;
            answers.extend(sum::answer(&self.input[start..end])?);
            start = end;
        }
        self.input.drain(..start);
        Ok(answers)
    }
}

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (mut client, _) = listener.accept()?;
        let mut framing = Framing::default();
        let mut received = [0; 4096];
        loop {
            let count = client.read(&mut received)?;
            if count == 0 {
                break;
            }
            client.write_all(&framing.answers(&received[..count])?)?;
        }
    }
}
