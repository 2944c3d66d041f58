//! A protocol that no program has: it says much more than it is asked, by jobs or by itself. The others answer each message with
//! one of about its length, so that with them back-pressure on what is not bytes would never be met.

use crate::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};

/// Bytes of one block: so many that a request for all that it may ask for goes beyond every limit of output.
const BLOCK_BYTES: usize = 16 * 1024;

/// The most blocks that one request asks for: rubbish that happens to be a request must not keep its client for hours.
pub(super) const BLOCKS_MAX: u8 = 40;

/// The blocks that answer a request, as its client expects them.
pub(super) fn blocks(count: u8) -> Vec<u8> {
    (1..=count).rev().flat_map(block).collect()
}

fn block(left: u8) -> Vec<u8> {
    vec![left; BLOCK_BYTES]
}

/// `j` and a number asks for as many blocks, each made by a job; `m` for as many that need none. What is neither is ignored.
#[derive(Default)]
pub(super) struct Teller {
    /// Blocks that are still to come.
    left: u8,
}

impl StreamProtocol for Teller {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(match *input {
            [how @ (b'j' | b'm'), count @ 1..=BLOCKS_MAX, ..] => {
                self.left = count;
                if how == b'j' { self.make() } else { Step::more() }.consuming(2)
            }
            [b'j' | b'm'] => Step::wait(Within::Request),
            _ => Step::again(1),
        })
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => Ok(Step::finish()),
            Event::Room => Ok(if self.says(&block(self.left), cx) { Step::more() } else { Step::again(0) }),
            Event::Quiet | Event::NoWorker | Event::Closing => Ok(Step::wait(Within::Nothing)),
        }
    }
}

impl Teller {
    /// Lets a worker make the next block.
    fn make(&self) -> Step {
        let left = self.left;
        Step::job(move || block(left), Self::tell)
    }

    fn tell(&mut self, block: Vec<u8>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        Ok(if self.says(&block, cx) { self.make() } else { Step::again(0) })
    }

    /// Says a block. Returns whether another one follows.
    fn says(&mut self, block: &[u8], cx: &mut Context<'_>) -> bool {
        cx.out.extend_from_slice(block);
        self.left -= 1;
        self.left > 0
    }
}
