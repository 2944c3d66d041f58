use clap::Args;

use super::{Expectation, text::Bytes};
use crate::client::url::Transport;
use crate::options::{Cli, Mode, Protocol};

/// What is sent and expected of `raw`.
///
/// A text may have the escapes \n, \r, \t, \0, \\ and \xHH.
#[derive(Args)]
#[command(next_help_heading = "Options of raw, whose texts may have \\n, \\r, \\t, \\0, \\\\ and \\xHH")]
pub(crate) struct RawOptions {
    /// The request
    ///
    /// Without --send and --send-file the server speaks first, so each answer needs its own connection (--connect-each);
    /// over UDP the request is then an empty datagram.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "send_file")]
    send: Option<Bytes>,

    /// The request: the contents of this file
    #[arg(long, value_name = "FILE", value_parser = Bytes::of_file)]
    send_file: Option<Bytes>,

    /// Each answer is exactly this text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = Bytes::some, group = "answer")]
    expect: Option<Bytes>,

    /// Each answer ends where this text comes for the first time, after 64MiB at most
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = Bytes::some, group = "answer")]
    expect_until: Option<Bytes>,

    /// Each answer has this number of bytes, whatever they are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 50), group = "answer")]
    expect_bytes: Option<u64>,
}

impl RawOptions {
    /// Returns why these options do not go together, or not with others.
    pub(crate) fn problem(&self, cli: &Cli) -> Option<&'static str> {
        let expectation = self.expectation();
        if cli.protocol != Protocol::Raw {
            let is_given = expectation.is_some() || self.send.is_some() || self.send_file.is_some();
            return is_given.then_some("--send, --expect and their variants are for raw");
        }
        let is_empty = self.request().is_empty();
        if cli.has_size() {
            Some("raw sends what --send or --send-file says, so it has no --size")
        } else if cli.bad == Some(Mode::Expensive) {
            Some("load does not know which requests of raw are expensive")
        } else if cli.bad.is_some() && is_empty {
            Some("--bad needs a request: --send or --send-file")
        } else if cli.bad.is_none() && expectation.is_none() {
            Some("raw compares every answer: it needs --expect, --expect-until or --expect-bytes")
        } else if cli.bad.is_none() && is_empty && cli.transport() == Transport::Tcp && !cli.connects_each() {
            Some("if the server speaks first, each answer needs its own connection: --connect-each")
        } else {
            None
        }
    }

    /// Returns the bytes of a request.
    pub(crate) fn request(&self) -> &[u8] {
        self.send.as_ref().or(self.send_file.as_ref()).map_or(&[], |request| &request.0)
    }

    pub(crate) fn expectation(&self) -> Option<Expectation> {
        let exactly = || Some(Expectation::Exactly(self.expect.clone()?));
        let until = || Some(Expectation::until(self.expect_until.clone()?));
        exactly().or_else(until).or_else(|| self.expect_bytes.map(Expectation::Length))
    }
}
