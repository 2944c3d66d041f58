//! The reader of headers: against an independent codec, and what only an example shows.

use std::net::IpAddr;

use super::*;
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// What `headers.py` has found out from the codec `proxy-protocol` of PyPI.
const TABLE: &str = include_str!("tests/headers.txt");

/// A line of the table.
struct Sample {
    header: Vec<u8>,
    said: String,
    /// What is said of its beginnings.
    beginnings: u32,
    /// What is said of its changes at each position.
    changes: Vec<u32>,
}

fn samples() -> Vec<Sample> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let mut parts = line.split(' ');
        let hex = parts.next().expect("a header");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let header = (0..hex.len()).step_by(2).map(byte).collect();
        let said = parts.next().expect("what is said").replace(',', " ");
        let mut sums = parts.map(|sum| u32::from_str_radix(sum, 16).expect("a checksum"));
        Sample { header, said, beginnings: sums.next().expect("of its beginnings"), changes: sums.collect() }
    };
    lines.map(sample).collect()
}

/// Returns what is said of received bytes, as the table has it.
fn said(received: &[u8]) -> String {
    match read(received) {
        Ok(None) => "more".to_owned(),
        Ok(Some((Header::Local, bytes))) => format!("local {bytes}"),
        Ok(Some((Header::Unknown, bytes))) => format!("unknown {bytes}"),
        Ok(Some((Header::Client { source, destination }, bytes))) => {
            let [source, destination] = [source, destination].map(|address| {
                let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
                let ip = match address.ip() {
                    IpAddr::V4(v4) => hex(&v4.octets()),
                    IpAddr::V6(v6) => hex(&v6.octets()),
                };
                format!("{ip}:{}", address.port())
            });
            format!("{source} {destination} {bytes}")
        }
        Err(_) => "no".to_owned(),
    }
}

/// FNV-1a, 32 bits.
fn checksum(said: impl Iterator<Item = String>) -> u32 {
    let joined = said.collect::<Vec<_>>().join("\n");
    joined.bytes().fold(0x811c_9dc5, |sum: u32, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn headers_and_their_beginnings_read_as_the_independent_codec_reads_them() {
    let samples = samples();
    assert_eq!(samples.len(), 40);
    for Sample { header, said: expected, beginnings, .. } in samples {
        assert_eq!(said(&[&header, &b"rest"[..]].concat()), expected, "{}", header.escape_ascii());
        let beginnings_said = checksum((1..header.len()).map(|end| said(&header[..end])));
        assert_eq!(beginnings_said, beginnings, "{}", header.escape_ascii());
    }
}

#[test]
fn every_change_of_one_byte_reads_as_the_independent_codec_reads_it() {
    for Sample { header, changes, .. } in samples() {
        assert_eq!(changes.len(), header.len());
        for (at, expected) in changes.into_iter().enumerate() {
            let mut changed = [&header, &b"rest"[..]].concat();
            let others = (0..=255).filter(|value| *value != header[at]);
            let found = checksum(others.map(|value| {
                changed[at] = value;
                said(&changed)
            }));
            assert_eq!(found, expected, "byte {at} of {}", header.escape_ascii());
        }
    }
}

#[test]
fn a_header_is_refused_at_the_first_byte_that_is_not_of_one() {
    for text in [&b"G"[..], b"\n", b"PROXX", b"PROXY\t", b"\r\n\r\n\x00\r\nQUIX", b"\x16", b"{"] {
        for end in 1..text.len() {
            assert_eq!(read(&text[..end]), Ok(None), "{}", text[..end].escape_ascii());
        }
        assert_eq!(read(text), Err(Wrong("no header")), "{}", text.escape_ascii());
    }
}

#[test]
fn spellings_that_other_readers_may_take_are_refused() {
    for (line, wrong) in [
        ("PROXY TCP4 192.0.2.7 203.0.113.1 +80 80\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 080 80\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 65536 80\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 80\r\n", "fields"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 80 80 80\r\n", "fields"),
        ("PROXY TCP4  192.0.2.7 203.0.113.1 80 80\r\n", "fields"),
        ("PROXY TCP4 192.0.2.07 203.0.113.1 80 80\r\n", "address"),
        ("PROXY TCP4 ::1 203.0.113.1 80 80\r\n", "address"),
        ("PROXY TCP6 192.0.2.7 203.0.113.1 80 80\r\n", "address"),
        ("PROXY TCP6 fe80::1%1 ::1 80 80\r\n", "address"),
        ("PROXY TCP5 192.0.2.7 203.0.113.1 80 80\r\n", "family"),
        ("PROXY UNKNOWNX\r\n", "fields"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 80 80\n", "end of line"),
        ("PROXY TCP4 192.0.2.7 203.0.113.1 80 80\rX", "end of line"),
    ] {
        assert_eq!(read(line.as_bytes()), Err(Wrong(wrong)), "{line}");
    }
}

#[test]
fn a_header_that_is_too_long_is_refused_as_soon_as_that_is_certain() {
    let line = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - 16)).into_bytes();
    assert_eq!(read(&line(PROXY_LINE_BYTES_MAX)), Ok(Some((Header::Unknown, PROXY_LINE_BYTES_MAX))));
    assert_eq!(read(&line(PROXY_LINE_BYTES_MAX + 1)), Err(Wrong("too long")));
    assert_eq!(read(&line(1000)[..PROXY_LINE_BYTES_MAX - 1]), Ok(None));
    assert_eq!(read(&line(1000)[..PROXY_LINE_BYTES_MAX]), Err(Wrong("too long")));
    let long = |bytes: usize| [&SIGNATURE[..], &[0x20, 0], &((bytes - 16) as u16).to_be_bytes()].concat();
    assert_eq!(read(&long(PROXY_HEADER_BYTES_MAX)), Ok(None));
    assert_eq!(read(&long(PROXY_HEADER_BYTES_MAX + 1)), Err(Wrong("too long")));
}

#[test]
fn a_written_header_reads_as_the_same() {
    let [v4, v6] = ["192.0.2.7:0", "[2001:db8::1]:65535"].map(|text| text.parse().expect("an address"));
    for header in [Header::of(v4, v4), Header::of(v6, v6), Header::of(v4, v6), Header::Unknown] {
        for bytes in [header.version_1(), header.version_2()] {
            assert_eq!(read(&bytes), Ok(Some((header, bytes.len()))), "{}", bytes.escape_ascii());
        }
    }
    let local = Header::Local.version_2();
    assert_eq!((read(&local), local.len()), (Ok(Some((Header::Local, 16))), 16));
}

#[test]
fn addresses_of_two_families_are_written_as_two_of_ipv6() {
    let [v4, v6] = ["192.0.2.7:1", "[2001:db8::1]:2"].map(|text| text.parse().expect("an address"));
    for (source, destination) in [(v4, v6), (v6, v4)] {
        let mixed = Header::Client { source, destination };
        for bytes in [mixed.version_1(), mixed.version_2()] {
            let read = read(&bytes);
            assert_eq!(read, Ok(Some((Header::of(source, destination), bytes.len()))), "{}", bytes.escape_ascii());
        }
    }
}
