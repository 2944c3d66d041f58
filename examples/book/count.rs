//! A protocol that counts lines, and answers with their number at the end of the input.
//!
//! ```text
//! cargo run --example count -- --listen count=tcp://127.0.0.1:9002
//! seq 5 | nc -N 127.0.0.1 9002
//! ```

use std::io::Write;
use std::process::ExitCode;

use memchr::memchr_iter;
use reactor::Registry;
use reactor::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};

#[derive(Default)]
struct Count {
    lines: u64,
}

impl StreamProtocol for Count {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        self.lines += memchr_iter(b'\n', input).count() as u64;
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }

    fn on_event(&mut self, event: Event, _rest: &[u8], cx: &mut Context<'_>) -> Reply {
        if let Event::Eof | Event::Closing = event {
            let _ = writeln!(cx.out, "{} lines", self.lines); // An outbox takes everything.
        }
        Ok(Step::finish())
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    let about = "Counts lines until the end of the input.";
    registry.stream_fn("count", about, "seq 5 | nc -N 127.0.0.1 9002", |_| Count::default());
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::protocol::CloseReason;
    use reactor::testing::{Script, converse, every_fault, same_for_every_split};

    use super::*;

    #[test]
    fn lines_are_counted_however_they_arrive_and_whatever_fails() {
        assert_eq!(same_for_every_split(Count::default, b"a\n\nb\nrest").sent, b"3 lines\n");
        every_fault(Count::default, &Script::new().send("a\nb").send("\n").fin());
    }

    #[test]
    fn a_client_that_falls_silent_learns_how_much_arrived() {
        let transcript = converse(Count::default(), &Script::new().send("a\n"));
        assert_eq!(transcript.sent, b"1 lines\n");
        assert_eq!(transcript.reason, CloseReason::Idle);
    }
}
