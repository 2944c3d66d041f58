//! The smallest plug-in: it answers each line with the same line, reversed.
//!
//! ```text
//! cargo run --example plugin -- --listen reverse=tcp://127.0.0.1:9000
//! echo 'step on no pets!' | nc -N 127.0.0.1 9000
//! ```
//!
//! The program *is* the `reactor` command with one protocol more: it reads the same configuration, knows `check`,
//! `schema` and `protocols`, and serves the built-in protocols as well.

use std::process::ExitCode;

use reactor::Registry;
use reactor::protocol::{Context, ProtocolError, Reply, Step, StreamProtocol, Within};

const ABOUT: &str = "Answers each line with the same line, reversed.";

/// The longest line, in bytes: all input from a peer has a bound.
const LINE_BYTES_MAX: usize = 1024;

struct Reverse;

impl StreamProtocol for Reverse {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n') else {
            if input.len() > LINE_BYTES_MAX {
                return Err(ProtocolError::new("long line", "a line has 1024 bytes at most\n"));
            }
            return Ok(Step::wait(Within::Request));
        };
        cx.out.extend_from_slice(&input[..end]).reverse();
        cx.out.push(b'\n');
        Ok(Step::again(end + 1))
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream_fn("reverse", ABOUT, "echo 'step on no pets!' | nc -N 127.0.0.1 9000", |_| Reverse);
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::protocol::CloseReason;
    use reactor::testing::{Script, converse, every_fault, same_for_every_split};

    use super::*;

    #[test]
    fn lines_come_back_reversed_however_they_arrive_and_whatever_fails() {
        assert_eq!(same_for_every_split(|| Reverse, b"abc\n\nde\n").sent, b"cba\n\ned\n");
        every_fault(|| Reverse, &Script::new().send("abc\nd").send("e\n").fin());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let transcript = converse(Reverse, &Script::new().send("x".repeat(LINE_BYTES_MAX)).send("x").fin());
        assert_eq!(transcript.sent, b"a line has 1024 bytes at most\n");
        assert_eq!(transcript.reason, CloseReason::Refused("long line"));
    }
}
