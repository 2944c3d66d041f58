//! HTTP/1.1 (RFC 9110, RFC 9112), as much as `admin` needs: GET and HEAD without a body.
//!
//! What two programs can read in two ways is refused, because a proxy in front may read it in the other way: a message with a
//! body, a line that ends without CR, a header that is folded, an empty line before the request. `httparse` reads the rest.

use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX};

/// A status, and its phrase, which is also the name of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16, pub(super) &'static str);

/// Everything is as it should be.
pub(super) const OK: Status = Status(200, "OK");
/// The request is malformed.
pub(super) const BAD_REQUEST: Status = Status(400, "Bad Request");
/// The peer may not have this.
pub(super) const FORBIDDEN: Status = Status(403, "Forbidden");
/// There is nothing under this path.
pub(super) const NOT_FOUND: Status = Status(404, "Not Found");
/// The method is neither GET nor HEAD.
pub(super) const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
/// The rest of the request did not come in time.
pub(super) const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
/// The same is being done for another request.
pub(super) const CONFLICT: Status = Status(409, "Conflict");
/// The request has a body.
pub(super) const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
/// The request line is too long.
pub(super) const URI_TOO_LONG: Status = Status(414, "URI Too Long");
/// The request is for a host that this server does not know.
pub(super) const MISDIRECTED_REQUEST: Status = Status(421, "Misdirected Request");
/// There are too many headers, or they are too long.
pub(super) const FIELDS_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
/// The server cannot answer now.
pub(super) const SERVICE_UNAVAILABLE: Status = Status(503, "Service Unavailable");
/// The version is not HTTP/1.0 or HTTP/1.1.
pub(super) const VERSION_NOT_SUPPORTED: Status = Status(505, "HTTP Version Not Supported");

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The path, as it was sent.
    pub(super) path: String,
    /// What follows the question mark, as it was sent.
    pub(super) query: String,
    /// The values of all `Accept` headers, joined by commas.
    pub(super) accept: String,
    /// How it is answered.
    pub(super) manner: Manner,
    /// The length of its head.
    pub(super) length: usize,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Whether the answer has no body, because the method is HEAD.
    pub(super) is_head: bool,
    /// Whether the connection closes after the answer.
    pub(super) closes: bool,
}

impl Manner {
    /// For a request that cannot be read, so that nothing says where the next one begins.
    pub(super) const LAST: Self = Self { is_head: false, closes: true };
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The status.
    pub(super) status: Status,
    /// What is wrong, in a few words.
    pub(super) why: &'static str,
    /// How it is answered.
    pub(super) manner: Manner,
    /// The length of its head; of no meaning if the connection closes.
    pub(super) length: usize,
}

impl Refused {
    fn last(status: Status, why: &'static str) -> Self {
        Self { status, why, manner: Manner::LAST, length: 0 }
    }

    fn bad(why: &'static str) -> Self {
        Self::last(BAD_REQUEST, why)
    }
}

/// Reads requests. It remembers how far it has read a head that is not complete, so that no byte is read twice.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Bytes of the head that have been read.
    seen: usize,
    /// The place at which the current line begins.
    line: usize,
    /// Complete lines.
    lines: usize,
}

impl Reader {
    /// Reads the request at the front of `input`, which has everything that was not consumed. `None` if its head is not complete.
    ///
    /// # Errors
    /// The first rule that the request breaks, the same however the bytes were split.
    pub(super) fn read(&mut self, input: &[u8], hosts: &Hosts) -> Result<Option<Request>, Refused> {
        let Some(length) = self.find_end(input)? else { return Ok(None) };
        *self = Self::default();
        parse(&input[..length], hosts).map(Some)
    }

    /// Finds the end of the head, and checks what `httparse` leaves open.
    fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, Refused> {
        let window = &input[..input.len().min(HTTP_HEAD_BYTES_MAX)];
        for (at, byte) in window.iter().copied().enumerate().skip(self.seen) {
            let is_after_cr = at > self.line && window[at - 1] == b'\r';
            match byte {
                b'\n' if is_after_cr => {
                    let is_empty = at - self.line == 1;
                    match (self.lines, is_empty) {
                        (0, true) => return Err(Refused::bad("an empty line before the request")),
                        (_, true) => return Ok(Some(at + 1)),
                        (lines, false) if lines > HTTP_HEADERS_MAX => {
                            return Err(Refused::last(FIELDS_TOO_LARGE, "more than 64 headers"));
                        }
                        _ => (self.lines, self.line) = (self.lines + 1, at + 1),
                    }
                }
                b'\n' => return Err(Refused::bad("a line that ends with LF alone")),
                _ if is_after_cr => return Err(Refused::bad("a CR without LF")),
                b' ' | b'\t' if self.lines > 0 && at == self.line => return Err(Refused::bad("a folded header")),
                b'\r' => {}
                b'\t' if self.lines > 0 => {}
                0..=0x1f | 0x7f => return Err(Refused::bad("a control character")),
                _ => {}
            }
        }
        self.seen = window.len();
        match (window.len() < HTTP_HEAD_BYTES_MAX, self.lines) {
            (true, _) => Ok(None),
            (false, 0) => Err(Refused::last(URI_TOO_LONG, "a request line of more than 8 KiB")),
            (false, _) => Err(Refused::last(FIELDS_TOO_LARGE, "a head of more than 8 KiB")),
        }
    }
}

/// Reads a complete head.
fn parse(head: &[u8], hosts: &Hosts) -> Result<Request, Refused> {
    let mut room = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut room);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refused::bad("an incomplete request")),
        Err(httparse::Error::Version) if has_other_version(head) => {
            return Err(Refused::last(VERSION_NOT_SUPPORTED, "expected HTTP/1.1 or HTTP/1.0"));
        }
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
            return Err(Refused::bad("a malformed header"));
        }
        Err(_) => return Err(Refused::bad("a malformed request line")),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refused::bad("a malformed request line"));
    };
    let fields = Fields(parsed.headers);
    no_body(&fields, version)?;
    let host = match (&fields.all("host").collect::<Vec<_>>()[..], version) {
        ([host], _) => Some(*host),
        ([], 0) => None,
        ([], _) => return Err(Refused::bad("no Host")),
        _ => return Err(Refused::bad("more than one Host")),
    };
    let closes = version == 0 || fields.words("connection").any(|word| word.eq_ignore_ascii_case(b"close"));
    let manner = Manner { is_head: method == "HEAD", closes };
    let kept = |status, why| Refused { status, why, manner, length: head.len() };
    if !["GET", "HEAD"].contains(&method) {
        return Err(kept(METHOD_NOT_ALLOWED, "only GET and HEAD"));
    }
    let (authority, path) = split_target(target)?;
    match authority.map(str::as_bytes).or(host).map(|authority| hosts.know(authority)) {
        None | Some(Some(true)) => {}
        Some(Some(false)) => {
            return Err(kept(
                MISDIRECTED_REQUEST,
                "the host is neither an IP address, nor localhost, nor in \"hosts\"",
            ));
        }
        Some(None) => return Err(Refused::bad("a malformed Host")),
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let accept: Vec<_> = fields.all("accept").map(String::from_utf8_lossy).collect();
    Ok(Request { path: path.to_owned(), query: query.to_owned(), accept: accept.join(","), manner, length: head.len() })
}

/// Whether the request line ends with another version of HTTP.
fn has_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Refuses a request that has a body, or may have one for another reader (RFC 9112, 6.1, 6.3 and 11.2).
fn no_body(fields: &Fields<'_, '_>, version: u8) -> Result<(), Refused> {
    let codings: Vec<_> = fields.words("transfer-encoding").collect();
    let is_coded = fields.all("transfer-encoding").next().is_some();
    match (&fields.all("content-length").collect::<Vec<_>>()[..], is_coded) {
        ([], false) => Ok(()),
        ([], true) if version == 0 => Err(Refused::bad("Transfer-Encoding in HTTP/1.0")),
        ([], true) if !codings.last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked")) => {
            Err(Refused::bad("a body whose end is unknown"))
        }
        ([], true) => Err(Refused::last(CONTENT_TOO_LARGE, "a request has no body")),
        (_, true) => Err(Refused::bad("both Content-Length and Transfer-Encoding")),
        // `str::parse` would take a sign as well.
        ([length], false) if length.is_empty() || !length.iter().all(u8::is_ascii_digit) => {
            Err(Refused::bad("a malformed Content-Length"))
        }
        ([length], false) if length.iter().all(|digit| *digit == b'0') => Ok(()),
        ([_], false) => Err(Refused::last(CONTENT_TOO_LARGE, "a request has no body")),
        (_, false) => Err(Refused::bad("more than one Content-Length")),
    }
}

/// Splits a target into its authority, if it has one, and its path with the query (RFC 9112, 3.2).
fn split_target(target: &str) -> Result<(Option<&str>, &str), Refused> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refused::bad("a malformed target"));
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest =
        scheme.and_then(|scheme| target.get(scheme.len()..)).ok_or_else(|| Refused::bad("a malformed target"))?;
    match rest.find(['/', '?']) {
        None => Ok((Some(rest), "/")),
        Some(at) if rest[at..].starts_with('/') => Ok((Some(&rest[..at]), &rest[at..])),
        Some(_) => Err(Refused::bad("a malformed target")),
    }
}

/// The headers of a request.
struct Fields<'h, 'b>(&'h [httparse::Header<'b>]);

impl<'b> Fields<'_, 'b> {
    /// Returns the values of all headers with this name, without white space around them.
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    }

    /// Returns the words of a list that is spread over all headers with this name.
    fn words(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }
}

/// The hosts that this server answers for. A page of a foreign host that its name server leads to this address (DNS rebinding)
/// has that name in its requests.
#[derive(Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Makes a list of IP addresses, `localhost` and these names.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Returns whether an authority (RFC 3986, 3.2) without user information names a host of the list; `None` if it is malformed.
    fn know(&self, authority: &[u8]) -> Option<bool> {
        let authority = str::from_utf8(authority).ok()?;
        let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(rest) = authority.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(true);
        }
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) || !is_port(port) {
            return None;
        }
        let is_known = |name: &str| name.eq_ignore_ascii_case(host);
        let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
        Some(is_address || is_known("localhost") || self.0.iter().any(|name| is_known(name)))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    /// The status.
    pub(super) status: Status,
    /// The media type of the body.
    pub(super) kind: &'static str,
    /// More headers, each with its CRLF.
    pub(super) headers: &'static str,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// The media type of a page.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The media type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    /// Makes an answer with a body of this type.
    pub(super) fn new(status: Status, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, kind, headers: "", body: body.into() }
    }

    /// Makes an error with a line that says what is wrong.
    pub(super) fn error(status: Status, why: &str) -> Self {
        let Status(code, phrase) = status;
        let headers = if status == METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
        Self { headers, ..Self::new(status, TEXT, format!("{code} {phrase}: {why}\n")) }
    }

    /// Returns the bytes of the answer.
    pub(super) fn into_bytes(self, manner: Manner) -> Vec<u8> {
        let Self { status: Status(code, phrase), kind, headers, body } = self;
        let connection = if manner.closes { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {code} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{headers}{connection}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        if !manner.is_head {
            bytes.extend_from_slice(&body);
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
