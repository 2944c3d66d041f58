use super::*;
use crate::protocol::tests::chance::Chance;

fn hosts() -> Hosts {
    Hosts::new(vec!["Server.example".to_owned()])
}

/// Reads one request that comes in pieces of `step` bytes.
fn in_pieces(head: &[u8], step: usize) -> Result<Option<Request>, Refused> {
    let mut reader = Reader::default();
    let ends = (step..head.len()).step_by(step).chain([head.len()]);
    for end in ends {
        match reader.read(&head[..end], &hosts()) {
            Ok(None) => {}
            read => return read,
        }
    }
    Ok(None)
}

/// Reads one request, whose split must not matter.
fn read(head: impl AsRef<[u8]>) -> Result<Option<Request>, Refused> {
    let head = head.as_ref();
    let whole = in_pieces(head, head.len().max(1));
    for step in [1, 2, 3, 7] {
        assert_eq!(in_pieces(head, step), whole, "{:?} in pieces of {step}", head.escape_ascii().to_string());
    }
    whole
}

fn with(headers: &str) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

#[test]
fn a_request_is_read_with_what_answers_need() {
    let request = read("GET /a/b?c=d&e HTTP/1.1\r\nHost: 127.0.0.1:9901\r\naccept: x\r\nACCEPT: y;q=1 \r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!((&request.path[..], &request.query[..], &request.accept[..]), ("/a/b", "c=d&e", "x,y;q=1"));
    assert_eq!(request.manner, Manner { is_head: false, closes: false });
    let head = read("HEAD / HTTP/1.1\r\nHost: [::1]\r\nConnection: keep-alive , CLOSE\r\n\r\n").unwrap().unwrap();
    assert_eq!(head.manner, Manner { is_head: true, closes: true });
    let old = read("GET /readyz HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert!(old.manner.closes, "HAProxy's check has no Host");
}

#[test]
fn the_next_request_begins_where_the_head_ends() {
    let two = [with(""), with("A: b\r\n")].concat();
    let mut reader = Reader::default();
    let first = reader.read(two.as_bytes(), &hosts()).unwrap().unwrap();
    assert_eq!(first.length, with("").len());
    let second = reader.read(&two.as_bytes()[first.length..], &hosts()).unwrap().unwrap();
    assert_eq!(first.length + second.length, two.len());
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let bad = |head: &str| match read(head) {
        Err(Refused { status: BAD_REQUEST, manner: Manner::LAST, why, .. }) => why,
        other => panic!("{head:?}: {other:?}"),
    };
    for (head, why) in [
        ("\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an empty line before the request"),
        ("\nGET / HTTP/1.1\r\n", "a line that ends with LF alone"),
        ("GET / HTTP/1.1\nHost: localhost\n\n", "a line that ends with LF alone"),
        ("GET / HTTP/1.1\r\nHost: localhost\n\r\n", "a line that ends with LF alone"),
        ("GET / HTTP/1.1\rHost: localhost\r\n\r\n", "a CR without LF"),
        ("GET / HTTP/1.1\r\r\nHost: localhost\r\n\r\n", "a CR without LF"),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\nHost: localhost\r\n\r\n", "a folded header"),
        ("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", "a folded header"),
        ("GET /\0 HTTP/1.1\r\n", "a control character"),
        ("GET\t/ HTTP/1.1\r\n", "a control character"),
        ("\x16\x03\x01", "a control character"),
        ("GET / HTTP/1.1\r\nA: b\x7f\r\n", "a control character"),
        ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", "a malformed header"),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", "a malformed header"),
        ("GET / HTTP/1.1\r\n: x\r\n\r\n", "a malformed header"),
        ("GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", "a malformed request line"),
        ("GET /\r\nHost: localhost\r\n\r\n", "a malformed request line"),
        ("GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n", "a malformed request line"),
        ("GET / http/1.1\r\nHost: localhost\r\n\r\n", "a malformed request line"),
        ("G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n", "a malformed request line"),
        ("GET metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "a malformed target"),
        ("GET /#a HTTP/1.1\r\nHost: localhost\r\n\r\n", "a malformed target"),
        ("GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "a malformed target"),
        ("GET / HTTP/1.1\r\n\r\n", "no Host"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n", "more than one Host"),
        ("GET / HTTP/1.0\r\nHost: localhost\r\nhost: localhost\r\n\r\n", "more than one Host"),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", "a malformed Host"),
        ("GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n", "a malformed Host"),
        ("GET / HTTP/1.1\r\nHost: localhost:+80\r\n\r\n", "a malformed Host"),
        ("GET / HTTP/1.1\r\nHost: localhost:123456\r\n\r\n", "a malformed Host"),
        ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "a malformed Host"),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "a malformed Host"),
    ] {
        assert_eq!(bad(head), why, "{head:?}");
    }
    for (headers, why) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "both Content-Length and Transfer-Encoding"),
        ("Transfer-Encoding: identity\r\nContent-Length: 0\r\n", "both Content-Length and Transfer-Encoding"),
        ("Transfer-Encoding: gzip\r\n", "a body whose end is unknown"),
        ("Transfer-Encoding: chunked, gzip\r\n", "a body whose end is unknown"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "a body whose end is unknown"),
        ("Transfer-Encoding:\r\n", "a body whose end is unknown"),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", "more than one Content-Length"),
        ("Content-Length: +5\r\n", "a malformed Content-Length"),
        ("Content-Length: -0\r\n", "a malformed Content-Length"),
        ("Content-Length: 0, 0\r\n", "a malformed Content-Length"),
        ("Content-Length: 0x0\r\n", "a malformed Content-Length"),
        ("Content-Length:\r\n", "a malformed Content-Length"),
    ] {
        assert_eq!(bad(&with(headers)), why, "{headers:?}");
    }
}

#[test]
fn a_request_with_a_body_is_refused_and_the_connection_closes() {
    for headers in
        ["Content-Length: 1\r\n", "Content-Length: 99999999999999999999999\r\n", "Transfer-Encoding: chunked\r\n"]
    {
        let refused = read(with(headers)).unwrap_err();
        assert_eq!((refused.status, refused.manner), (CONTENT_TOO_LARGE, Manner::LAST), "{headers}");
    }
    assert!(read(with("Content-Length: 000\r\n")).is_ok(), "it has no body");
}

#[test]
fn other_methods_and_versions_have_their_own_errors() {
    for method in ["POST", "PUT", "OPTIONS", "get", "TRACE", "X"] {
        let refused = read(format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")).unwrap_err();
        assert_eq!((refused.status, refused.manner.closes), (METHOD_NOT_ALLOWED, false), "{method}");
    }
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        let refused = read(format!("GET / {version}\r\nHost: localhost\r\n\r\n")).unwrap_err();
        assert_eq!((refused.status, refused.manner), (VERSION_NOT_SUPPORTED, Manner::LAST), "{version}");
    }
}

#[test]
fn a_host_is_an_address_or_localhost_or_configured() {
    let status = |host: &str| {
        let read = read(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        read.map_or_else(|refused| refused.status, |_| OK)
    };
    for host in
        ["127.0.0.1", "192.0.2.1:9901", "[::1]", "[2001:db8::1]:80", "localhost", "LOCALHOST:1", "server.EXAMPLE:9901"]
    {
        assert_eq!(status(host), OK, "{host}");
    }
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "0x7f000001", "localhost."]
    {
        assert_eq!(status(host), MISDIRECTED_REQUEST, "{host}");
    }
    let absolute = |target: &str| {
        let read = read(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        read.map(|request| request.unwrap().path).map_err(|refused| refused.status)
    };
    assert_eq!(absolute("HTTP://127.0.0.1:1/metrics?a"), Ok("/metrics".to_owned()));
    assert_eq!(absolute("http://localhost"), Ok("/".to_owned()));
    assert_eq!(absolute("http://evil.example/metrics"), Err(MISDIRECTED_REQUEST), "the target counts, not the header");
}

#[test]
fn a_head_has_8_kib_and_64_headers_at_most() {
    let headers = |count: usize| with(&"A: b\r\n".repeat(count - 1));
    assert!(read(headers(64)).is_ok());
    assert_eq!(read(headers(65)).unwrap_err().status, FIELDS_TOO_LARGE);
    let long = |length: usize| with(&format!("A: {}\r\n", "b".repeat(length - with("A: \r\n").len())));
    assert!(read(long(8192)).is_ok_and(|request| request.is_some_and(|request| request.length == 8192)));
    assert_eq!(read(long(8193)).unwrap_err().status, FIELDS_TOO_LARGE);
    let target = |length: usize| format!("GET /{}", "a".repeat(length - "GET /".len()));
    assert_eq!(read(target(8191)), Ok(None));
    assert_eq!(read(target(8192)).unwrap_err().status, URI_TOO_LONG);
}

#[test]
fn an_answer_to_head_has_the_length_and_not_the_body() {
    let answer = |is_head, closes| {
        let bytes = Response::new(OK, TEXT, "hello\n").into_bytes(Manner { is_head, closes });
        String::from_utf8(bytes).unwrap()
    };
    let (get, head) = (answer(false, false), answer(true, false));
    assert_eq!(get, head.clone() + "hello\n");
    assert!(head.contains("\r\nContent-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(!head.contains("Connection") && answer(true, true).contains("\r\nConnection: close\r\n"));
    let refused = Response::error(METHOD_NOT_ALLOWED, "why").into_bytes(Manner::LAST);
    let refused = String::from_utf8(refused).unwrap();
    assert!(
        refused.contains("\r\nAllow: GET, HEAD\r\n") && refused.ends_with("405 Method Not Allowed: why\n"),
        "{refused}"
    );
}

/// Pieces from which a request may be made, most of them as they should be.
const PIECES: [&str; 36] = [
    "GET ",
    "GET ",
    "HEAD ",
    "POST ",
    "/metrics",
    "/",
    "/?a",
    "http://localhost",
    " HTTP/1.1\r\n",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "Host: localhost\r\n",
    "Host: localhost\r\n",
    "Host: evil.example\r\n",
    "hOST: [::1]:80\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    "\u{e9}",
    "Content-Length: 0\r\n",
    "Content-Length: 7\r\n",
    "content-length:+0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Accept: text/plain\r\n",
    "Connection: close\r\n",
    "A: b\r\n",
    "A : b\r\n",
    ": b\r\n",
    "A\r\n",
    "%00",
];

#[test]
fn whatever_comes_an_accepted_request_can_be_read_in_one_way_only() {
    let (mut chance, mut accepted) = (Chance::new(7), 0);
    for _ in 0..60_000 {
        let mut text = String::new();
        if chance.below(4) > 0 {
            let target = *chance.one_of(&[&"/", &"/metrics?x", &"http://127.0.0.1:1/a", &"x"]);
            text += &format!(
                "{} {target} {}\r\n",
                chance.one_of(&["GET", "HEAD", "get"]),
                chance.one_of(&["HTTP/1.1", "HTTP/1.0"])
            );
        }
        for _ in 0..chance.below(8) {
            text += chance.one_of(&PIECES);
        }
        text += chance.one_of(&["\r\n", "\r\n\r\n", ""]);
        let Ok(Some(request)) = read(&text) else { continue };
        accepted += 1;
        let head = &text[..request.length];
        let lines: Vec<_> = head.split("\r\n").collect();
        assert!(lines.len() >= 3 && lines.ends_with(&["", ""]) && !lines[0].is_empty(), "{head:?}");
        assert!(
            lines[..lines.len() - 2].iter().all(|line| !line.is_empty() && !line.contains(['\r', '\n', '\0'])),
            "{head:?}"
        );
        let names = lines[1..].iter().filter_map(|line| line.split_once(':'));
        let names: Vec<_> = names.map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
        assert!(names.iter().all(|(name, _)| !name.is_empty() && !name.contains([' ', '\t'])), "{head:?}");
        let of =
            |wanted: &str| names.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect::<Vec<_>>();
        assert!(
            of("transfer-encoding").is_empty() && ["", "0"].contains(&of("content-length").concat().as_str()),
            "{head:?}"
        );
        assert!(of("host").len() == 1 || of("host").is_empty() && lines[0].ends_with("HTTP/1.0"), "{head:?}");
        assert!(lines[0].starts_with("GET ") || lines[0].starts_with("HEAD "), "{head:?}");
        assert!(request.path.starts_with('/') && request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{head:?}");
    }
    assert!(accepted > 1_000, "{accepted} of them say something");
}
