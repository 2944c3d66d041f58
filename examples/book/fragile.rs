//! A protocol with a bug, for the book: it answers each line with a hundred divided by the number on it, and panics at `0`.
//!
//! ```text
//! cargo run --example fragile -- --listen hundred=tcp://127.0.0.1:9000
//! echo 7 | nc -N 127.0.0.1 9000
//! ```

use std::process::ExitCode;

use reactor::protocol::{Context, ProtocolError, Reply, Step, StreamProtocol, Within};
use reactor::{Program, Registry};

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 16;

struct Hundred;

impl StreamProtocol for Hundred {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let not_a_number = || ProtocolError::new("no number", "expected a number\n");
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return if input.len() > LINE_BYTES_MAX { Err(not_a_number()) } else { Ok(Step::wait(Within::Request)) };
        };
        let number: u32 =
            str::from_utf8(&input[..end]).ok().and_then(|line| line.parse().ok()).ok_or_else(not_a_number)?;
        cx.out.extend_from_slice(format!("{}\n", 100 / number).as_bytes());
        Ok(Step::again(end + 1))
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    let about = "Divides a hundred by the number on a line.";
    registry.stream_fn("hundred", about, "echo 7 | nc -N 127.0.0.1 9000", |_| Hundred);
    Program::new("fragile", "0.0.1").about("A server that divides by what it is sent.").run(registry)
}
