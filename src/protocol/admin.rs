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
mod page;
mod process;
mod routes;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::http::{Hosts, Manner, Reader, Refused, Response};
use self::routes::{Route, Take};
use crate::protocol::{
    Admission, Context, Event, OptionError, Peer, ProtocolError, Reply, Service, Setup, SetupError, Step,
    StreamProtocol, StreamService, Within,
};
use crate::snapshot::{Form, Question, Snapshot};

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
    const ABOUT: &'static str =
        "Answers HTTP requests for metrics, health, connections and configuration, and has a live page.";
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
    fn connect(&self, peer: &Peer) -> Admission {
        // A peer without an internet address is on this machine.
        let is_local = peer.ip().is_none_or(|address| address.to_canonical().is_loopback());
        Ok(Box::new(Visitor { hosts: Arc::clone(&self.hosts), reader: Reader::default(), is_local, take: None }))
    }
}

/// One connection of an administrator.
struct Visitor {
    hosts: Arc<Hosts>,
    reader: Reader,
    /// Whether the peer is on this machine.
    is_local: bool,
    /// The form of the recording that runs for this connection, and how its request is answered.
    take: Option<(Form, Manner)>,
}

/// An answer that a worker made.
struct Made {
    bytes: Vec<u8>,
    closes: bool,
}

impl StreamProtocol for Visitor {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        if self.take.is_some() {
            return Ok(Step::wait(Within::Body));
        }
        let request = match self.reader.read(input, &self.hosts) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(Step::wait(Within::Request)),
            Err(refused) => return refuse(refused, cx),
        };
        let (manner, length) = (request.manner, request.length);
        match routes::route(&request) {
            Ok(Route::Now(response)) => Ok(say(response, manner, cx).consuming(length)),
            Ok(Route::Inquire(question, view)) => {
                let make =
                    move |snapshot| Made { bytes: view.render(snapshot).into_bytes(manner), closes: manner.closes };
                Ok(Step::inquire(question, make, Self::send).consuming(length))
            }
            // Only the proxy vouches for an address behind it.
            Ok(Route::Record(_)) if !self.is_local || cx.proxy().is_some() => {
                let why = "the loop is recorded for peers on this machine only";
                Ok(say(Response::error(http::FORBIDDEN, why), manner, cx).consuming(length))
            }
            Ok(Route::Record(take)) => {
                let start = move |snapshot: Snapshot| (snapshot.is_recording, take, manner);
                Ok(Step::inquire(Question::StartRecording, start, Self::wait_for_the_end).consuming(length))
            }
            Err(response) => Ok(say(response, manner, cx).consuming(length)),
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof | Event::Timer if self.take.is_some() => return Ok(self.finish_recording()),
            Event::Eof => return Ok(Step::finish()),
            Event::NoWorker => {
                let response = Response::error(http::SERVICE_UNAVAILABLE, "no worker takes the request");
                cx.out.extend_from_slice(&response.into_bytes(Manner::LAST));
            }
            Event::Closing if self.take.is_none() && !rest.is_empty() => {
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
        Ok(next(made.closes))
    }

    /// Waits until the recording has taken its time, if it has started.
    fn wait_for_the_end(
        &mut self,
        (is_recording, take, manner): (bool, Take, Manner),
        _: &[u8],
        cx: &mut Context<'_>,
    ) -> Reply {
        if !is_recording {
            return Ok(say(Response::error(http::CONFLICT, "the loop is being recorded already"), manner, cx));
        }
        self.take = Some((take.form, manner));
        Ok(Step::wait(Within::Body).until(cx.now + take.time))
    }

    /// Ends the recording, when its time has passed or the peer's FIN has come.
    fn finish_recording(&mut self) -> Step {
        let Some((form, manner)) = self.take.take() else { return Step::finish() };
        let make = move |snapshot: Snapshot| Made {
            bytes: routes::recorded(&snapshot, form).into_bytes(manner),
            closes: manner.closes,
        };
        Step::inquire(Question::FinishRecording, make, Self::send).until(None)
    }
}

/// Sends an answer, and counts it if it is an error.
fn say(response: Response, manner: Manner, cx: &mut Context<'_>) -> Step {
    if response.status != http::OK {
        cx.refuse(response.status.1);
    }
    cx.out.extend_from_slice(&response.into_bytes(manner));
    next(manner.closes)
}

/// Answers a request that is refused.
fn refuse(refused: Refused, cx: &mut Context<'_>) -> Reply {
    let Refused { status, why, manner, length } = refused;
    let response = Response::error(status, why);
    if manner == Manner::LAST {
        let bytes = response.into_bytes(manner);
        return Err(ProtocolError::new(status.1, String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(say(response, manner, cx).consuming(length))
}

/// Goes on with the next request, or closes.
fn next(closes: bool) -> Step {
    if closes { Step::finish() } else { Step::again(0) }
}

#[cfg(test)]
mod tests;
