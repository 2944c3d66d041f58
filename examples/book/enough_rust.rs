//! What a reader of the book has to know of Rust, in small functions: `cargo run --example enough-rust`

use std::io::{self, ErrorKind, Read, Write, stdout};
use std::num::ParseIntError;

/// Borrows the bytes: the caller keeps them.
fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// Borrows the vector to change it: no other code can look at it meanwhile.
fn append(outbox: &mut Vec<u8>, text: &[u8]) {
    outbox.extend_from_slice(text);
}

/// Takes the vector. At the end of this function its memory is freed.
fn finish(outbox: Vec<u8>) -> usize {
    outbox.len()
}

/// `None` if no line has ended yet.
fn first_line(input: &[u8]) -> Option<&[u8]> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    Some(&input[..end])
}

/// The first mistake ends the function, and is its result.
fn sum(text: &str) -> Result<i64, ParseIntError> {
    let mut sum = 0;
    for number in text.split(' ') {
        sum += number.parse::<i64>()?;
    }
    Ok(sum)
}

/// Each state has only the fields that make sense in it.
enum Phase {
    Open { questions: u32 },
    Refused(String),
    Closed,
}

/// The compiler checks that no state is forgotten.
fn describe(phase: &Phase) -> String {
    match phase {
        Phase::Open { questions: 0 } => "open, without a question".to_owned(),
        Phase::Open { questions } => format!("open, after {questions} questions"),
        Phase::Refused(reason) => format!("refused: {reason}"),
        Phase::Closed => "closed".to_owned(),
    }
}

/// What a loop needs of a protocol, and nothing else.
trait Protocol {
    fn answer(&mut self, question: &[u8]) -> Vec<u8>;
}

struct Counting {
    questions: u32,
}

impl Protocol for Counting {
    fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        self.questions += 1;
        format!("{}: {} bytes\n", self.questions, question.len()).into_bytes()
    }
}

/// Works with every type that is a `Protocol`, and with everything that can be read from.
fn converse<P: Protocol>(protocol: &mut P, client: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 8];
    let mut outbox = Vec::new();
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(outbox),
            Ok(count) => outbox.extend(protocol.answer(&buffer[..count])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Calls `call` until it has a result.
fn again<T>(mut call: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(result) = call() {
            return result;
        }
    }
}

fn main() -> io::Result<()> {
    let mut outbox = vec![b'a', b'\n'];
    append(&mut outbox, b"b\n");
    let lines = count_lines(&outbox);
    let bytes = finish(outbox);
    writeln!(stdout(), "{lines} lines, {bytes} bytes")?;

    let Some(line) = first_line(b"hello\nwor") else { return Ok(()) };
    writeln!(stdout(), "{}, {:?}", line.escape_ascii(), first_line(b"wor"))?;
    writeln!(stdout(), "{:?}, {:?}", sum("7 4"), sum("7 x"))?;

    for phase in [Phase::Open { questions: 0 }, Phase::Open { questions: 7 }, Phase::Refused("too long".into())] {
        writeln!(stdout(), "{}", describe(&phase))?;
    }
    writeln!(stdout(), "{}", describe(&Phase::Closed))?;

    let mut protocol = Counting { questions: 0 };
    let answers = converse(&mut protocol, &mut &b"twelve bytes"[..])?;
    stdout().write_all(&answers)?;

    let mut calls = 0;
    let result = again(|| {
        calls += 1;
        (calls == 3).then_some("done")
    });
    writeln!(stdout(), "{result} after {calls} calls")
}
