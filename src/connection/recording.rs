//! The records of a connection for the X-ray.

use crate::kernel::Panicked;
use crate::protocol::{Event, Reply, Then};
use crate::xray::{Ask, Decision, What};

impl Ask {
    /// Returns the call that delivers `event`.
    pub(super) fn of(event: &Event) -> Self {
        match event {
            Event::Eof => Self::Eof,
            Event::Quiet => Self::Quiet,
            Event::Timer => Self::Timer,
            Event::Message(_) => Self::Message,
            Event::Missed(_) => Self::Missed,
            Event::Room => Self::Room,
            Event::NoWorker => Self::NoWorker,
            Event::NoRelay => Self::Done,
            Event::Closing => Self::Closing,
        }
    }

    /// Whether the connection closes after this call, whatever the protocol decides.
    pub(super) fn is_last(self) -> bool {
        matches!(self, Self::NoWorker | Self::Closing)
    }
}

/// Returns the record of a call of a protocol that was shown `input` bytes and appended `output` bytes.
pub(super) fn asked(ask: Ask, input: usize, output: usize, reply: &Result<Reply, Panicked>) -> What {
    let (consumed, said, decision) = match reply {
        Ok(Ok(step)) if step.consumed > input => (0, 0, Decision::Bug),
        Ok(Ok(step)) => (step.consumed, 0, decision(&step.then)),
        Ok(Err(error)) => (0, error.reply.len(), Decision::Refused),
        Err(_) => (0, 0, Decision::Bug),
    };
    What::Asked { ask, input: input as u32, consumed: consumed as u32, output: (output + said) as u32, decision }
}

/// Returns the X-ray's name of a decision.
fn decision(then: &Then) -> Decision {
    match then {
        Then::Again => Decision::Again,
        Then::Wait { within, .. } => Decision::Wait(*within),
        Then::Job(_) => Decision::Job,
        Then::Bulk { .. } => Decision::Bulk,
        Then::Connect(_) => Decision::Connect,
        Then::Relay(_) => Decision::Relay,
        Then::More => Decision::More,
        Then::Finish => Decision::Finish,
        Then::Bug(_) => Decision::Bug,
    }
}

/// Returns the record of `on_close`.
pub(super) fn on_close(left_a_job: bool) -> What {
    let decision = if left_a_job { Decision::Job } else { Decision::Nothing };
    What::Asked { ask: Ask::Close, input: 0, consumed: 0, output: 0, decision }
}
