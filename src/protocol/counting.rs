//! Counts the requests of a protocol, from outside of it, for the access log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CloseReason, Context, Event, Job, Reply, StreamProtocol, Then, Within};

/// A protocol that counts the requests of another one.
pub(crate) struct Counting {
    inner: Box<dyn StreamProtocol>,
    requests: Arc<AtomicU64>,
}

impl Counting {
    /// Makes the protocol that adds the requests of `inner` to `requests`.
    pub(crate) fn new(inner: Box<dyn StreamProtocol>, requests: Arc<AtomicU64>) -> Self {
        Self { inner, requests }
    }

    /// Counts a message that the inner protocol refused, or that it consumed and answered, stored or handed to a worker.
    fn count(&self, reply: Reply, answered: bool) -> Reply {
        let is_request = match &reply {
            Ok(step) => match &step.then {
                Then::Wait { within: Within::Request | Within::Body, .. } | Then::Bug(_) => false,
                Then::Wait { within: Within::Nothing, .. } | Then::Finish => step.consumed > 0 && answered,
                Then::Again | Then::Job(_) | Then::Bulk { .. } | Then::More | Then::Connect(_) | Then::Relay(_) => {
                    step.consumed > 0
                }
            },
            Err(_) => true,
        };
        if is_request {
            // Only the loop's thread counts and reads.
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        reply
    }
}

impl StreamProtocol for Counting {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.inner.on_open(cx)
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let before = cx.out.len();
        let reply = self.inner.on_bytes(input, cx);
        self.count(reply, cx.out.len() > before)
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        let before = cx.out.len();
        let reply = self.inner.on_event(event, rest, cx);
        self.count(reply, cx.out.len() > before)
    }

    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        self.inner.on_close(reason)
    }

    fn inner(&mut self) -> Option<&mut dyn StreamProtocol> {
        Some(&mut *self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ProtocolError, Step};
    use super::*;
    use crate::testing::{Script, converse};

    /// Decides by the first byte.
    struct Decider;

    impl StreamProtocol for Decider {
        fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
            cx.out.extend_from_slice(b"hello\n");
            Ok(Step::wait(Within::Nothing))
        }

        fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
            match input[0] {
                b' ' => Ok(Step::wait(Within::Nothing).consuming(1)),
                b'(' => Ok(Step::wait(Within::Request).consuming(1)),
                b'j' => Ok(Step::job(|| (), Self::done).consuming(1)),
                b'!' => Err(ProtocolError::new("no", "no\n")),
                _ => {
                    cx.out.push(input[0]);
                    Ok(Step::wait(Within::Nothing).consuming(1))
                }
            }
        }
    }

    impl Decider {
        fn done(&mut self, (): (), _: &[u8], cx: &mut Context<'_>) -> Reply {
            cx.out.push(b'J');
            Ok(Step::again(0))
        }
    }

    #[test]
    fn a_request_is_what_was_answered_refused_or_handed_to_a_worker() {
        for (sent, expected, answers) in [
            ("", 0, "hello\n"),
            ("  ", 0, "hello\n"),
            ("abc", 3, "hello\nabc"),
            ("a (b j", 3, "hello\nabJ"),
            ("aj!", 3, "hello\naJno\n"),
        ] {
            let requests = Arc::default();
            let counting = Counting::new(Box::new(Decider), Arc::clone(&requests));
            let heard =
                converse(counting, &Script::new().send_all(&sent.as_bytes().chunks(1).collect::<Vec<_>>()).fin());
            assert_eq!(
                (str::from_utf8(&heard.sent), requests.load(Ordering::Relaxed)),
                (Ok(answers), expected),
                "{sent}"
            );
        }
    }
}
