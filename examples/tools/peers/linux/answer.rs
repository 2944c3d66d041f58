//! Requests to replies, in place. Each function replaces the bytes of a read by the
//! replies, and returns their length. Nothing is checked: each read is assumed to hold whole, valid requests.

pub(crate) fn uppercase(bytes: &mut [u8]) -> usize {
    bytes.make_ascii_uppercase();
    bytes.len()
}

/// A reply always fits where its request was: `{"A":` and `"B":` alone are as long as what surrounds the sum, and the
/// sum has at most one digit more than the longer number.
pub(crate) fn sums(bytes: &mut [u8]) -> usize {
    let mut read = 0;
    let mut written = 0;
    let mut digits = itoa::Buffer::new();
    while let Some(a) = number(bytes, &mut read) {
        let b = number(bytes, &mut read).unwrap_or(0);
        let rest = &bytes[read..];
        read += memchr::memchr(b'}', rest).map_or(rest.len(), |end| end + 1);
        for part in [b"{\"Sum\":", digits.format(a.wrapping_add(b)).as_bytes(), b"}\n"] {
            bytes[written..written + part.len()].copy_from_slice(part);
            written += part.len();
        }
    }
    written
}

/// Returns the next number, wherever it is.
fn number(bytes: &[u8], read: &mut usize) -> Option<i64> {
    let rest = &bytes[*read..];
    let start = rest.iter().position(|byte| matches!(byte, b'-' | b'0'..=b'9'))?;
    let negative = rest[start] == b'-';
    let first = start + usize::from(negative);
    let digits = rest[first..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut count = 0;
    let mut value: i64 = 0;
    for digit in digits {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        count += 1;
    }
    *read += first + count;
    Some(if negative { value.wrapping_neg() } else { value })
}
