//! Where a question ends, for the steps from 4 on.

use crate::sum;

/// A longer question is a mistake, so that no client fills the memory.
const QUESTION_BYTES_MAX: usize = 4096;

/// Collects input, and takes whole questions from it.
#[derive(Default)]
pub(crate) struct Framing {
    input: Vec<u8>,
    /// After a mistake nothing more is answered.
    pub(crate) is_refused: bool,
}

impl Framing {
    /// Appends the answers to the questions that end in the received bytes; after a mistake, an error line.
    pub(crate) fn answer(&mut self, received: &[u8], answers: &mut Vec<u8>) {
        self.input.extend_from_slice(received);
        let mut start = 0;
        while let Some(length) = self.input[start..].iter().position(|byte| *byte == b'}') {
            let end = start + length + 1;
            match sum::answer(&self.input[start..end]) {
                Ok(answer) => answers.extend(answer),
                Err(_) => return self.refuse(answers),
            }
            start = end;
        }
        let blanks = self.input[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.input.drain(..start + blanks);
        if self.input.len() > QUESTION_BYTES_MAX {
            self.refuse(answers);
        }
    }

    fn refuse(&mut self, answers: &mut Vec<u8>) {
        self.is_refused = true;
        answers.extend(b"{\"Error\":\"not a question\"}\n");
    }
}
