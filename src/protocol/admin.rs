//! `admin`: what the server does, over HTTP: metrics, health, connections, configuration. It only looks.
//!
//! ```text
//! on_bytes   admin.rs     for each request
//! ├ read     http.rs      the head of the request
//! ├ route    routes.rs    the path: an answer at once, or a question to the loop
//! └ render   routes.rs    on a worker: the answer of the loop as metrics.rs or json.rs write it
//! ```

#![cfg(feature = "admin")]

mod http;
mod json;
mod metrics;
mod process;
mod routes;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::http::{Hosts, Manner, Reader, Refused, Response};
use self::routes::Route;
use crate::protocol::{
    Admission, Context, Event, OptionError, Peer, ProtocolError, Reply, Service, Setup, SetupError, Step,
    StreamProtocol, StreamService, Within,
};

/// The service of a listener.
#[derive(Debug)]
pub struct Admin {
    hosts: Arc<Hosts>,
}

/// The options of `admin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// Names of this server, besides IP addresses and localhost, that a request may have in its Host header.
    pub hosts: Vec<String>,
}

impl Service for Admin {
    const NAME: &'static str = "admin";
    const ABOUT: &'static str = "Answers HTTP requests for metrics, health, connections and configuration.";
    const TRY: &'static str = "curl http://127.0.0.1:9901/metrics";
    type Options = Options;

    fn check(options: &Options) -> Result<(), Vec<OptionError>> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let wrong = options.hosts.iter().enumerate().filter(|(_, name)| !is_name(name));
        let wrong: Vec<_> = wrong
            .map(|(index, name)| {
                OptionError::new(
                    format!("hosts[{index}]"),
                    format!("expected a host name without a port, found {name:?}"),
                )
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn open(options: Options, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self { hosts: Arc::new(Hosts::new(options.hosts)) })
    }
}

impl StreamService for Admin {
    fn connect(&self, _: &Peer) -> Admission {
        Ok(Box::new(Visitor { hosts: Arc::clone(&self.hosts), reader: Reader::default() }))
    }
}

/// One connection of an administrator.
struct Visitor {
    hosts: Arc<Hosts>,
    reader: Reader,
}

/// An answer that a worker made.
struct Made {
    bytes: Vec<u8>,
    closes: bool,
}

impl StreamProtocol for Visitor {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let request = match self.reader.read(input, &self.hosts) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(Step::wait(Within::Request)),
            Err(refused) => return refuse(refused, cx),
        };
        let (manner, length) = (request.manner, request.length);
        match routes::route(&request) {
            Ok(Route::Now(response)) => {
                cx.out.extend_from_slice(&response.into_bytes(manner));
                Ok(next(manner.closes, length))
            }
            Ok(Route::Inquire(question, view)) => {
                let make =
                    move |snapshot| Made { bytes: view.render(snapshot).into_bytes(manner), closes: manner.closes };
                Ok(Step::inquire(question, make, Self::send).consuming(length))
            }
            Err(response) => {
                cx.refuse(response.status.1);
                cx.out.extend_from_slice(&response.into_bytes(manner));
                Ok(next(manner.closes, length))
            }
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => return Ok(Step::finish()),
            Event::NoWorker => {
                let response = Response::error(http::SERVICE_UNAVAILABLE, "no worker takes the request");
                cx.out.extend_from_slice(&response.into_bytes(Manner::LAST));
            }
            Event::Closing if !rest.is_empty() => {
                let response = Response::error(http::REQUEST_TIMEOUT, "the rest of the request did not come");
                cx.out.extend_from_slice(&response.into_bytes(Manner::LAST));
            }
            _ => {}
        }
        Ok(Step::wait(Within::Nothing))
    }
}

impl Visitor {
    /// Sends what a worker made.
    fn send(&mut self, made: Made, _: &[u8], cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(&made.bytes);
        Ok(next(made.closes, 0))
    }
}

/// Answers a request that is refused.
fn refuse(refused: Refused, cx: &mut Context<'_>) -> Reply {
    let Refused { status, why, manner, length } = refused;
    let bytes = Response::error(status, why).into_bytes(manner);
    if manner == Manner::LAST {
        return Err(ProtocolError::new(status.1, String::from_utf8_lossy(&bytes).into_owned()));
    }
    cx.refuse(status.1);
    cx.out.extend_from_slice(&bytes);
    Ok(next(manner.closes, length))
}

/// Goes on with the next request, or closes.
fn next(closes: bool, consumed: usize) -> Step {
    let step = if closes { Step::finish() } else { Step::again(0) };
    step.consuming(consumed)
}

#[cfg(test)]
mod tests;
