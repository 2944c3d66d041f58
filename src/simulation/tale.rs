//! A protocol only for simulations: its answers are much longer than its requests, made by jobs, by a timer or by neither. The
//! other protocols answer each message with about the same length, so they would never test back-pressure on jobs, on
//! timers and on [`Step::more`].

use std::time::Duration;

use crate::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};

/// Bytes of one block: large enough that the largest request exceeds every limit of pending output.
const BLOCK_BYTES: usize = 16 * 1024;

/// The most blocks of one request: garbage that happens to be a request must not keep its client for hours.
pub(super) const BLOCKS_MAX: u8 = 40;

/// The time between two blocks of a request that a timer answers.
const TICK: Duration = Duration::from_millis(1);

/// Returns the answer to a request, as its client expects it.
pub(super) fn blocks(count: u8) -> Vec<u8> {
    (1..=count).rev().flat_map(block).collect()
}

fn block(left: u8) -> Vec<u8> {
    vec![left; BLOCK_BYTES]
}

/// `j` and a number `n` requests `n` blocks, each made by a job; `t` and `n` requests one block at each [`TICK`]; `m` and
/// `n` requests blocks at once. Other bytes are ignored.
#[derive(Default)]
pub(super) struct Teller {
    /// Blocks of the current answer that are not appended yet.
    left: u8,
    /// Whether the timer answers a request. The next request waits.
    ticks: bool,
}

impl StreamProtocol for Teller {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        Ok(match *input {
            _ if self.ticks => Step::wait(Within::Body),
            [b't', count @ 1..=BLOCKS_MAX, ..] => {
                self.left = count;
                self.tick(cx).consuming(2)
            }
            [how @ (b'j' | b'm'), count @ 1..=BLOCKS_MAX, ..] => {
                self.left = count;
                if how == b'j' { self.make() } else { Step::more() }.consuming(2)
            }
            [b'j' | b'm' | b't'] => Step::wait(Within::Request),
            _ => Step::again(1),
        })
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => Ok(Step::finish()),
            Event::Room => Ok(if self.says(&block(self.left), cx) { Step::more() } else { Step::again(0) }),
            Event::Timer if self.says(&block(self.left), cx) => Ok(self.tick(cx)),
            Event::Timer => {
                self.ticks = false;
                Ok(Step::again(0))
            }
            Event::Quiet | Event::Message(_) | Event::Missed(_) | Event::NoWorker | Event::NoRelay | Event::Closing => {
                Ok(Step::wait(Within::Nothing))
            }
        }
    }
}

impl Teller {
    /// Makes the next block on a worker.
    fn make(&self) -> Step {
        let left = self.left;
        Step::job(move || block(left), Self::tell)
    }

    /// Sets the timer for the next block.
    fn tick(&mut self, cx: &Context<'_>) -> Step {
        self.ticks = true;
        Step::wait(Within::Body).until(cx.now + TICK)
    }

    fn tell(&mut self, block: Vec<u8>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        Ok(if self.says(&block, cx) { self.make() } else { Step::again(0) })
    }

    /// Appends a block. Returns whether another block follows.
    fn says(&mut self, block: &[u8], cx: &mut Context<'_>) -> bool {
        cx.out.extend_from_slice(block);
        self.left -= 1;
        self.left > 0
    }
}
