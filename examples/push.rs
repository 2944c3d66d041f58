//! A protocol that another thread feeds: every line of standard input goes to all clients.
//!
//! ```text
//! tail -f /var/log/syslog | cargo run --example push -- --listen push=tcp://127.0.0.1:9007
//! nc 127.0.0.1 9007
//! ```
//!
//! The thread may wait, so it waits while too many lines are under way. A client that does not read is closed, and so is one for
//! which no line has come for `idle_timeout` (30 s): if lines are rare, configure `"limits": { "idle_timeout": "1d" }`. With two
//! listeners, each line goes to the clients of one of them.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use reactor::Registry;
use reactor::protocol::{
    Acceptor, Context, NoOptions, NotSent, Reply, Sender, SetupError, Step, StreamProtocol, WhenFull, Within,
};

const ABOUT: &str = "Sends every line of standard input to all clients.";
const ALL: &str = "all";

struct Push;

impl StreamProtocol for Push {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let joined = cx.join(ALL, WhenFull::Close);
        Ok(if joined.is_ok() { Step::wait(Within::Nothing) } else { Step::finish() })
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }
}

/// Sends each line, until there are no more or the server has ended.
fn feed(lines: impl BufRead, sender: &Sender) {
    for line in lines.lines().map_while(Result::ok) {
        while let Err(why) = sender.cast(ALL, format!("{line}\n")) {
            match why {
                // Nothing tells another thread that there is room again: it tries again a little later.
                NotSent::Full => thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream_with("push", ABOUT, "nc 127.0.0.1 9007", |_: NoOptions, setup| {
        let sender = setup.sender();
        let feeder = thread::Builder::new().name("feed".to_owned()).spawn(move || feed(io::stdin().lock(), &sender));
        feeder.map_err(|error| SetupError::Other(format!("cannot start a thread: {error}")))?;
        Ok(Acceptor::new(|_| Push))
    });
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::testing::{Script, converse_all, every_fault};

    use super::*;

    #[test]
    fn each_client_gets_every_line() {
        let feeds = Script::new().cast(ALL, "one\n").cast(ALL, "two\n").fin();
        let heard =
            converse_all(|_| Push, &[feeds.clone(), Script::new().send("what?").pause(Duration::from_secs(1)).fin()]);
        assert_eq!([&heard[0].sent[..], &heard[1].sent[..]], [b"one\ntwo\n"; 2]);
        every_fault(|| Push, &feeds);
    }
}
