//! A protocol that sends files: a name on a line, then the whole file.
//!
//! ```text
//! cargo run --example download -- --listen download=tcp://127.0.0.1:9004
//! echo README.md | nc -N 127.0.0.1 9004
//! ```
//!
//! However large the file and however slow its reader, a connection holds at most two parts of the file beside the
//! output buffer: the next part is not taken before there is room for it.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use reactor::Registry;
use reactor::framing::Lines;
use reactor::protocol::{Acceptor, Context, NoOptions, ProtocolError, Reply, Step, StreamProtocol, Within};

/// Bytes that one job reads.
const PART_BYTES: usize = 64 * 1024;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a job returns: the file, to go on with, and its next part, which is empty at the end of the file.
type Part = io::Result<(File, Vec<u8>)>;

struct Download(Lines);

impl Default for Download {
    fn default() -> Self {
        Self(Lines::at_most(NAME_BYTES_MAX))
    }
}

impl StreamProtocol for Download {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        let Some(line) = self.0.next(input).map_err(|_| no_such_file())? else {
            return Ok(Step::wait(Within::Request));
        };
        let name = plain_name(line.body)?;
        Ok(Step::job(|| File::open(name).and_then(next_part), Self::send).consuming(line.consumed))
    }
}

impl Download {
    /// Sends a part of the file, and lets a worker read the next one.
    fn send(&mut self, part: Part, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let (file, part) = part.map_err(|_| no_such_file())?;
        cx.out.extend_from_slice(&part);
        Ok(if part.is_empty() { Step::finish() } else { Step::job(|| next_part(file), Self::send) })
    }
}

/// Returns the path of a file in the current directory: one component that is not hidden.
fn plain_name(name: &[u8]) -> Result<String, ProtocolError> {
    let name = str::from_utf8(name).ok().filter(|name| !name.starts_with('.') && !name.contains('/'));
    name.map(str::to_owned).ok_or_else(no_such_file)
}

fn no_such_file() -> ProtocolError {
    ProtocolError::new("no such file", "error: there is no such file\n")
}

fn next_part(mut file: File) -> Part {
    let mut part = Vec::with_capacity(PART_BYTES);
    (&mut file).take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok((file, part))
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    let about = "Sends files of the current directory, each for its name on a line.";
    registry.stream_with("download", about, "echo README.md | nc -N 127.0.0.1 9004", |_: NoOptions, _| {
        // The file that it sends is open beside its socket.
        Ok(Acceptor::new(|_| Download::default()).descriptors(1))
    });
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use reactor::limits::Limits;
    use reactor::protocol::CloseReason;
    use reactor::testing::{Script, converse, same_for_every_split};

    use super::*;

    #[test]
    fn a_file_arrives_whole() {
        let manifest = fs::read("Cargo.toml").expect("tests run where it is");
        assert_eq!(same_for_every_split(Download::default, b"Cargo.toml\n").sent, manifest);
    }

    #[test]
    fn a_name_that_is_not_plain_is_refused() {
        for name in ["../Cargo.toml\n", "/etc/passwd\n", ".git\n", "\u{0}\n", "missing\n", &"x".repeat(300)] {
            let transcript = converse(Download::default(), &Script::new().send(name).fin());
            assert_eq!(transcript.reason, CloseReason::Refused("no such file"), "{name}");
        }
    }

    #[test]
    fn a_reader_that_reads_nothing_holds_two_parts_at_most() {
        let script = Script::new().never_reads(1000).send("Cargo.lock\n".repeat(1000)).fin();
        let transcript = converse(Download::default(), &script);
        let most = Limits::default().max_pending_output + PART_BYTES;
        assert!(transcript.pending_bytes_max <= most, "{} bytes", transcript.pending_bytes_max);
    }
}
