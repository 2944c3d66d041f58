//! Sends the keyboard to the server, and prints what comes back, both at the same time.
//!
//! ```sh
//! cargo run --example uppercase
//! echo straße | cargo run --example uppercase
//! cargo run --example uppercase -- tcp://localhost:8001 < README.md
//! ```
//!
//! It is a small `nc`: one thread reads two inputs, whichever has something, and holds no more than a chunk of each.

mod client;
#[path = "client/uppercase/keyboard.rs"]
mod keyboard;
#[path = "client/outbox.rs"]
mod outbox;
#[path = "client/reader.rs"]
mod reader;

use std::io::{self, Read};
use std::net::Shutdown;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use client::connect::connect;
use client::failure::{Context, Result, finish, tell};
use client::if_ready::if_ready;
use client::output::Output;
use client::span::span;
use client::url::{Transport, Url, url_of};
use client::wait::wait;
use keyboard::Keyboard;
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use outbox::Outbox;
use reader::{has_left, watch_reader};

const SERVER: Token = Token(0);
const KEYBOARD: Token = Token(1);
const READER: Token = Token(2);

const CHUNK_BYTES: usize = 16 * 1024;

/// Sends standard input to the server, and what comes back to standard output, until the server closes.
#[derive(Parser)]
struct Cli {
    /// Where the server listens, such as localhost:8001 or :8001
    #[arg(default_value = "tcp://127.0.0.1:8001", value_parser = url_of(&[Transport::Tcp]))]
    url: Url,

    /// Give up after this time without a connection
    #[arg(long, default_value = "5s", value_parser = span)]
    timeout: Duration,
}

fn main() -> ExitCode {
    finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let mut poll = Poll::new().context("cannot poll")?;
    let mut events = Events::with_capacity(16);
    let mut client = Client {
        stream: connect(&mut poll, SERVER, &cli.url, cli.timeout)?.0,
        outbox: Outbox::default(),
        keyboard: Some(Keyboard::open(&poll, KEYBOARD).context("cannot use standard input")?),
        output: Output::open()?,
        write_error: None,
        closed: false,
    };
    watch_reader(&poll, READER)?;

    while !client.closed {
        let heard = client.hear()?;
        let spoke = client.speak(&poll)?;
        // After progress there may be more to do. Then only look for events, so that a busy source can't hide the others.
        let deadline = if heard || spoke { Some(Instant::now()) } else { None };
        wait(&mut poll, &mut events, deadline).context("cannot wait")?;
        if events.iter().any(|event| has_left(event, READER)) {
            return Ok(());
        }
        client.note(&events);
    }
    client.report()
}

struct Client {
    stream: TcpStream,
    /// Typed bytes that are not sent yet: one chunk at most, as the keyboard is read only when the outbox is empty.
    outbox: Outbox,
    /// `None` after the end of the input.
    keyboard: Option<Keyboard>,
    output: Output,
    write_error: Option<io::Error>,
    closed: bool,
}

impl Client {
    fn note(&mut self, events: &Events) {
        if let Some(keyboard) = &mut self.keyboard {
            events.iter().for_each(|event| keyboard.note(event));
        }
    }

    /// Server to screen, a chunk. Returns whether there may be more.
    fn hear(&mut self) -> Result<bool> {
        let mut chunk = [0; CHUNK_BYTES];
        match if_ready(|| self.stream.read(&mut chunk)).context("cannot read from the server")? {
            Some(0) => self.closed = true,
            Some(length) => self.output.write(&chunk[..length])?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Keyboard to server, a chunk. Returns whether there may be more.
    fn speak(&mut self, poll: &Poll) -> Result<bool> {
        let typed = self.outbox.is_empty() && self.read_keyboard(poll)?;
        match self.outbox.flush(&mut self.stream) {
            Ok(written) => Ok(typed || written > 0),
            Err(error) => {
                self.stop_speaking(poll, error)?;
                Ok(true)
            }
        }
    }

    fn read_keyboard(&mut self, poll: &Poll) -> Result<bool> {
        let Some(keyboard) = &mut self.keyboard else { return Ok(false) };
        let mut chunk = [0; CHUNK_BYTES];
        match keyboard.read(poll, &mut chunk).context("cannot read standard input")? {
            Some(0) => self.end_of_input(poll)?,
            Some(length) => self.outbox.push(&chunk[..length]),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Shuts down our side of the connection. The server may still have much to send, so we go on reading.
    fn end_of_input(&mut self, poll: &Poll) -> Result<()> {
        self.close_keyboard(poll)?;
        self.write_error = self.stream.shutdown(Shutdown::Write).err();
        Ok(())
    }

    /// A server that stops reading may have sent the reason before. So the error is kept until all input is read.
    fn stop_speaking(&mut self, poll: &Poll, error: io::Error) -> Result<()> {
        self.outbox = Outbox::default();
        self.write_error = Some(error);
        self.close_keyboard(poll)
    }

    fn close_keyboard(&mut self, poll: &Poll) -> Result<()> {
        self.keyboard.take().map_or(Ok(()), |keyboard| keyboard.close(poll)).context("cannot close standard input")
    }

    fn report(self) -> Result<()> {
        if let Some(error) = self.write_error {
            return Err(error).context("cannot write to the server");
        }
        if self.keyboard.is_some() {
            tell("the server has closed the connection");
        }
        Ok(())
    }
}
