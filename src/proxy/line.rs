//! Version 1 of the PROXY protocol: a line of text.

use std::net::{IpAddr, SocketAddr};

use super::{Header, Wrong};
use crate::limits::PROXY_LINE_BYTES_MAX;

/// How the line begins.
pub(super) const BEGIN: &[u8] = b"PROXY ";

/// Reads a line that begins as a header does, as far as it has arrived.
pub(super) fn read(received: &[u8]) -> Result<Option<(Header, usize)>, Wrong> {
    let within = &received[..received.len().min(PROXY_LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\r' || *byte == b'\n') else {
        let is_full = within.len() == PROXY_LINE_BYTES_MAX;
        return if is_full { Err(Wrong("too long")) } else { Ok(None) };
    };
    match within.get(end..end + 2) {
        Some(b"\r\n") => {}
        None if within[end] == b'\r' && within.len() < PROXY_LINE_BYTES_MAX => return Ok(None),
        None if within[end] == b'\r' => return Err(Wrong("too long")),
        _ => return Err(Wrong("end of line")),
    }
    Ok(Some((fields(within.get(BEGIN.len()..end).ok_or(Wrong("fields"))?)?, end + 2)))
}

/// Reads the fields between `PROXY ` and the end of the line.
fn fields(text: &[u8]) -> Result<Header, Wrong> {
    // "The receiver must ignore anything presented before the CRLF is found."
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Ok(Header::Unknown);
    }
    let text = std::str::from_utf8(text).map_err(|_| Wrong("fields"))?;
    let mut fields = text.split(' ');
    let mut next = || fields.next().ok_or(Wrong("fields"));
    let [family, source, destination, source_port, destination_port] = [next()?, next()?, next()?, next()?, next()?];
    if next().is_ok() {
        return Err(Wrong("fields"));
    }
    let is_ipv4 = match family {
        "TCP4" => true,
        "TCP6" => false,
        _ => return Err(Wrong("family")),
    };
    let ip = |text: &str| text.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == is_ipv4).ok_or(Wrong("address"));
    Ok(Header::Client {
        source: SocketAddr::new(ip(source)?, port(source_port)?),
        destination: SocketAddr::new(ip(destination)?, port(destination_port)?),
    })
}

/// Reads a port: digits without a sign, and without a zero in front of others.
fn port(text: &str) -> Result<u16, Wrong> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(Wrong("port"))
}
