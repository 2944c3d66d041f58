//! A protocol with a bug, which takes each piece of input for whole letters; and a test that finds the bug.
//!
//! ```text
//! cargo run --example hasty
//! ```
//!
//! Split at every byte, `straße` is answered in two ways, and the program ends with a panic that says where.

use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
use reactor::testing::same_for_every_split;

struct Hasty;

impl StreamProtocol for Hasty {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        for part in input.utf8_chunks() {
            cx.out.extend_from_slice(part.valid().to_uppercase().as_bytes());
            cx.out.extend_from_slice(part.invalid());
        }
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

fn main() {
    let transcript = same_for_every_split(|| Hasty, "straße\n".as_bytes());
    println!("{}", transcript.sent.escape_ascii());
}
