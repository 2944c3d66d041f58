//! A chat: every line goes to all others in the same room. `nc` is a client.
//!
//! ```text
//! cargo run --example chat -- --listen chat=tcp://127.0.0.1:9006
//! nc 127.0.0.1 9006
//! ```
//!
//! The first line is a name. A line `/join ROOM` changes the room, every other line is said in it:
//!
//! ```text
//! What is your name (1 to 20 letters or digits)?
//! Ada
//! Ada is in hall
//! hello
//! /join library
//! Ada is in library
//! ```
//!
//! Control characters become spaces, so that no line does anything to the terminal of a reader. A bad name is refused, and the
//! connection goes on:
//!
//! ```text
//! What is your name (1 to 20 letters or digits)?
//! Ada Lovelace
//! What is your name (1 to 20 letters or digits)?
//! ```
//!
//! A line of more than 500 bytes closes the connection:
//!
//! ```text
//! error: a message has at most 500 bytes
//! ```
//!
//! When a connection ends, by EOF or otherwise, the others in its room read `NAME has left`. A client that does not read misses
//! lines and costs the others nothing. Once it reads again it learns how many it has missed.
//!
//! A connection that neither says nor hears a line for `idle_timeout` (30 s) is closed. People think for longer: give them a
//! configuration with `"limits": { "idle_timeout": "1d" }`.

use std::mem;
use std::process::ExitCode;

use reactor::Registry;
use reactor::framing::Lines;
use reactor::protocol::{
    CloseReason, Context, Event, Job, NotSent, Reply, Sender, Step, StreamProtocol, WhenFull, Within,
};

const ABOUT: &str = "A chat: each line goes to all others in the room.";
const QUESTION: &[u8] = b"What is your name (1 to 20 letters or digits)?\n";
const LINE_BYTES_MAX: usize = 500;

pub(crate) struct Chat {
    lines: Lines,
    /// Empty until the client has said its name.
    name: Box<str>,
    room: Box<str>,
    /// Says that the client has left, when no context is left to say it with.
    sender: Option<Sender>,
}

impl Chat {
    pub(crate) fn new() -> Self {
        Self { lines: Lines::at_most(LINE_BYTES_MAX), name: "".into(), room: "".into(), sender: None }
    }

    fn enter(&mut self, room: &str, cx: &mut Context<'_>) -> Result<(), NotSent> {
        cx.join(room, WhenFull::Skip)?;
        let before = mem::replace(&mut self.room, room.into());
        if *before != *room {
            cx.leave(&before);
            cx.cast(&before, format!("{} has gone to {room}\n", self.name))?;
        }
        let news = format!("{} is in {room}\n", self.name);
        cx.out.extend_from_slice(news.as_bytes());
        cx.cast(room, news)
    }

    fn obey(&mut self, line: &str, cx: &mut Context<'_>) -> Result<(), NotSent> {
        match line.strip_prefix("/join ").filter(|room| !room.is_empty()) {
            Some(room) if !self.name.is_empty() => self.enter(room, cx),
            None if !self.name.is_empty() => cx.cast(&self.room, format!("{}: {line}\n", self.name)),
            _ if line.len() <= 20 && !line.is_empty() && line.chars().all(char::is_alphanumeric) => {
                self.name = line.into();
                self.enter("hall", cx)
            }
            _ => {
                cx.refuse("bad name");
                cx.out.extend_from_slice(QUESTION);
                Ok(())
            }
        }
    }
}

impl StreamProtocol for Chat {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.sender = Some(cx.sender());
        cx.out.extend_from_slice(QUESTION);
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(line) = self.lines.next(input)? else { return Ok(Step::wait(Within::Request)) };
        let text = String::from_utf8_lossy(line.body).replace(char::is_control, " ");
        if let Err(why) = self.obey(&text, cx) {
            cx.out.extend_from_slice(format!("not sent: {why}\n").as_bytes());
        }
        Ok(Step::again(line.consumed))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let Event::Missed(count) = event else { return Ok(Step::finish()) };
        cx.out.extend_from_slice(format!("you missed {count} lines\n").as_bytes());
        Ok(Step::wait(Within::Nothing))
    }

    fn on_close(&mut self, _: CloseReason) -> Option<Job> {
        self.sender.take()?.cast(&self.room, format!("{} has left\n", self.name)).ok().and(None)
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream_fn("chat", ABOUT, "nc 127.0.0.1 9006", |_| Chat::new());
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reactor::limits::Limits;
    use reactor::testing::{Script, Transcript, converse_all, every_fault, same_for_every_split};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn chat(scripts: &[Script]) -> Vec<Transcript> {
        converse_all(|_| Chat::new(), scripts)
    }

    fn lines(transcript: &Transcript) -> Vec<&str> {
        str::from_utf8(&transcript.sent).expect("text").lines().skip(1).collect()
    }

    #[test]
    fn a_line_reaches_the_others_in_the_room() {
        let ada = Script::new().send("Ada\n").pause(SECOND).send("hello\n").fin();
        let bob = Script::new().send("Bob\n").pause(2 * SECOND).fin();
        let eve = Script::new().send("Eve\n/join library\n").pause(2 * SECOND).fin();
        let heard = chat(&[ada, bob, eve]);
        assert_eq!(
            lines(&heard[0])[..],
            ["Ada is in hall", "Bob is in hall", "Eve is in hall", "Eve has gone to library"]
        );
        assert_eq!(lines(&heard[1])[..2], ["Bob is in hall", "Eve is in hall"]);
        assert_eq!(lines(&heard[1])[3..], ["Ada: hello", "Ada has left"]);
        assert_eq!(lines(&heard[2]), ["Eve is in hall", "Eve is in library"]);
    }

    #[test]
    fn no_control_character_reaches_another_terminal() {
        let ada = Script::new().send("Ada\n").pause(SECOND).send("a\x1b[2J\tb\u{9b}c\r\n").fin();
        let bob = Script::new().send("Bob\n").pause(2 * SECOND).fin();
        let heard = chat(&[ada, bob]);
        assert!(lines(&heard[1]).contains(&"Ada: a [2J b c"), "{:?}", lines(&heard[1]));
    }

    #[test]
    fn bad_names_and_long_lines_are_refused_however_they_are_split() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for (input, answer) in
            [("Ada L\nAda\n", "What is your name"), (&format!("Ada\n{long}\n"), "Ada is in hall\nerror: ")]
        {
            let heard = same_for_every_split(Chat::new, input.as_bytes());
            assert!(String::from_utf8_lossy(&heard.sent).contains(&format!("?\n{answer}")));
        }
    }

    #[test]
    fn a_client_that_does_not_read_misses_lines_and_the_others_none() {
        let mut limits = Limits::default();
        limits.max_pending_output = 1000;
        let ada =
            Script::new().send("Ada\n").pause(SECOND).send("say something long\n".repeat(500)).pause(SECOND).fin();
        let bob = Script::new().limits(limits.clone()).send("Bob\n").pause(2 * SECOND).fin();
        let deaf = Script::new().limits(limits).reads_slowly(100, 100, SECOND).send("Eve\n").pause(25 * SECOND).fin();
        let heard = chat(&[ada, bob, deaf]);
        assert_eq!(lines(&heard[1]).iter().filter(|line| line.starts_with("Ada: ")).count(), 500);
        assert!(heard[2].pending_bytes_max <= 1000 + 100, "{}", heard[2].pending_bytes_max);
        assert!(lines(&heard[2]).iter().any(|line| line.starts_with("you missed ")));
    }

    #[test]
    fn faults_change_nothing() {
        every_fault(Chat::new, &Script::new().send("Ada\nhello\n/join x\n").fin());
    }
}
