//! `greeting`: the same answer to each read of the server, whatever arrived.
//!
//! It shows that TCP has no messages: the number of answers depends on how the bytes were split and joined on their way.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::{
    Admission, Context, Peer, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within,
};

/// Answers each read of the server with the same text.
#[derive(Debug, Clone)]
pub struct Greeting {
    text: Arc<str>,
}

/// The options of `greeting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The answer to each read, byte for byte.
    pub text: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { text: "This is Server\n".into() }
    }
}

impl Service for Greeting {
    const NAME: &'static str = "greeting";
    const ABOUT: &'static str = "Answers each read of the server with the same text.";
    const TRY: &'static str = "echo hello socket | nc -N 127.0.0.1 7020";
    type Options = Options;

    fn open(options: Options, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self { text: options.text.into() })
    }
}

impl StreamService for Greeting {
    fn connect(&self, _: &Peer) -> Admission {
        Ok(Box::new(self.clone()))
    }
}

impl StreamProtocol for Greeting {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(self.text.as_bytes());
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{Limits, READ_BYTES};
    use crate::protocol::CloseReason;
    use crate::testing::{Fault, Script, converse};

    const SECOND: Duration = Duration::from_secs(1);

    fn greeting(options: Options) -> Greeting {
        Greeting { text: options.text.into() }
    }

    fn hello() -> Greeting {
        greeting(Options { text: "hello\n".into() })
    }

    #[test]
    fn each_read_is_answered_once_whatever_its_size() {
        let script = Script::new().send("hello socket").send("x").send([0; READ_BYTES]).send_fin("and FIN");
        let transcript = converse(greeting(Options::default()), &script);
        assert_eq!(
            transcript.replies,
            [&b""[..], b"This is Server\n", b"This is Server\n", b"This is Server\n", b"This is Server\n"]
        );
        assert_eq!(transcript.reason, CloseReason::Eof);
        let twice = converse(hello(), &Script::new().send([0; READ_BYTES + 1]).fin());
        assert_eq!(twice.sent, b"hello\nhello\n", "it takes two reads");
    }

    #[test]
    fn a_client_that_sends_nothing_gets_nothing() {
        assert_eq!(converse(hello(), &Script::new().fin()).sent, b"");
    }

    #[test]
    fn the_text_is_the_only_option() {
        let options = serde_json::from_str(r#"{"text": "Grüß Gott"}"#).unwrap();
        assert_eq!(converse(greeting(options), &Script::new().send_fin("?")).sent, "Grüß Gott".as_bytes());
        assert!(serde_json::from_str::<Options>(r#"{"texts": ""}"#).is_err());
    }

    /// `every_fault` does not apply: one read cut short is two reads, and each is answered.
    #[test]
    fn a_fault_may_add_reads_and_changes_nothing_else() {
        for window in [1, 3, usize::MAX] {
            let script = Script::new().send("one").send("two").send_fin("three").window(window);
            let clean = converse(hello(), &script);
            assert_eq!(clean.sent, b"hello\nhello\nhello\n");
            for call in 0..clean.calls {
                let struck = |fault| converse(hello(), &script.clone().fault(call, fault)).sent;
                assert_eq!(struck(Fault::WouldBlock), clean.sent, "call {call}");
                assert_eq!(struck(Fault::Interrupted), clean.sent, "call {call}");
                assert!([3, 4].contains(&(struck(Fault::Short).len() / b"hello\n".len())), "call {call}");
                assert!(clean.sent.starts_with(&struck(Fault::Reset)), "call {call}");
            }
        }
    }

    #[test]
    fn a_client_that_never_reads_costs_the_limit_and_one_answer_and_is_reset() {
        let limits = Limits { max_pending_output: 100, ..Limits::default() };
        let flood = (0..1000).fold(Script::new().limits(limits).never_reads(10), |script, _| script.send("again"));
        let transcript = converse(hello(), &flood);
        assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
        assert!(transcript.reset);
        let pending = transcript.pending_bytes_max;
        assert!((100..100 + b"hello\n".len()).contains(&pending), "{pending} bytes");
    }

    #[test]
    fn every_read_is_whole_so_only_idleness_and_a_shutdown_end_it() {
        let script = Script::new().send("a").pause(29 * SECOND).send("b");
        let idle = converse(hello(), &script);
        assert_eq!((idle.reason, idle.elapsed), (CloseReason::Idle, 59 * SECOND));
        let stopped = converse(hello(), &script.stop());
        assert_eq!((stopped.reason, stopped.elapsed), (CloseReason::Shutdown, 29 * SECOND));
        assert_eq!((idle.sent, idle.reset), (stopped.sent, stopped.reset));
    }
}
