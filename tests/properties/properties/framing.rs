//! Properties of every way to find the end of a message.
//!
//! The first byte of the input is the limit, the second says how the rest is split.

use reactor::framing::{Delimited, Frame, LengthPrefixed, Lines, TooLong};

/// What a stream holds: its messages, and the error that ends it.
type Messages = (Vec<Vec<u8>>, Option<TooLong>);

type Next<'a> = Result<Option<Frame<'a>>, TooLong>;

/// A stream holds the same messages however it is split: those that a model finds, which looks at all of it every time.
pub(crate) fn framing(input: &[u8]) {
    let [limit, split, stream @ ..] = input else { return };
    let most = usize::from(*limit % 5);
    let mut lines = Lines::at_most(most);
    agree(stream, *split, |input| lines.next(input), |rest| lines_model(rest, most), most);
    for delimiter in [&b"\n"[..], b"\r\n", b"aab", b"aa"] {
        let mut parts = Delimited::by(delimiter, most);
        agree(stream, *split, |input| parts.next(input), |rest| delimited_model(rest, delimiter, most), most);
    }
    for width in [1, 2, 3, 8] {
        let network = LengthPrefixed::with_bytes(width, most);
        agree(stream, *split, |input| network.next(input), |rest| length_model(rest, width, most, false), most);
        let little = network.little_endian();
        agree(stream, *split, |input| little.next(input), |rest| length_model(rest, width, most, true), most);
    }
}

/// What a model says of the front of a stream: where the body begins and ends and how much is consumed; `None` for too long.
type Modelled = Option<(usize, usize, usize)>;

fn agree(
    stream: &[u8],
    split: u8,
    mut next: impl FnMut(&[u8]) -> Next<'_>,
    model: impl Fn(&[u8]) -> Option<Modelled>,
    most: usize,
) {
    let expected = modelled(stream, &model);
    let (messages, error) = received(stream, split, &mut next);
    assert_eq!((&messages, error.is_some()), (&expected.0, expected.1));
    assert!(messages.iter().all(|message| message.len() <= most));
}

/// The messages of a stream that arrives in pieces.
fn received(stream: &[u8], split: u8, next: &mut impl FnMut(&[u8]) -> Next<'_>) -> Messages {
    let mut messages = Vec::new();
    let mut start = 0;
    let mut end = 0;
    let mut chance = u32::from(split);
    while end < stream.len() {
        chance = chance.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        end = stream.len().min(end + 1 + (chance >> 16) as usize % (usize::from(split) + 1));
        loop {
            match next(&stream[start..end]) {
                Ok(Some(frame)) => {
                    messages.push(frame.body.to_vec());
                    assert!(frame.consumed > 0 && frame.consumed <= end - start);
                    start += frame.consumed;
                }
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
            if start == end {
                break;
            }
        }
    }
    (messages, None)
}

/// The messages of a stream that is there as a whole, and whether one is too long.
fn modelled(stream: &[u8], model: &impl Fn(&[u8]) -> Option<Modelled>) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        match model(rest) {
            None => break,
            Some(None) => return (messages, true),
            Some(Some((from, to, consumed))) => {
                messages.push(rest[from..to].to_vec());
                rest = &rest[consumed..];
            }
        }
    }
    (messages, false)
}

fn lines_model(rest: &[u8], most: usize) -> Option<Modelled> {
    let longest = rest.len().min(most + 2);
    for end in 0..longest {
        if rest[end] == b'\n' {
            let body = if end > 0 && rest[end - 1] == b'\r' { end - 1 } else { end };
            return Some((body <= most).then_some((0, body, end + 1)));
        }
    }
    let too_long = longest == most + 2 || (longest == most + 1 && rest[most] != b'\r');
    too_long.then_some(None)
}

fn delimited_model(rest: &[u8], delimiter: &[u8], most: usize) -> Option<Modelled> {
    for end in 0..=most {
        if rest.get(end..).is_some_and(|behind| behind.starts_with(delimiter)) {
            return Some(Some((0, end, end + delimiter.len())));
        }
    }
    (rest.len() >= most + delimiter.len()).then_some(None)
}

fn length_model(rest: &[u8], width: usize, most: usize, little_endian: bool) -> Option<Modelled> {
    let mut prefix = rest.get(..width)?.to_vec();
    if little_endian {
        prefix.reverse();
    }
    let length = prefix.iter().fold(0_u128, |length, byte| length * 256 + u128::from(*byte));
    if length > most as u128 {
        return Some(None);
    }
    let length = length as usize;
    (rest.len() >= width + length).then_some(Some((width, width + length, width + length)))
}
