//! Upper case for bytes that are mostly UTF-8: ASCII in blocks, other letters from a table.
//!
//! No text may cost much more than ASCII, even if a peer chooses the text for its cost. So no branch depends on the order in
//! which letters of all lengths, and bytes that are not UTF-8, follow each other: the processor would mispredict it. Two facts
//! make this possible. UTF-8 is self-synchronising (RFC 3629, section 1): the bytes of a character mean that character at any
//! place, so nothing around them needs decoding. And bytes without an upper case stay as they are, so nothing must be valid.

use super::table::{Table, UPPER_BYTES, Upper, may_begin_letter};
use crate::outbox::Outbox;

/// Bytes that are tested together, for ASCII or for the start of a letter: one for each bit of a mask.
const CHUNK: usize = 64;

/// Bytes of text other than ASCII that are mapped together.
const BLOCK: usize = 8 * CHUNK;

/// Bytes before a letter that one copy of fixed length takes, however few are needed.
const GAP: usize = 16;

/// The most bytes of a character after its first.
const TAILS_MAX: usize = 3;

/// The most bytes that are written for a letter and the gap before it.
const ROOM: usize = GAP + 8;

/// The most bytes that a block becomes, since a letter has at least two, and the bytes that may be written in excess.
const ANSWER: usize = BLOCK / 2 * UPPER_BYTES + ROOM;

/// A block, followed by zeros, so that it can be read in pieces of a fixed length.
type Block = [u8; BLOCK + GAP];

/// Appends `bytes` in upper case; what is not UTF-8 stays as it is.
pub(super) fn append_uppercase(bytes: &[u8], out: &mut Outbox) {
    let mut rest = bytes;
    loop {
        let (ascii, other) = rest.split_at(ascii_prefix(rest));
        out.extend_from_slice(ascii).make_ascii_uppercase();
        if other.is_empty() {
            return;
        }
        let (block, after) = other.split_at(block_len(other));
        append_block(block, out);
        rest = after;
    }
}

/// Returns the length of the ASCII at the front of `bytes`, in whole chunks unless all bytes are ASCII.
fn ascii_prefix(bytes: &[u8]) -> usize {
    let chunks = bytes.chunks(CHUNK).take_while(|chunk| chunk.is_ascii()).map(<[u8]>::len);
    chunks.sum()
}

/// Returns the length of the block at the front of `bytes`. A block does not end within a character.
fn block_len(bytes: &[u8]) -> usize {
    const LAST: usize = BLOCK - TAILS_MAX;
    if bytes.len() <= BLOCK {
        return bytes.len();
    }
    // A character that goes on after the block has its first byte in these; the character before it ends there.
    bytes[LAST..BLOCK].iter().rposition(|byte| *byte >= 0xc0).map_or(BLOCK, |first| LAST + first)
}

/// Appends `bytes`, at most a block, in upper case.
fn append_block(bytes: &[u8], out: &mut Outbox) {
    let table = Table::get();
    let mut text: Block = [0; BLOCK + GAP];
    text[..bytes.len()].copy_from_slice(bytes);
    text.make_ascii_uppercase();

    let mut answer = Answer::to(&text);
    for start in (0..bytes.len()).step_by(CHUNK) {
        let chunk = piece(&text, start);
        let letters = letter_starts(chunk);
        if chunk.iter().all(|byte| *byte < 0xe0) {
            answer.replace(start, letters, |text| (2, table.upper_of_two(text)));
        } else {
            answer.replace(start, letters, |text| table.upper(text));
        }
    }
    out.extend_from_slice(&answer.bytes[..answer.len]);
    out.extend_from_slice(&text[answer.done..bytes.len()]);
}

/// The answer to a block, while it is put together.
struct Answer<'a> {
    text: &'a Block,
    /// Bytes of the text that are answered.
    done: usize,
    bytes: [u8; ANSWER],
    len: usize,
}

impl<'a> Answer<'a> {
    /// Creates an empty answer to `text`.
    const fn to(text: &'a Block) -> Self {
        Self { text, done: 0, bytes: [0; ANSWER], len: 0 }
    }

    /// Answers the text up to the last letter of the chunk at `start`. Each bit of `letters` is the start of a letter, and `upper`
    /// returns its length and its upper case.
    fn replace(&mut self, start: usize, mut letters: u64, upper: impl Fn([u8; 4]) -> (usize, Upper)) {
        // As fields beside the array these two would be stored and loaded again for each letter.
        let (mut done, mut len) = (self.done, self.len);
        while letters != 0 {
            let letter = start + letters.trailing_zeros() as usize;
            letters &= letters - 1;
            let mut before = letter - done;
            if before > GAP {
                self.bytes[len..len + before].copy_from_slice(&self.text[done..letter]);
                (done, len, before) = (letter, len + before, 0);
            }
            let (letter_len, upper) = upper(piece(self.text, letter));
            // Copies of fixed length are single instructions. The excess is overwritten by the next letter.
            let room = &mut self.bytes[len..len + ROOM];
            room[..GAP].copy_from_slice(&piece::<GAP>(self.text, done));
            room[before..before + 8].copy_from_slice(&upper.bytes());
            len += before + upper.len();
            done = letter + letter_len;
        }
        (self.done, self.len) = (done, len);
    }
}

/// Returns `N` bytes of `text`.
fn piece<const N: usize>(text: &Block, start: usize) -> [u8; N] {
    let mut piece = [0; N];
    piece.copy_from_slice(&text[start..start + N]);
    piece
}

/// Returns one bit for each of the first [`CHUNK`] bytes, the first in the lowest bit: whether the byte may begin a letter and is
/// followed by as many tail bytes as a character of its kind has.
fn letter_starts(text: [u8; CHUNK + TAILS_MAX]) -> u64 {
    let mut starts = [0; CHUNK];
    for (start, bytes) in starts.iter_mut().zip(text.windows(1 + TAILS_MAX)) {
        let has_tails =
            is_tail(bytes[1]) & ((bytes[0] < 0xe0) | is_tail(bytes[2])) & ((bytes[0] < 0xf0) | is_tail(bytes[3]));
        *start = u8::from(may_begin_letter(bytes[0]) & has_tails);
    }
    // The highest byte of the product collects the lowest bits of the eight bytes.
    let eight_bits = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    starts.as_chunks().0.iter().rev().fold(0, |mask, bytes| mask << 8 | eight_bits(bytes))
}

/// Whether `byte` is a byte of a character after its first (RFC 3629, section 3).
const fn is_tail(byte: u8) -> bool {
    matches!(byte, 0x80..=0xbf)
}

/// Returns the length, 0 to 3, of a code point at the end that is incomplete and that more bytes could complete.
pub(super) fn unfinished_code_point(bytes: &[u8]) -> usize {
    let is_unfinished = |len: &usize| {
        let tail = bytes.len().checked_sub(*len).map(|start| &bytes[start..]);
        let error = tail.and_then(|tail| std::str::from_utf8(tail).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    if bytes.last().is_none_or(u8::is_ascii) { 0 } else { (1..=3).find(is_unfinished).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::chance::Chance;

    fn uppercase(bytes: &[u8]) -> Vec<u8> {
        let mut out = Outbox::default();
        append_uppercase(bytes, &mut out);
        out.pending().to_vec()
    }

    /// Returns what the standard library makes of `bytes`.
    fn model(bytes: &[u8]) -> Vec<u8> {
        let chunks = bytes.utf8_chunks();
        chunks.flat_map(|chunk| [chunk.valid().to_uppercase().as_bytes(), chunk.invalid()].concat()).collect()
    }

    #[test]
    fn characters_map_as_in_the_standard_library_to_at_most_triple_the_bytes() {
        let characters: Vec<char> = ('\0'..=char::MAX).collect();
        for some in characters.chunks(32) {
            let text: String = some.iter().collect();
            assert!(uppercase(text.as_bytes()) == text.to_uppercase().into_bytes(), "{text}");
            for character in some {
                let bytes: usize = character.to_uppercase().map(char::len_utf8).sum();
                assert!(bytes <= 3 * character.len_utf8(), "{character:?}");
            }
        }
        let all: String = characters.iter().collect();
        assert!(uppercase(all.as_bytes()) == all.to_uppercase().into_bytes());
    }

    /// Letters that are replaced by as many bytes, by more, by fewer, or not at all; and pieces of letters.
    const PARTS: [&[u8]; 21] = [
        b"a",
        b"abcdefghijklmnopq",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ä".as_bytes(),
        "ß".as_bytes(),
        "ı".as_bytes(),
        "ŉ".as_bytes(),
        "ΐ".as_bytes(),
        "ᾳ".as_bytes(),
        "ﬃ".as_bytes(),
        "ⱥ".as_bytes(),
        "𐐨".as_bytes(),
        "漢".as_bytes(),
        "😀".as_bytes(),
        b"\xff",
        b"\xa4",
        b"\xc3",
        b"\xe1\xbe",
        b"\xe0\x83\xa4",
        b"\xf0\x90\x90",
        b"\xf0\x83\xa4",
    ];

    #[test]
    fn a_letter_is_the_same_wherever_it_is_in_the_input() {
        for part in PARTS {
            for before in 0..BLOCK + CHUNK {
                for after in [&b"a"[..], b"\xa4", "ä".as_bytes()] {
                    let text = ["ä".as_bytes(), &b"x".repeat(before), part, after, &b"y".repeat(CHUNK)].concat();
                    assert!(uppercase(&text) == model(&text), "{before} before {}", part.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn letters_in_any_order_are_mapped_as_the_standard_library_maps_them() {
        for seed in 0..5_000 {
            let mut chance = Chance::new(seed);
            let some = 1 + chance.below(PARTS.len());
            let text: Vec<u8> = (0..chance.below(500)).flat_map(|_| chance.one_of(&PARTS[..some])).copied().collect();
            assert!(uppercase(&text) == model(&text), "seed {seed}");
        }
    }

    #[test]
    fn any_four_bytes_are_read_as_the_standard_library_reads_them() {
        let edges = [
            0x00, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xa4, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xdf, 0xe0, 0xe1, 0xea,
            0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        let mut bytes = Vec::new();
        for first in edges {
            for second in edges {
                for third in edges {
                    bytes.extend(edges.iter().flat_map(|fourth| [first, second, third, *fourth, b'a']));
                }
            }
        }
        assert!(uppercase(&bytes) == model(&bytes));
    }

    #[test]
    fn what_is_not_utf8_stays_as_it_is_between_letters_that_change() {
        assert_eq!(
            uppercase(b"a\xffb\xe2\x82c\xc3\xa4\xa4d\xed\xa0\x80e\xf0"),
            b"A\xffB\xe2\x82C\xc3\x84\xa4D\xed\xa0\x80E\xf0"
        );
    }

    #[test]
    fn a_code_point_is_unfinished_exactly_while_some_bytes_could_complete_it() {
        let completes = |tail: &[u8]| {
            let endings = (0x80..=0xbf).flat_map(|byte| [vec![byte], vec![byte, 0x80], vec![byte, 0x80, 0x80]]);
            endings.map(|ending| [tail, &ending].concat()).any(|whole| std::str::from_utf8(&whole).is_ok())
        };
        for first in 0..=255_u8 {
            assert_eq!(unfinished_code_point(&[b'a', first]), usize::from(completes(&[first])), "{first:#x}");
            for second in 0..=255_u8 {
                let pair = [first, second];
                let is_unfinished = |len: &usize| !pair[2 - len].is_ascii() && completes(&pair[2 - len..]);
                let expected = [2, 1].into_iter().find(is_unfinished).unwrap_or(0);
                assert_eq!(unfinished_code_point(&pair), expected, "{first:#x} {second:#x}");
            }
        }
        assert_eq!(unfinished_code_point(b"\xf0\x9f\x98"), 3);
        assert_eq!(unfinished_code_point(b"\xf0\x9f\x98\x80"), 0);
        assert_eq!(unfinished_code_point(b"\xf5\x80\x80"), 0);
    }
}
