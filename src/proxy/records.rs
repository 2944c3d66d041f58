//! The records behind the addresses of version 2: a type, a length and a value each (TLV).

use super::{Wrong, crc32c};

/// The checksum of the header (`PP2_TYPE_CRC32C`).
const CHECKSUM: u8 = 0x03;
/// The identity of the connection (`PP2_TYPE_UNIQUE_ID`).
const UNIQUE_ID: u8 = 0x05;
/// What the proxy knows of the client's TLS (`PP2_TYPE_SSL`): five bytes, then records of its own.
const TLS: u8 = 0x20;

/// The bytes of a type and a length.
const PREFIX_BYTES: usize = 3;
/// The longest identity of a connection, in bytes.
const UNIQUE_ID_BYTES_MAX: usize = 128;
/// The bytes of flags and the result of the verification, before the records about TLS.
const TLS_FIXED_BYTES: usize = 5;

/// Checks that `rest`, the end of the header `whole`, consists of records, and verifies the checksum if there is one.
pub(super) fn check(whole: &[u8], rest: &[u8]) -> Result<(), Wrong> {
    let mut checksum = None;
    let mut at = whole.len() - rest.len();
    each(rest, |kind, value| {
        let begin = at + PREFIX_BYTES;
        at = begin + value.len();
        match kind {
            CHECKSUM if value.len() != 4 || checksum.is_some() => Err(Wrong("checksum")),
            CHECKSUM => {
                checksum = Some((begin, value));
                Ok(())
            }
            UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => Err(Wrong("records")),
            TLS => each(value.get(TLS_FIXED_BYTES..).ok_or(Wrong("records"))?, |_, _| Ok(())),
            _ => Ok(()),
        }
    })?;
    // The sender computes it with four zero bytes in its place.
    checksum.map_or(Ok(()), |(begin, value)| {
        let (before, behind) = (&whole[..begin], &whole[begin + value.len()..]);
        let computed = crc32c::of([before, &[0; 4], behind]);
        if computed.to_be_bytes() == value { Ok(()) } else { Err(Wrong("checksum")) }
    })
}

/// Calls `call` with the type and the value of each record in `bytes`.
fn each<'a>(mut bytes: &'a [u8], mut call: impl FnMut(u8, &'a [u8]) -> Result<(), Wrong>) -> Result<(), Wrong> {
    while !bytes.is_empty() {
        let (prefix, values) = bytes.split_at_checked(PREFIX_BYTES).ok_or(Wrong("records"))?;
        let length = usize::from(u16::from_be_bytes([prefix[1], prefix[2]]));
        let (value, behind) = values.split_at_checked(length).ok_or(Wrong("records"))?;
        call(prefix[0], value)?;
        bytes = behind;
    }
    Ok(())
}
