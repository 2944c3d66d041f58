//! sum: a JSON object with two integers in, their sum out; over TCP and over UDP.
//!
//! A request needs no delimiter: `scanner` finds where its object ends. `request` reads it.

mod request;
mod scanner;

use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Size;
use crate::limits::UNCONSUMED_BYTES_MAX;
use crate::protocol::{
    Context, DatagramProtocol, Dropped, Event, OptionError, ProtocolError, Reply, Service, Setup, SetupError, Step,
    StreamProtocol, StreamService, Within,
};
use request::{Request, skip_white_space};
use scanner::{Scanner, Verdict};

/// Adds two integers of 64 bits.
#[derive(Debug)]
pub struct Sum {
    request_bytes_max: usize,
}

/// What a configuration may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
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
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Connection::new(self.request_bytes_max))
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
            answer(Ok(request), cx);
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

/// Reads a payload that is one request and nothing else but white space around it.
fn parse_alone(payload: &[u8], bytes_max: usize) -> Option<Request> {
    let text = skip_white_space(payload);
    let (request, len) = Request::parse_plain(text).or_else(|| match Scanner::new(bytes_max).scan(text) {
        Verdict::Value(len) => Some((Request::parse(&text[..len]).ok()?, len)),
        _ => None,
    })?;
    skip_white_space(&text[len..]).is_empty().then_some(request)
}

/// The answer to one complete value. It counts what is refused while the connection goes on.
fn answer(request: Result<Request, request::Fault>, cx: &mut Context<'_>) {
    match request.map(|Request { a, b }| a.checked_add(b)) {
        Ok(Some(sum)) => {
            cx.out.extend_from_slice(br#"{"Sum":"#);
            cx.out.extend_from_slice(itoa::Buffer::new().format(sum).as_bytes());
            cx.out.extend_from_slice(b"}\n");
        }
        Ok(None) => {
            cx.refuse("overflow");
            cx.out.extend_from_slice(error_line("sum overflows").as_bytes());
        }
        Err(fault) => {
            cx.refuse("no request");
            cx.out.extend_from_slice(error_line(fault).as_bytes());
        }
    }
}

/// An error after which nobody knows where the next request would begin.
fn fatal(reason: &'static str, what: fmt::Arguments<'_>) -> ProtocolError {
    ProtocolError::new(reason, error_line(what))
}

/// `what` has nothing that JSON escapes: it is ours, and never what a client sent.
fn error_line(what: impl fmt::Display) -> String {
    format!("{{\"Error\":\"{what}\"}}\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::outbox::Outbox;
    use crate::protocol::feed::{Chance, Peer, same_for_every_split};
    use crate::stats::Tally;

    /// What a client gets for `stream` and FIN, in whatever pieces, and how its connection ends.
    fn serve(stream: &[u8], request_bytes_max: usize) -> (String, &'static str) {
        let (received, end) = same_for_every_split(stream, || Connection::new(request_bytes_max));
        (String::from_utf8(received).unwrap(), end)
    }

    fn serve_datagram(payload: &[u8]) -> Result<String, Dropped> {
        let (mut out, mut refused) = (Outbox::default(), Tally::default());
        let peer = SocketAddr::from(([127, 0, 0, 1], 4));
        let mut cx = Context::new(&mut out, &mut refused, Instant::now(), SystemTime::UNIX_EPOCH, peer);
        Sum { request_bytes_max: 4096 }.on_datagram(payload, &mut cx)?;
        Ok(String::from_utf8(out.pending().to_vec()).unwrap())
    }

    fn sums(sums: &[i64]) -> String {
        sums.iter().map(|sum| format!("{{\"Sum\":{sum}}}\n")).collect()
    }

    #[test]
    fn requests_are_answered_in_order_with_or_without_white_space_between() {
        for (stream, expected) in [
            (r#"{"A":7,"B":4}"#, &[11][..]),
            (r#"{"A":7,"B":4}{"A":1,"B":2}"#, &[11, 3]),
            (" \r\n\t{ \"B\" : -4 ,\n\"A\" : 7 }\n\n{\"a\":1,\"b\":2}\n", &[3, 3]),
            (r#"{"a":-0,"B":0,"c":[{"A":"}"},1e400,"\ud83d\ude00"]}"#, &[0]),
            (r#"{"\u0041":9223372036854775807,"\u0062":-9223372036854775808}"#, &[-1]),
            ("", &[]),
            (" \n", &[]),
        ] {
            assert_eq!(serve(stream.as_bytes(), 4096), (sums(expected), "eof"), "{stream}");
        }
    }

    #[test]
    fn a_complete_value_that_is_no_request_is_refused_and_the_connection_goes_on() {
        for (value, error) in [
            ("[1]", "not an object"),
            (r#""x""#, "not an object"),
            ("{}", "A is missing"),
            (r#"{"B":1}"#, "A is missing"),
            (r#"{"a":1}"#, "B is missing"),
            (r#"{"A":1.0,"B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":1,"B":1e2}"#, "B is not an integer of 64 bits"),
            (r#"{"A":"7","B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":null,"B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":-0.0,"B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":[1],"B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":9223372036854775808,"B":1}"#, "A is not an integer of 64 bits"),
            (r#"{"A":1,"B":-9223372036854775809}"#, "B is not an integer of 64 bits"),
            (r#"{"A":1,"B":99999999999999999999999999}"#, "B is not an integer of 64 bits"),
            (r#"{"A":1,"B":1e400}"#, "B is not an integer of 64 bits"),
            (r#"{"A":1,"A":1,"B":1}"#, "A is given twice"),
            (r#"{"B":1,"A":1,"\u0062":2}"#, "B is given twice"),
            (r#"{"A":1,"a":true}"#, "A is given twice"),
            (r#"{"B":"x","A":"y"}"#, "B is not an integer of 64 bits"),
            (r#"{"A":9223372036854775807,"B":1}"#, "sum overflows"),
            (r#"{"b":-9223372036854775808,"a":-1}"#, "sum overflows"),
            ("true ", "not an object"),
            ("-1.5e+3\n", "not an object"),
        ] {
            let stream = format!(r#"{value}{{"A":7,"B":4}}"#);
            let answers = format!("{{\"Error\":\"{error}\"}}\n{{\"Sum\":11}}\n");
            assert_eq!(serve(stream.as_bytes(), 4096), (answers, "eof"), "{value}");
        }
    }

    #[test]
    fn a_number_or_a_word_ends_at_the_first_byte_that_cannot_belong_to_it() {
        let refused = "{\"Error\":\"not an object\"}\n";
        let sum = "{\"Sum\":11}\n";
        for (stream, expected, end) in [
            (r#"1{"A":7,"B":4}"#, [refused, sum].concat(), "eof"),
            (r#"null{"A":7,"B":4}"#, [refused, sum].concat(), "eof"),
            (r#"1"x"2[]"#, refused.repeat(4), "eof"),
            ("42", refused.into(), "eof"),
            ("true", refused.into(), "eof"),
            ("1true", refused.repeat(2), "eof"),
            ("truefalse", "{\"Error\":\"not JSON at byte 5\"}\n".into(), "not JSON"),
            ("01", "{\"Error\":\"not JSON at byte 2\"}\n".into(), "not JSON"),
            ("1]", [refused, "{\"Error\":\"not JSON at byte 1\"}\n"].concat(), "not JSON"),
        ] {
            assert_eq!(serve(stream.as_bytes(), 4096), (expected, end), "{stream}");
        }
    }

    #[test]
    fn what_cannot_be_json_ends_the_connection_and_the_first_byte_at_fault_decides() {
        for (stream, error, end) in [
            (&br#"{"A":oops}"#[..], "not JSON at byte 6", "not JSON"),
            (b"\n\n GET / HTTP/1.1\r\n\r\n", "not JSON at byte 1", "not JSON"),
            (b"\x16\x03\x01\x02", "not JSON at byte 1", "not JSON"),
            (b"{\"A\":1,}{\"A\":7,\"B\":4}", "not JSON at byte 8", "not JSON"),
            (b"{\"\xff\": oops", "not JSON at byte 3", "not JSON"),
            (b"{\"A\":7", "cut short after byte 6", "cut short"),
            (b"-", "cut short after byte 1", "cut short"),
            (b"\"\xe2\x82", "cut short after byte 3", "cut short"),
            (br#"{"A":1,"B":2,"C":"#, "cut short after byte 17", "cut short"),
        ] {
            let expected = (format!("{{\"Error\":\"{error}\"}}\n"), end);
            assert_eq!(serve(stream, 4096), expected, "{}", stream.escape_ascii());
        }
    }

    #[test]
    fn a_request_may_be_exactly_as_long_as_allowed() {
        let request = r#"{"A":7,"B":4}"#;
        assert_eq!(serve(request.as_bytes(), 13), (sums(&[11]), "eof"));
        for (stream, bytes_max) in [
            (r#"{"A":7,"B":4}"#, 12),
            (r#"{"A":7,"B":41}"#, 13),
            (r#"{"A":7,"B":4oops"#, 12),
            ("421", 2),
            ("42.", 2),
            ("trueX", 4),
            (r#""12345678"#, 4),
        ] {
            let expected = (format!("{{\"Error\":\"longer than {bytes_max} bytes\"}}\n"), "too long");
            assert_eq!(serve(stream.as_bytes(), bytes_max), expected, "{stream}");
        }
        for stream in ["42", "42 ", "42\n[]"] {
            assert_eq!(serve(stream.as_bytes(), 2).1, "eof", "{stream}");
        }
    }

    #[test]
    fn nesting_may_have_128_levels_and_one_more_is_refused_where_it_opens() {
        let member =
            |levels: usize| format!(r#"{{"A":1,"B":2,"c":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(serve(member(128).as_bytes(), 4096), (sums(&[3]), "eof"));
        let refused = ("{\"Error\":\"nested deeper than 128 levels at byte 145\"}\n".to_owned(), "too deep");
        assert_eq!(serve(member(129).as_bytes(), 4096), refused);
        assert_eq!(serve("[".repeat(4096).as_bytes(), 4096).1, "too deep");
    }

    #[test]
    fn any_mix_of_requests_and_rubbish_gives_the_same_transcript_however_it_is_split() {
        let parts = [
            r#"{"A":7,"B":4}"#,
            r#"{"A":-1,"b":1}"#,
            r#"{"A":9223372036854775807,"B":9}"#,
            r#"{"A":1"#,
            r#","B":2}"#,
            "[[]]",
            "1",
            "0",
            "-",
            ".5",
            "e3",
            "true",
            "nul",
            "\"",
            "\\u00e",
            "\\ud800",
            "\\",
            "ä",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\u{1}",
        ];
        for seed in 0..4_000 {
            let mut chance = Chance::new(seed);
            let stream: String = (0..chance.below(8)).map(|_| chance.one_of(&parts)).collect();
            serve(stream.as_bytes(), 2 + chance.below(30));
        }
    }

    #[test]
    fn only_a_request_that_has_begun_is_within_a_request() {
        let (mut protocol, mut peer) = (Connection::new(4096), Peer::new());
        for (chunk, within, held) in [
            (" ", Within::Nothing, 0),
            (" {", Within::Request, 1),
            (r#""A":7,"B":4}"#, Within::Nothing, 0),
            ("4", Within::Request, 1),
        ] {
            peer.write(&mut protocol, chunk.as_bytes());
            assert_eq!((peer.within, peer.held().len()), (within, held), "{chunk}");
        }
    }

    #[test]
    fn when_we_close_in_the_middle_of_a_request_nothing_is_sent() {
        let (mut protocol, mut peer) = (Connection::new(4096), Peer::new());
        peer.write(&mut protocol, b"{\"A\":");
        peer.event(&mut protocol, Event::Closing);
        assert!(peer.received().is_empty());
    }

    #[test]
    fn what_is_refused_while_the_connection_goes_on_is_counted() {
        let mut peer = Peer::new();
        peer.write(&mut Connection::new(4096), br#"[]{}{"A":9223372036854775807,"B":1}{"A":1,"B":1}"#);
        assert_eq!(peer.refused.to_string(), "3 (no request 2, overflow 1)");
    }

    #[test]
    fn a_datagram_is_answered_as_over_tcp_or_dropped_in_silence() {
        for (payload, sum) in [(r#"{"A":7,"B":4}"#, 11), (" {\"b\": 1, \"c\": [], \"a\": -1}\r\n", 0)] {
            assert_eq!(serve_datagram(payload.as_bytes()), Ok(sums(&[sum])));
        }
        let overflow = "{\"Error\":\"sum overflows\"}\n".to_owned();
        assert_eq!(serve_datagram(br#"{"A":9223372036854775807,"B":1}"#), Ok(overflow));
        assert_eq!(serve_datagram(b""), Err(Dropped("empty")));
        for payload in [
            " ",
            "42",
            "[]",
            "{}",
            r#"{"A":7,"B":4"#,
            r#"{"A":7,"B":4}{"A":7,"B":4}"#,
            r#"{"A":7,"B":4} 1"#,
            "oops",
            r#"{"A":1,"B":1.0}"#,
            r#"{"A":1,"B":1,"c":01}"#,
            r#"{"A":1,"B":1,"a":1}"#,
            "\u{c}{\"A\":7,\"B\":4}",
        ] {
            assert_eq!(serve_datagram(payload.as_bytes()), Err(Dropped("no request")), "{payload}");
        }
    }

    #[test]
    fn no_reply_is_longer_than_its_request_or_a_valid_request() {
        let mut edges: Vec<i64> = (0..63).map(|bit| 1 << bit).chain((0..19).map(|digits| 10_i64.pow(digits))).collect();
        edges.extend(edges.clone().iter().flat_map(|edge| [edge - 1, -edge, 1 - edge, -edge - 1]));
        edges.extend([i64::MIN, i64::MIN + 1, i64::MAX]);
        let mut chance = Chance::new(1);
        for a in &edges {
            for b in edges.iter().copied().chain([chance.next() as i64]) {
                let request = format!(r#"{{"A":{a},"B":{b}}}"#);
                let reply = serve_datagram(request.as_bytes()).unwrap();
                assert!(reply.len() <= request.len(), "{request} gives {reply}");
                assert_eq!(serve_datagram(reply.as_bytes()), Err(Dropped("no request")), "{request} gives {reply}");
            }
        }
    }

    #[test]
    fn max_request_has_bounds() {
        let check = |bytes| Sum::check(&Options { max_request: Size::bytes(bytes) });
        let largest = UNCONSUMED_BYTES_MAX as u64;
        assert!([2, 4096, largest].into_iter().all(|bytes| check(bytes).is_ok()));
        for bytes in [0, 1, largest + 1, u64::MAX] {
            assert_eq!(check(bytes).unwrap_err()[0].path, "max_request");
        }
        assert_eq!(Options::default().max_request.as_u64(), 4096);
    }
}
