//! A protocol that takes what it is shown for one line, and how that is found out.
//!
//! ```text
//! cargo run --example hasty -- --listen hasty=tcp://127.0.0.1:9001
//! cargo run --example hasty -- try
//! ```
//!
//! By hand it does what `plugin.rs` does. Cut in two, its lines come back in two pieces.

use std::net::SocketAddr;
use std::process::ExitCode;

use reactor::Registry;
use reactor::protocol::{
    Context, NoOptions, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within,
};
use reactor::testing::same_for_every_split;

struct Hasty;

impl StreamProtocol for Hasty {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let line = input.strip_suffix(b"\n").unwrap_or(input);
        cx.out.extend_from_slice(line).reverse();
        cx.out.push(b'\n');
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

impl Service for Hasty {
    const NAME: &'static str = "hasty";
    const ABOUT: &'static str = "Answers whatever has come, reversed.";
    const TRY: &'static str = "nc 127.0.0.1 9001";
    type Options = NoOptions;

    fn open(_options: NoOptions, _setup: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Hasty {
    fn connect(&self, _peer: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Self)
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("try") {
        same_for_every_split(|| Hasty, b"abc\n");
        return ExitCode::SUCCESS;
    }
    let mut registry = Registry::built_in();
    registry.stream::<Hasty>();
    reactor::command(registry)
}
