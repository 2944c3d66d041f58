//! greeting: the same answer to whatever arrives, once for each read of the server.
//!
//! TCP has no messages, and this protocol shows it: how often it answers depends on how the bytes were split and joined
//! on their way.

use std::net::SocketAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::{Context, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within};

/// One and the same text for each read.
#[derive(Debug, Clone)]
pub struct Greeting {
    text: Arc<str>,
}

/// What a configuration may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
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
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(self.clone())
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
    use super::*;
    use crate::protocol::feed::transcript;

    fn greeting(options: Options) -> Greeting {
        Greeting { text: options.text.into() }
    }

    #[test]
    fn each_read_is_answered_once_whatever_its_size() {
        let answers = transcript(&mut greeting(Options::default()), &[b"hello socket", b"x", &[0; 65_536]]);
        assert_eq!(answers, (b"This is Server\nThis is Server\nThis is Server\n".to_vec(), "eof"));
    }

    #[test]
    fn a_client_that_says_nothing_is_told_nothing() {
        assert_eq!(transcript(&mut greeting(Options::default()), &[]), (Vec::new(), "eof"));
    }

    #[test]
    fn the_text_can_be_chosen_and_nothing_else() {
        let options = serde_json::from_str(r#"{"text": "Grüß Gott"}"#).unwrap();
        assert_eq!(transcript(&mut greeting(options), &[b"?"]), ("Grüß Gott".as_bytes().to_vec(), "eof"));
        assert!(serde_json::from_str::<Options>(r#"{"texts": ""}"#).is_err());
    }
}
