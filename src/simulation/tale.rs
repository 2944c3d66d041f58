//! A protocol that no program has: it says much more than it is asked, by jobs or by itself. The others answer each message with
//! one of about its length, so that with them back-pressure on what is not bytes would never be met.

use crate::protocol::{
    Admission, Context, Event, Job, NoOptions, Peer, Reply, Service, Setup, SetupError, Step, StreamProtocol,
    StreamService, Within,
};

/// Bytes of one block: so many that a request for all that it may ask for goes beyond every limit of output.
const BLOCK_BYTES: usize = 16 * 1024;

/// The most blocks that one request asks for: rubbish that happens to be a request must not keep its client for hours.
pub(super) const BLOCKS_MAX: u8 = 40;

/// `j` and a number asks for as many blocks, each made by a job; `m` for as many that need none. What is neither is ignored.
pub(super) struct Tale;

impl Service for Tale {
    const NAME: &'static str = "tale";
    const ABOUT: &'static str = "Says more than it is asked.";
    const TRY: &'static str = "printf 'j\\5' | nc -N 127.0.0.1 9000";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Tale {
    fn connect(&self, _: &Peer) -> Admission {
        Ok(Box::new(Teller { left: 0 }))
    }
}

/// The blocks that answer a request, as its client expects them.
pub(super) fn blocks(count: u8) -> Vec<u8> {
    (1..=count).rev().flat_map(block).collect()
}

fn block(left: u8) -> Vec<u8> {
    vec![left; BLOCK_BYTES]
}

/// Lets a worker make the next block.
fn make(left: u8) -> Step {
    Step::job(Job::new(move || block(left)))
}

struct Teller {
    /// Blocks that are still to come.
    left: u8,
}

impl StreamProtocol for Teller {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(match *input {
            [how @ (b'j' | b'm'), count @ 1..=BLOCKS_MAX, ..] => {
                self.left = count;
                if how == b'j' { make(count) } else { Step::more() }.consuming(2)
            }
            [b'j' | b'm'] => Step::wait(Within::Request),
            _ => Step::again(1),
        })
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let (said, next): (_, fn(u8) -> Step) = match event {
            Event::Eof => return Ok(Step::finish()),
            Event::Done(outcome) => (outcome.downcast::<Vec<u8>>().unwrap_or_default(), make),
            Event::Room => (block(self.left), |_| Step::more()),
            Event::Quiet | Event::Stored(_) | Event::NoWorker | Event::Closing => {
                return Ok(Step::wait(Within::Nothing));
            }
        };
        cx.out.extend_from_slice(&said);
        self.left -= 1;
        Ok(if self.left == 0 { Step::again(0) } else { next(self.left) })
    }
}
