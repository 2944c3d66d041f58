//! A protocol that answers each number by its smallest divisor, and computes it on the thread of the loop or on a
//! worker.
//!
//! ```text
//! cargo run --example divisor -- --listen divisor=tcp://127.0.0.1:9004
//! echo 91 | nc -N 127.0.0.1 9004                               # 7
//! echo 618970019642690137449562111 | nc -N 127.0.0.1 9004      # a prime: days, in which no other client is served
//! ```
//!
//! With the option `on_worker` other clients are served meanwhile.

use std::io::Write;
use std::process::ExitCode;

use reactor::Registry;
use reactor::protocol::{Acceptor, Context, ProtocolError, Reply, Step, StreamProtocol, Within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The digits of the largest number, and a newline.
const LINE_BYTES_MAX: usize = 40;

fn smallest_divisor(number: u128) -> u128 {
    let mut candidates = (2..).take_while(|divisor| *divisor <= number / divisor);
    candidates.find(|divisor| number.is_multiple_of(*divisor)).unwrap_or(number)
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Divisor {
    /// Whether a worker computes the divisor.
    on_worker: bool,
}

impl StreamProtocol for Divisor {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            return if input.len() < LINE_BYTES_MAX { Ok(Step::wait(Within::Request)) } else { Err(no_number()) };
        };
        let number = str::from_utf8(&input[..end]).ok().and_then(|text| text.parse().ok()).ok_or_else(no_number)?;
        if self.on_worker {
            return Ok(Step::job(move || smallest_divisor(number), Self::tell).consuming(end + 1));
        }
        self.tell(smallest_divisor(number), &[], cx).map(|step| step.consuming(end + 1))
    }
}

impl Divisor {
    fn tell(&mut self, divisor: u128, _rest: &[u8], cx: &mut Context<'_>) -> Reply {
        let _ = writeln!(cx.out, "{divisor}"); // An outbox takes everything.
        Ok(Step::again(0))
    }
}

fn no_number() -> ProtocolError {
    ProtocolError::new("no number", "a line is a number below 2^128\n")
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    let about = "Answers each number by its smallest divisor.";
    registry.stream_with("divisor", about, "echo 91 | nc -N 127.0.0.1 9004", |divisor: Divisor, _| {
        Ok(Acceptor::new(move |_| divisor))
    });
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::protocol::CloseReason;
    use reactor::testing::{Script, converse, every_fault, same_for_every_split};

    use super::*;

    #[test]
    fn numbers_are_answered_in_order_wherever_they_are_computed() {
        for divisor in [Divisor { on_worker: false }, Divisor { on_worker: true }] {
            assert_eq!(same_for_every_split(|| divisor, b"91\n13\n0\n1\n").sent, b"7\n13\n0\n1\n");
            every_fault(|| divisor, &Script::new().send("91\n1").send("3\n").fin());
        }
    }

    #[test]
    fn a_line_that_is_not_a_number_or_has_no_end_is_refused() {
        for line in ["ten\n", "340282366920938463463374607431768211456\n", &"0".repeat(LINE_BYTES_MAX)] {
            let transcript = converse(Divisor::default(), &Script::new().send(line));
            assert_eq!(transcript.reason, CloseReason::Refused("no number"), "{line}");
        }
    }
}
