//! The paths, and what is under each.

use std::time::Duration;

use super::http::{self, HTML, NOT_FOUND, OK, Request, Response, SERVICE_UNAVAILABLE, TEXT};
use super::{json, metrics, page};
use crate::limits::{RECORDING_SECONDS_MAX, REPORT_ROWS_MAX};
use crate::snapshot::{Form, Question, Snapshot, Wanted};

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Route {
    /// An answer that needs no question.
    Now(Response),
    /// A question to the loop, and the view of its answer.
    Inquire(Question, View),
    /// A recording of the loop.
    Record(Take),
}

/// A recording that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Take {
    /// How long it takes.
    pub(super) time: Duration,
    /// The form of the answer.
    pub(super) form: Form,
}

/// How the answer of the loop is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// All counters, in one of two text formats.
    Metrics(metrics::Format),
    /// Whether the server is ready; with all listeners if it is verbose.
    Ready {
        /// Whether the listeners are listed.
        is_verbose: bool,
    },
    /// What each connection waits for.
    Connections,
    /// The counters of each listener.
    Listeners,
    /// The configuration.
    Config,
}

/// Chooses the answer to a request.
///
/// # Errors
/// The answer that says why there is no other.
pub(super) fn route(request: &Request) -> Result<Route, Response> {
    let mut query = Query::new(&request.query)?;
    let route = match request.path.as_str() {
        "/metrics" => Route::Inquire(Question::Counters, View::Metrics(metrics::Format::chosen(&request.accept))),
        "/" => Route::Now(page::response()),
        "/healthz" => Route::Now(Response::new(OK, TEXT, "ok\n")),
        "/readyz" => match query.flag("verbose")? {
            true => Route::Inquire(Question::Counters, View::Ready { is_verbose: true }),
            false => Route::Inquire(Question::Readiness, View::Ready { is_verbose: false }),
        },
        "/connections" => {
            let wanted = Wanted {
                listener: query.take("listener"),
                rows_max: query.number("limit", REPORT_ROWS_MAX)?.unwrap_or(REPORT_ROWS_MAX),
            };
            Route::Inquire(Question::Connections(wanted), View::Connections)
        }
        "/listeners" => Route::Inquire(Question::Counters, View::Listeners),
        "/config" => Route::Inquire(Question::Counters, View::Config),
        "/xray" => {
            let seconds = query.number("seconds", RECORDING_SECONDS_MAX)?.unwrap_or(1);
            let form = form(query.take("format").as_deref(), &request.accept)?;
            Route::Record(Take { time: Duration::from_secs(seconds as u64), form })
        }
        _ => return Err(Response::error(NOT_FOUND, PATHS)),
    };
    query.finish()?;
    Ok(route)
}

/// The line that a request for another path gets.
const PATHS: &str = "there are /, /metrics, /healthz, /readyz, /connections, /listeners, /config and /xray";

/// Chooses the form of a recording: the one that is named, or the one that the client accepts.
fn form(named: Option<&str>, accept: &str) -> Result<Form, Response> {
    match named {
        Some("page") => Ok(Form::Page),
        Some("text") => Ok(Form::Text),
        Some("json") => Ok(Form::TraceEvents),
        Some(_) => Err(bad("format: expected page, text or json")),
        None if accept.contains("text/html") => Ok(Form::Page),
        None if accept.contains("application/json") => Ok(Form::TraceEvents),
        None => Ok(Form::Text),
    }
}

/// Makes the answer of a recording that is complete. Runs on a worker.
pub(super) fn recorded(snapshot: &Snapshot, form: Form) -> Response {
    let kind = match form {
        Form::Page => HTML,
        Form::Text => TEXT,
        Form::TraceEvents => json::KIND,
    };
    let mut body = Vec::new();
    match snapshot.tape.as_ref().map(|tape| tape.write(form, &mut body)) {
        Some(Ok(())) if form == Form::Page => {
            Response { headers: page::RECORDING_POLICY, ..Response::new(OK, kind, body) }
        }
        Some(Ok(())) => Response::new(OK, kind, body),
        // The recording was ended by the program that embeds the loop.
        _ => Response::error(SERVICE_UNAVAILABLE, "the recording is lost"),
    }
}

impl View {
    /// Makes the answer. Runs on a worker.
    pub(super) fn render(self, snapshot: Snapshot) -> Response {
        match self {
            Self::Metrics(format) => metrics::response(snapshot, format),
            Self::Ready { is_verbose } => ready(&snapshot, is_verbose),
            Self::Connections => Response::new(OK, json::KIND, json::connections(&snapshot)),
            Self::Listeners => Response::new(OK, json::KIND, json::listeners(&snapshot)),
            Self::Config => Response::new(OK, json::KIND, format!("{}\n", snapshot.configuration)),
        }
    }
}

/// Returns whether the server is ready, with the reason if it is not.
fn ready(snapshot: &Snapshot, is_verbose: bool) -> Response {
    let (status, mut text) = match snapshot.readiness.reason() {
        None => (OK, "ready\n".to_owned()),
        Some(reason) => (SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    for door in snapshot.doors.iter().filter(|_| is_verbose) {
        let state = door.paused.as_deref().unwrap_or("accepting");
        text += &format!("{} {}: {state}\n", door.name, door.url);
    }
    Response::new(status, TEXT, text)
}

/// The parameters of a request. Each that is known is taken; one that is left is an error.
struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&name=value`.
    fn new(text: &str) -> Result<Self, Response> {
        let parameter = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        let parameters: Option<_> = text.split('&').filter(|text| !text.is_empty()).map(parameter).collect();
        parameters.map(Self).ok_or_else(|| bad("a malformed query"))
    }

    /// Takes the value of the first parameter with this name.
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    /// Takes a parameter without a value. Returns whether it is there.
    fn flag(&mut self, name: &str) -> Result<bool, Response> {
        match self.take(name) {
            None => Ok(false),
            Some(value) if value.is_empty() => Ok(true),
            Some(_) => Err(bad(&format!("{name} has no value"))),
        }
    }

    /// Takes a number from 1 to `most`.
    fn number(&mut self, name: &str, most: usize) -> Result<Option<usize>, Response> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // `str::parse` would take a sign as well.
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        match number.filter(|number| (1..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(&format!("{name}: expected 1 to {most}"))),
        }
    }

    /// Refuses parameters that were not taken.
    fn finish(self) -> Result<(), Response> {
        if self.0.is_empty() { Ok(()) } else { Err(bad("an unknown parameter, or one that is given twice")) }
    }
}

/// Makes the answer to a request whose query is wrong.
fn bad(why: &str) -> Response {
    Response::error(http::BAD_REQUEST, why)
}

/// Decodes percent signs (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let (&[high, low], after) = rest.split_first_chunk()?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push((digit(high)? * 16 + digit(low)?) as u8);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::admin::http::{BAD_REQUEST, Manner};

    fn ask(path: &str, query: &str) -> Result<Route, Response> {
        let manner = Manner { is_head: false, closes: false };
        route(&Request { path: path.into(), query: query.into(), accept: String::new(), manner, length: 0 })
    }

    #[test]
    fn filters_choose_a_listener_and_a_number_of_rows() {
        let wanted = |query| match ask("/connections", query) {
            Ok(Route::Inquire(Question::Connections(wanted), View::Connections)) => (wanted.listener, wanted.rows_max),
            other => panic!("{query}: {other:?}"),
        };
        assert_eq!(wanted(""), (None, 500));
        assert_eq!(wanted("limit=7&listener=a%20b%C3%BC"), (Some("a bü".to_owned()), 7));
        assert_eq!(wanted("listener=sum"), (Some("sum".to_owned()), 500));
    }

    #[test]
    fn a_query_that_is_not_understood_is_refused() {
        let queries = [
            "limit=0",
            "limit=501",
            "limit=+5",
            "limit=",
            "limit=99999999999999999999",
            "limit=1&limit=2",
            "Limit=1",
            "x",
            "listener=%",
            "listener=%4",
            "listener=%zz",
            "listener=%ff",
            "verbose",
        ];
        for query in queries {
            assert_eq!(
                ask("/connections", query).map_err(|refused| refused.status).err(),
                Some(BAD_REQUEST),
                "{query}"
            );
        }
        for (path, query) in [("/healthz", "a"), ("/metrics", "name[]=x"), ("/readyz", "verbose=1")] {
            assert_eq!(ask(path, query).map_err(|refused| refused.status).err(), Some(BAD_REQUEST), "{path}");
        }
    }

    #[test]
    fn a_recording_has_a_form_and_ten_seconds_at_most() {
        let take = |query, accept: &str| {
            let manner = Manner { is_head: false, closes: false };
            let request =
                Request { path: "/xray".into(), query: String::from(query), accept: accept.into(), manner, length: 0 };
            match route(&request) {
                Ok(Route::Record(Take { time, form })) => Some((time.as_secs(), form)),
                _ => None,
            }
        };
        assert_eq!(take("", "*/*"), Some((1, Form::Text)));
        assert_eq!(take("seconds=10", "text/html,application/xhtml+xml,*/*;q=0.8"), Some((10, Form::Page)));
        assert_eq!(take("seconds=2&format=json", "text/html"), Some((2, Form::TraceEvents)));
        for wrong in ["seconds=0", "seconds=11", "seconds=-1", "format=xml", "for=3"] {
            assert_eq!(take(wrong, ""), None, "{wrong}");
        }
    }

    #[test]
    fn a_path_is_known_as_it_is_written_or_not_at_all() {
        for path in ["//", "//metrics", "/metrics/", "/Metrics", "/%6detrics", "/./metrics", "/healthz/../metrics"] {
            assert_eq!(ask(path, "").map_err(|refused| refused.status).err(), Some(NOT_FOUND), "{path}");
        }
    }
}
