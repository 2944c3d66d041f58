//! Sends a file to the server.
//!
//! ```sh
//! cargo run --example send -- notes.txt
//! cargo run --example send -- notes.txt tcp://localhost:8009 --as copy.txt
//! cargo run --example send -- notes.txt --protocol file
//! cargo run --example send -- notes.txt --protocol file --bare
//! ```
//!
//! The client reads while it writes, so that it notices a refusal in the middle of the contents.

mod client;
#[path = "client/send/exactly.rs"]
mod exactly;
#[path = "client/inbox.rs"]
mod inbox;
#[path = "client/outbox.rs"]
mod outbox;
#[path = "client/printable.rs"]
mod printable;
#[path = "client/send/session.rs"]
mod session;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use client::failure::{Context, Failure, Result, finish};
use client::output::Output;
use client::span::span;
use client::url::{Transport, Url, url_of};
use exactly::Exactly;
use indicatif::{ProgressBar, ProgressStyle};
use printable::printable;
use session::{Session, refused};

/// Sends a file to the server, and prints its last answer.
#[derive(Parser)]
struct Cli {
    /// The file to send
    file: PathBuf,

    /// Where the server listens, such as localhost:8009 or :8009 [default: 127.0.0.1:8009, for --protocol file port 8008]
    #[arg(value_parser = url_of(&[Transport::Tcp]))]
    url: Option<Url>,

    /// The protocol that the server speaks there
    #[arg(long, value_enum, default_value_t = Protocol::FileSized)]
    protocol: Protocol,

    /// The name to save it under [default: the file's own]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,

    /// Send name and size without a newline, as old clients do and old servers expect
    #[arg(long)]
    bare: bool,

    /// Give up after this time without progress; syncing a large file to the disk may take a while
    #[arg(long, default_value = "30s", value_parser = span)]
    timeout: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    /// A name, then contents that end with the connection
    File,
    /// A name, a size, then contents of that size
    FileSized,
}

fn main() -> ExitCode {
    finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    let output = Output::open()?;
    let answer = send(cli)?;
    output.write(format!("{answer}\n").as_bytes())
}

fn send(cli: &Cli) -> Result<String> {
    let name = name(cli)?;
    let mut file = File::open(&cli.file).context(cli.file.display())?;
    let metadata = file.metadata().context(cli.file.display())?;
    if metadata.is_dir() {
        return Failure::because(format!("{} is a directory", cli.file.display()));
    }
    if matches!(cli.protocol, Protocol::FileSized) && !metadata.is_file() {
        return Failure::because("only a regular file has a size; use --protocol file");
    }

    let size = metadata.len();
    let bar = progress_bar(size)?;
    let mut session = Session::connect(&url(cli)?, cli.bare, cli.timeout)?;
    match cli.protocol {
        Protocol::File => send_file(&mut session, name, &mut file, &bar),
        Protocol::FileSized => send_sized(&mut session, name, &mut file, size, &bar),
    }
}

/// The server checks the name. But a name with a newline would be two lines, so it must not be sent.
fn name(cli: &Cli) -> Result<&str> {
    let own_name = || cli.file.file_name().and_then(|name| name.to_str());
    match cli.name.as_deref().or_else(own_name) {
        None | Some("") => Failure::because("a file name in UTF-8 is needed; use --as NAME"),
        Some(name) if name.contains(char::is_control) => {
            Failure::because("the name has control characters; use --as NAME")
        }
        Some(name) => Ok(name),
    }
}

fn url(cli: &Cli) -> Result<Url> {
    let default = match cli.protocol {
        Protocol::File => "127.0.0.1:8008",
        Protocol::FileSized => "127.0.0.1:8009",
    };
    cli.url.clone().map_or_else(|| url_of(&[Transport::Tcp])(default).context(default), Ok)
}

/// Here the contents end with the connection. So the server can't tell a whole file from one whose sender has died:
/// only its last line shows that it got everything. What the client can do is to end with a reset if it dies, which
/// leaves no file.
fn send_file(session: &mut Session, name: &str, file: &mut File, bar: &ProgressBar) -> Result<String> {
    session.reset_unless_ended()?;
    session.say(name);
    session.expect("ok")?;
    let sent = session.upload(file, bar)?;
    session.end();
    match session.hear_line()? {
        Some(line) => saved(&line, sent),
        None => session.no_answer(),
    }
}

/// Checks a line `saved NAME SIZE`. The server may have chosen another name, and a name may have spaces in it.
fn saved(line: &[u8], sent: u64) -> Result<String> {
    let text = str::from_utf8(line).ok().and_then(|text| text.strip_prefix("saved "));
    match text.and_then(|rest| rest.rsplit_once(' ')).map(|(_, size)| size.parse()) {
        Some(Ok(size)) if sent == size => Ok(printable(line)),
        Some(Ok(size)) => Failure::because(format!("{sent} bytes were sent, but {size} were saved")),
        _ => refused(line),
    }
}

fn send_sized(session: &mut Session, name: &str, file: &mut File, size: u64, bar: &ProgressBar) -> Result<String> {
    let contents = Exactly::new(file, size).context("cannot send the file")?;
    session.say(name);
    session.expect("OK")?;
    session.say(&size.to_string());
    session.expect("OK")?;
    session.upload(contents, bar)?;
    session.expect("OK")?;
    Ok("OK".into())
}

/// Drawn on standard error, only if that is a terminal, and wiped when it is dropped.
fn progress_bar(size: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    let style = style.context("cannot show the progress")?;
    Ok(ProgressBar::new(size).with_style(style))
}
