//! Random inputs, made of the words of each protocol, of events of a peer, and of any bytes.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

use crate::properties;

/// An input, which a failure prints as a string that can be pasted into a test.
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Events of a peer: see `properties/play.rs`.
const HAPPENINGS: &[&[u8]] = &[
    b"\xff|",
    b"\xff|",
    b"\xff|",
    b"\xff*\x01 ",
    b"\xff*\x04a",
    b"\xff*\x40\n",
    b"\xffp",
    b"\xffq",
    b"\xffP",
    b"\xfff",
    b"\xffr",
    b"\xff.",
    b"\xffs",
    b"\xffc",
    b"\xffw\x00",
    b"\xffw\x40",
    b"\xffn\x09",
    b"\xffe\x01",
    b"\xffe\x02",
    b"\xffx\x01\x00",
    b"\xffx\x02\x01",
    b"\xffx\x03\x02",
    b"\xffx\x04\x03",
    b"\xffj\x05",
    b"\xffj\x64",
    b"\xffl\x00",
];

const HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 80\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n",
    b"PROXY UNKNOWN",
    b"PROXY ",
    b"TCP4 ",
    b"192.0.2.7 ",
    b"::1 ",
    b"80",
    b" ",
    b"\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n",
    b"\x20\x00\x00\x00",
    b"\x21\x11\x00\x0c",
    b"\x21\x11\x00\x13",
    b"\x21\x21\x00\x24",
    b"\xc0\x00\x02\x07\xcb\x00\x71\x01\x9c\x40\x00\x50",
    b"\x04\x00\x04\x00\x00\x00\x00",
    b"\x03\x00\x04\x00\x00\x00\x00",
    b"\x20\x00\x05\x01\x00\x00\x00\x00",
];

const JSON: &[&[u8]] = &[
    br#"{"A":7,"B":4}"#,
    br#"{"a":-0,"b":1}"#,
    br#"{"A":9223372036854775807,"B":1}"#,
    br#"{"B":-9223372036854775808,"A":-1}"#,
    br#"{"A":1,"B":2,"c":"#,
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b" ",
    b"\n",
    br#""A""#,
    br#""b""#,
    br#""\u0041""#,
    br#""\ud83d\ude00""#,
    br#""\ud800""#,
    "\"ä😀\"".as_bytes(),
    b"\"",
    b"\\",
    b"true",
    b"null",
    b"-1.5e+3",
    b"1e400",
    b"0",
    b"-",
    b"99999999999999999999",
];

const LINES: &[&[u8]] =
    &[b"exit", b"exit\n", b"exit\r\n", b"\nexit", b"ex", b"\r", b"\n", b"Hello", "straße".as_bytes()];

const LETTERS: &[&[u8]] =
    &["ŉΐﬃ".as_bytes(), "😀𐐨".as_bytes(), b"\xc3", b"\x9f", b"\xf0\x9f", b"\x98", b"\xed\xa0\x80"];

const NAMES: &[&[u8]] = &[
    b"notes.txt",
    b"a",
    "ä.b.c".as_bytes(),
    b".",
    b"..",
    b"/",
    b"\\",
    b"\0",
    b"\x7f",
    "\u{85}".as_bytes(),
    "\u{202e}".as_bytes(),
    b" ",
    b"con",
    b"\xe4",
    b"\r",
    &[b'n'; 254],
    "ü".as_bytes(),
];

const UPLOADS: &[&[u8]] = &[
    b"\n",
    b"\n",
    b"\r\n",
    b"notes.txt\n5\nhello",
    b"b\n0\n",
    b"c\n3\nabc",
    b"d\r\n1\r\nx",
    b"1000\n",
    b"1001\n",
    b"9999999999999999999\n",
    b"hello",
    b"3",
];

const CONFIGURATION: &[&[u8]] = &[
    br#"{"listeners":["#,
    br#"{"listen":"tcp://127.0.0.1:5656","protocol":"sum"}"#,
    br#"{"listen":"udp://[::1]:0","protocol":"sum","receive_buffer":"64KiB"}"#,
    br#"{"name":"x","listen":"tcp://:80","protocol":"file","options":{"#,
    br#"{"listen":"tcp6://localhost:1","protocol":"greeting","limits":{"#,
    br#""idle_timeout":"30s""#,
    br#""lifetime":"0s""#,
    br#""max_connections":0"#,
    br#""existing":"number""#,
    br#""max_size":"10GiB""#,
    br#""name_quiet":"1h 5ms""#,
    br#""limits":{"#,
    br#""max_pending_output_total":"1B""#,
    br#""$schema":"x""#,
    b"//",
    b"/*",
    b"*/",
    b"]",
    b"}",
    b"}]}",
    b",",
    b",",
    b":",
    b"{",
    b"[",
    b"\"",
    b"\n",
    b"-1",
    b"1e9",
    b"null",
    "\"ä\"".as_bytes(),
];

const ARGUMENTS: &[&[u8]] = &[
    b"sum=",
    b"tcp",
    b"udp4",
    b"6",
    b"://",
    b"127.0.0.1",
    b"[::1]",
    b"[fe80::1%1]",
    b"localhost",
    b":",
    b"0",
    b"65536",
    b"/",
    b"18446744073709551615",
    b"s",
    b"ms",
    b"KiB",
    b"B",
    b" ",
];

const FRAMES: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\r",
    b"a",
    b"aa",
    b"aab",
    b"line\r\n",
    b"\x04",
    b"\x0f",
    b"\x01\0\0\0\0\0\0\0x",
    b"\0\0\0\0\0\0\0\x02ab",
    b"\0\x03abc",
    b"\0",
    b"\xff",
];

const HTTP: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"/metrics",
    b"/readyz?verbose",
    b"/connections?limit=1&listener=%41",
    b"/xray?seconds=1",
    b"http://localhost/config",
    b" HTTP/1.1\r\n",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/2.0\r\n",
    b"Host: localhost\r\n",
    b"Host: localhost\r\n",
    b"Host: [::1]:80\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Accept: application/openmetrics-text\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b" ",
    b":",
    b"%",
    b"?",
    &[b'a'; 4096],
];

/// Tries the property of `target` on inputs that are put together from `words` and any bytes.
fn hold_for(target: &str, words: &[&[&'static [u8]]]) {
    let word = select(words.concat()).prop_map(<[u8]>::to_vec);
    let fragment = prop_oneof![8 => word, 1 => vec(any::<u8>(), 0..4)];
    let input = vec(fragment, 0..16).prop_map(|fragments| Input(fragments.concat()));
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let result = TestRunner::new(config).run(&input, |Input(input)| {
        properties::hold(target, &input);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => panic!("{target}: {why}\nthe shortest input found: {input:?}"),
        Err(error) => panic!("{target}: {error}"),
    }
}

#[test]
fn sum_answers_what_its_model_does_whatever_happens_to_the_peer() {
    hold_for("sum", &[JSON, JSON, HAPPENINGS]);
}

#[test]
fn uppercase_answers_what_its_model_does_whatever_happens_to_the_peer() {
    hold_for("uppercase", &[LINES, LETTERS, HAPPENINGS]);
}

#[test]
fn file_stores_what_its_model_does_whatever_happens_to_the_peer() {
    hold_for("file", &[NAMES, UPLOADS, HAPPENINGS]);
}

#[test]
fn file_sized_stores_what_its_model_does_whatever_happens_to_the_peer() {
    hold_for("file-sized", &[NAMES, UPLOADS, UPLOADS, HAPPENINGS]);
}

#[test]
fn greeting_answers_each_read_once() {
    hold_for("greeting", &[LINES, HAPPENINGS]);
}

#[test]
fn a_request_by_http_ends_where_it_ends_and_nothing_is_smuggled() {
    hold_for("admin", &[HTTP, HTTP, HAPPENINGS]);
}

#[test]
fn time_answers_whatever_the_peer_sends() {
    hold_for("time", &[LINES, HAPPENINGS]);
}

#[test]
fn a_printed_configuration_reads_back_and_problems_name_their_place() {
    hold_for("config", &[CONFIGURATION]);
    hold_for("config", &[ARGUMENTS]);
}

#[test]
fn a_name_is_one_plain_component_or_nothing_is_created() {
    hold_for("names", &[NAMES]);
}

#[test]
fn an_answer_is_never_longer_than_its_datagram_nor_itself_a_request() {
    hold_for("datagrams", &[JSON]);
}

#[test]
fn a_message_ends_where_it_ends_however_the_stream_is_split() {
    hold_for("framing", &[FRAMES]);
}

#[test]
fn a_proxy_header_is_read_alike_however_it_arrives_and_is_written() {
    hold_for("proxy", &[HEADERS]);
}
