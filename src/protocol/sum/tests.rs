mod answers;
pub(super) mod model;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::limits::Limits;
use crate::protocol::CloseReason;
use crate::protocol::tests::chance::Chance;
use crate::testing::{Script, ask, converse, every_fault, same_for_every_split};

const SECOND: Duration = Duration::from_secs(1);

fn connect() -> Connection {
    Connection::new(4096)
}

/// Returns what a client gets for `stream` and FIN, however the stream is split, and how the connection ends.
fn serve(stream: &[u8], request_bytes_max: usize) -> (String, &'static str) {
    let transcript = same_for_every_split(|| Connection::new(request_bytes_max), stream);
    (String::from_utf8(transcript.sent).unwrap(), transcript.reason.name())
}

fn serve_datagram(payload: &[u8]) -> Result<String, Dropped> {
    let reply = ask(&mut Sum { request_bytes_max: 4096 }, payload, SocketAddr::from(([192, 0, 2, 1], 4)))?;
    Ok(String::from_utf8(reply).unwrap())
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
fn a_value_that_is_not_a_request_is_refused_and_the_connection_stays() {
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
fn invalid_json_closes_the_connection_at_the_first_wrong_byte() {
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
    let member = |levels: usize| format!(r#"{{"A":1,"B":2,"c":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(serve(member(128).as_bytes(), 4096), (sums(&[3]), "eof"));
    let refused = ("{\"Error\":\"nested deeper than 128 levels at byte 145\"}\n".to_owned(), "too deep");
    assert_eq!(serve(member(129).as_bytes(), 4096), refused);
    assert_eq!(serve("[".repeat(200).as_bytes(), 4096).1, "too deep");
}

#[test]
fn splitting_the_input_never_changes_the_transcript() {
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
    for seed in 0..2_000 {
        let mut chance = Chance::new(seed);
        let stream: String = (0..chance.below(8)).map(|_| chance.one_of(&parts)).collect();
        let request_bytes_max = 2 + chance.below(30);
        let play = |script| {
            let transcript = converse(Connection::new(request_bytes_max), &script);
            (String::from_utf8(transcript.sent).unwrap(), transcript.reason)
        };
        let whole = play(Script::new().send_fin(&stream));
        for size in [1, 2, 1 + chance.below(9)] {
            let chunks: Vec<_> = stream.as_bytes().chunks(size).collect();
            assert_eq!(play(Script::new().send_all(&chunks).fin()), whole, "seed {seed}: {stream}");
        }
    }
}

#[test]
fn no_fault_at_any_call_changes_an_answer() {
    for window in [1, 3, usize::MAX] {
        let answered = Script::new().send("[]{\"A\":7,").send("\"B\":4} 4").send_fin("2");
        let refused = Script::new().send("{\"A\":7,\"B\":4}{\"A\":oo").send("ps}{}").fin();
        every_fault(connect, &answered.window(window));
        every_fault(connect, &refused.window(window));
    }
}

#[test]
fn fin_at_any_place_answers_what_is_whole_and_refuses_what_is_not() {
    let stream = r#"{"A":7,"B":4} {"A":1,"B":2}"#;
    for end in 0..=stream.len() {
        let (answered, cut) = match end {
            0 => (&[][..], 0),
            1..13 => (&[][..], end),
            13 | 14 => (&[11][..], 0),
            15..27 => (&[11][..], end - 14),
            _ => (&[11, 3][..], 0),
        };
        let expected = match cut {
            0 => (sums(answered), "eof"),
            _ => (format!("{}{{\"Error\":\"cut short after byte {cut}\"}}\n", sums(answered)), "cut short"),
        };
        assert_eq!(serve(&stream.as_bytes()[..end], 4096), expected, "FIN after {end} bytes");
    }
}

#[test]
fn an_old_client_gets_each_answer_before_it_asks_again() {
    let script = Script::new().send(r#"{"A":7,"B":4}"#).pause(SECOND).send(r#"{"A":1,"B":2}"#).fin();
    assert_eq!(converse(connect(), &script).replies, [&b""[..], b"{\"Sum\":11}\n", b"", b"{\"Sum\":3}\n", b""]);
}

#[test]
fn a_peer_that_never_reads_costs_the_limit_and_one_answer_and_is_reset() {
    for answer in [r#"{"A":7,"B":4}"#, "[]"] {
        let limits = Limits { max_pending_output: 1000, ..Limits::default() };
        let flood = Script::new().limits(limits).never_reads(10).send(answer.repeat(4000)).send(answer);
        let transcript = converse(connect(), &flood);
        assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
        assert!(transcript.reset);
        let pending = transcript.pending_bytes_max;
        assert!((1000..1000 + 64).contains(&pending), "{pending} bytes");
    }
}

/// Returns what ends a connection to which nothing more is sent, and when, without the wait for its FIN.
#[test]
fn only_a_request_that_has_begun_is_within_a_request() {
    for (stream, in_request) in [
        ("", false),
        (" ", false),
        (" {", true),
        (r#"{"A":7,"B":4}"#, false),
        (r#"{"A":7,"B":4}4"#, true),
        (r#"{"A":7,"B":4}[] "#, false),
    ] {
        let limits = Limits { idle_timeout: 40 * SECOND, ..Limits::default() };
        let script = Script::new().limits(limits).send(stream);
        let [silent, stopped] = [script.clone(), script.stop()].map(|script| converse(connect(), &script));
        let ends = [(silent.reason, silent.elapsed), (stopped.reason, stopped.elapsed)];
        let expected = if in_request {
            [(CloseReason::RequestTimeout, 30 * SECOND); 2]
        } else {
            [(CloseReason::Idle, 40 * SECOND), (CloseReason::Shutdown, Duration::ZERO)]
        };
        assert_eq!(ends, expected, "{stream}");
        assert_eq!(silent.sent, stopped.sent, "no error line: {stream}");
        assert!(!silent.reset && !stopped.reset);
    }
}

#[test]
fn a_request_has_its_time_from_its_first_byte_however_it_drips() {
    let drip = |text: &str| text.bytes().fold(Script::new(), |script, byte| script.send([byte]).pause(3 * SECOND));
    let transcript = converse(connect(), &drip(r#"  {"A":7,"B":4}"#));
    assert_eq!((&transcript.sent[..], transcript.reason), (&b""[..], CloseReason::RequestTimeout));
    assert_eq!(transcript.elapsed, (2 * 3 + 30 + 2) * SECOND, "white space, request_timeout, linger_timeout");
    let transcript = converse(connect(), &drip("42 42 42 42 42 42 42 42 42 42 42").fin());
    assert_eq!(transcript.reason, CloseReason::Eof, "each request has its own time");
}

#[test]
fn a_shutdown_waits_for_the_end_of_a_request_and_takes_no_other() {
    let begun = Script::new().send(r#"{"A":7,"#).stop();
    let finished = begun.clone().send(r#""B":4}"#).send(r#"{"A":1,"B":2}"#);
    let arrived_with_it = begun.clone().send(r#""B":4}{"A":1"#).send(r#","B":2}"#);
    for (script, answers, reset) in
        [(begun.cut(), &[][..], true), (finished, &[11], false), (arrived_with_it, &[11, 3], false)]
    {
        let transcript = converse(connect(), &script);
        assert_eq!((transcript.sent, transcript.reason), (sums(answers).into_bytes(), CloseReason::Shutdown));
        assert_eq!(transcript.reset, reset);
    }
}

#[test]
fn what_is_refused_while_the_connection_goes_on_is_counted() {
    let stream = br#"[]{}{"A":9223372036854775807,"B":1}{"A":1,"B":1}"#;
    let transcript = same_for_every_split(connect, stream);
    assert_eq!(transcript.stats.refused.to_string(), "3 (no request 2, overflow 1)");
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
            assert!(reply.len() <= request.len(), "{request}: {reply}");
            assert_eq!(serve_datagram(reply.as_bytes()), Err(Dropped("no request")), "{request}: {reply}");
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
