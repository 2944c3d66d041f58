//! A protocol that speaks unasked: it sends a line each second, whatever the client sends.
//!
//! ```text
//! cargo run --example ticker -- --listen ticker=tcp://127.0.0.1:9005
//! nc 127.0.0.1 9005
//! ```
//!
//! The protocol names the time of the next line, and the driver calls it then. A client that does not read costs
//! `max_pending_output` and no more: the timer waits for room.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use reactor::Registry;
use reactor::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};

const ABOUT: &str = "Sends a line each second.";
const EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Ticker {
    lines: u64,
    /// When the next line is due. Computed from the previous time, so that a late loop causes no drift.
    next: Option<Instant>,
}

impl Ticker {
    fn wait(&mut self, cx: &Context<'_>) -> Step {
        let next = self.next.map_or(cx.now + EVERY, |last| (last + EVERY).max(cx.now));
        self.next = Some(next);
        Step::wait(Within::Nothing).until(next)
    }
}

impl StreamProtocol for Ticker {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        Ok(self.wait(cx))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        if !matches!(event, Event::Timer) {
            return Ok(Step::finish());
        }
        self.lines += 1;
        cx.out.extend_from_slice(format!("tick {}\n", self.lines).as_bytes());
        Ok(self.wait(cx))
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream_fn("ticker", ABOUT, "nc 127.0.0.1 9005", |_| Ticker::default());
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::testing::{Script, converse, every_fault};

    use super::*;

    #[test]
    fn a_line_comes_each_second_whatever_the_client_sends() {
        let script = Script::new().pause(EVERY / 2).send("hello").pause(2 * EVERY).fin();
        assert_eq!(converse(Ticker::default(), &script).sent, b"tick 1\ntick 2\n");
        every_fault(Ticker::default, &script);
    }

    #[test]
    fn a_late_loop_does_not_make_the_clock_drift() {
        let script = Script::new().hold_up(EVERY + EVERY / 4).send("").pause(EVERY - EVERY / 8).fin();
        assert_eq!(converse(Ticker::default(), &script).sent, b"tick 1\ntick 2\n");
    }
}
