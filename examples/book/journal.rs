//! A protocol that writes each line to a file and syncs it before it answers, on the thread of the loop. While the disk
//! is busy, the server serves no client.
//!
//! ```text
//! cargo run --example journal -- --listen journal=tcp://127.0.0.1:9003 --listen uppercase=tcp://127.0.0.1:8001
//! strace -e inject=fdatasync:delay_enter=60s -p $(pgrep -x journal)     # a slow disk
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use memchr::memchr;
use reactor::Registry;
use reactor::protocol::{
    Admission, Context, NoOptions, Peer, ProtocolError, Reply, Service, Setup, SetupError, Step, StreamProtocol,
    StreamService, Within,
};

struct Journal(Arc<File>);

impl StreamProtocol for Journal {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = memchr(b'\n', input) else { return Ok(Step::wait(Within::Request)) };
        let line = &input[..=end];
        let written = (&*self.0).write_all(line).and_then(|()| self.0.sync_data());
        written.map_err(|error| ProtocolError::new("disk error", format!("{error}\n")))?;
        cx.out.extend_from_slice(b"noted\n");
        Ok(Step::again(line.len()))
    }
}

impl Service for Journal {
    const NAME: &'static str = "journal";
    const ABOUT: &'static str = "Writes each line to the file journal.";
    const TRY: &'static str = "nc 127.0.0.1 9003";
    type Options = NoOptions;

    fn open(_options: NoOptions, _setup: &Setup<'_>) -> Result<Self, SetupError> {
        let opened = OpenOptions::new().append(true).create(true).open("journal");
        opened.map(|file| Self(Arc::new(file))).map_err(|error| SetupError::Other(error.to_string()))
    }
}

impl StreamService for Journal {
    fn connect(&self, _peer: &Peer) -> Admission {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream::<Journal>();
    reactor::command(registry)
}
