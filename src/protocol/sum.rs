//! `sum`: a JSON object with two integers in, their sum out; over TCP and over UDP.
//!
//! A request needs no delimiter: `scanner` finds where its object ends. `request` reads the object.

mod request;
mod scanner;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::UNCONSUMED_BYTES_MAX;
use crate::protocol::{
    Admission, Context, DatagramProtocol, Dropped, Event, OptionError, Peer, ProtocolError, Reply, Service, Setup,
    SetupError, Step, StreamProtocol, StreamService, Within,
};
use crate::units::Size;
use request::{Request, skip_white_space};
use scanner::{Scanner, Verdict};

/// Adds two integers of 64 bits.
#[derive(Debug)]
pub struct Sum {
    request_bytes_max: usize,
}

/// The options of `sum`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The longest request, from its first byte to its last.
    pub max_request: Size,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_request: Size::bytes(4096) }
    }
}

impl Service for Sum {
    const NAME: &'static str = "sum";
    const ABOUT: &'static str = "Adds the integers A and B of a JSON object.";
    const TRY: &'static str = r#"echo '{"A":7,"B":4}' | nc -N 127.0.0.1 5656"#;
    type Options = Options;

    fn check(options: &Options) -> Result<(), Vec<OptionError>> {
        let (smallest, largest) = (Size::bytes(2), Size::bytes(UNCONSUMED_BYTES_MAX as u64));
        if (smallest.as_u64()..=largest.as_u64()).contains(&options.max_request.as_u64()) {
            return Ok(());
        }
        let message = format!("expected a size from {smallest} to {largest}, found {}", options.max_request);
        Err(vec![OptionError::new("max_request", message)])
    }

    fn open(options: Options, _: &Setup<'_>) -> Result<Self, SetupError> {
        let request_bytes_max = usize::try_from(options.max_request.as_u64()).unwrap_or(UNCONSUMED_BYTES_MAX);
        Ok(Self { request_bytes_max: request_bytes_max.min(UNCONSUMED_BYTES_MAX) })
    }
}

impl StreamService for Sum {
    fn connect(&self, _: &Peer) -> Admission {
        Ok(Box::new(Connection::new(self.request_bytes_max)))
    }
}

#[derive(Debug)]
struct Connection {
    request_bytes_max: usize,
    /// The scan of the request that begins at the first unconsumed byte.
    scanner: Scanner,
}

impl Connection {
    const fn new(request_bytes_max: usize) -> Self {
        Self { request_bytes_max, scanner: Scanner::new(request_bytes_max) }
    }
}

impl StreamProtocol for Connection {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let text = skip_white_space(input);
        let start = input.len() - text.len();
        if text.is_empty() {
            return Ok(Step::wait(Within::Nothing).consuming(start));
        }
        if self.scanner.scanned() == 0
            && let Some((request, len)) = Request::parse_plain(text)
            && len <= self.request_bytes_max
        {
            answer(request, cx);
            return Ok(Step::again(start + len));
        }
        match self.scanner.scan(text) {
            Verdict::Value(len) => {
                self.scanner = Scanner::new(self.request_bytes_max);
                answer(Request::parse(&text[..len]), cx);
                Ok(Step::again(start + len))
            }
            Verdict::Unfinished => Ok(Step::wait(Within::Request).consuming(start)),
            Verdict::NotJson(index) => Err(fatal("not JSON", format_args!("not JSON at byte {}", index + 1))),
            Verdict::TooDeep(index) => {
                let (depth, byte) = (scanner::DEPTH_MAX, index + 1);
                Err(fatal("too deep", format_args!("nested deeper than {depth} levels at byte {byte}")))
            }
            Verdict::TooLong => Err(fatal("too long", format_args!("longer than {} bytes", self.request_bytes_max))),
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof if rest.is_empty() => Ok(Step::finish()),
            Event::Eof if self.scanner.may_end() => {
                answer(Request::parse(rest), cx);
                Ok(Step::finish().consuming(rest.len()))
            }
            Event::Eof => Err(fatal("cut short", format_args!("cut short after byte {}", rest.len()))),
            _ => Ok(Step::wait(Within::Nothing)),
        }
    }
}

impl DatagramProtocol for Sum {
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
        if payload.is_empty() {
            return Err(Dropped("empty"));
        }
        let request = parse_alone(payload, self.request_bytes_max).ok_or(Dropped("no request"))?;
        answer(Ok(request), cx);
        Ok(())
    }

    fn payload_bytes_max(&self) -> usize {
        self.request_bytes_max
    }
}

/// Reads a payload that consists of one request, with white space around it.
fn parse_alone(payload: &[u8], bytes_max: usize) -> Option<Request> {
    let text = skip_white_space(payload);
    let (request, len) = Request::parse_plain(text).or_else(|| match Scanner::new(bytes_max).scan(text) {
        Verdict::Value(len) => Some((Request::parse(&text[..len]), len)),
        _ => None,
    })?;
    request.ok().filter(|_| skip_white_space(&text[len..]).is_empty())
}

/// Answers one complete value, and counts a refusal after which the connection goes on.
fn answer(request: Result<Request, request::Fault>, cx: &mut Context<'_>) {
    match request.map(|Request { a, b }| a.checked_add(b)) {
        Ok(Some(sum)) => {
            cx.out.extend_from_slice(br#"{"Sum":"#);
            cx.out.extend_from_slice(itoa::Buffer::new().format(sum).as_bytes());
            cx.out.extend_from_slice(b"}\n");
        }
        Ok(None) => refuse("overflow", "sum overflows", cx),
        Err(fault) => refuse("no request", fault, cx),
    }
}

/// Answers that a value is refused. This must cost hardly more than a sum, because a value may be a single byte.
fn refuse(reason: &'static str, fault: request::Fault, cx: &mut Context<'_>) {
    cx.refuse(reason);
    for part in [ERROR_BEGIN, fault, ERROR_END] {
        cx.out.extend_from_slice(part.as_bytes());
    }
}

/// What encloses the text of an error. The text needs no escapes of JSON: it never contains what a client sent.
const ERROR_BEGIN: &str = r#"{"Error":""#;
const ERROR_END: &str = "\"}\n";

/// An error after which the start of the next request is unknown, so the connection must end.
fn fatal(reason: &'static str, what: fmt::Arguments<'_>) -> ProtocolError {
    ProtocolError::new(reason, format!("{ERROR_BEGIN}{what}{ERROR_END}"))
}

#[cfg(test)]
mod tests;
