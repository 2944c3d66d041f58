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
use reactor::protocol::{Acceptor, Context, NoOptions, ProtocolError, Reply, SetupError, Step, StreamProtocol, Within};

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

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    let about = "Writes each line to the file journal.";
    registry.stream_with("journal", about, "nc 127.0.0.1 9003", |_: NoOptions, _| {
        let opened = OpenOptions::new().append(true).create(true).open("journal");
        let file = Arc::new(opened.map_err(|error| SetupError::Other(error.to_string()))?);
        Ok(Acceptor::new(move |_| Journal(Arc::clone(&file))))
    });
    reactor::command(registry)
}
