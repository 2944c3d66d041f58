//! Upper case for bytes that are mostly UTF-8: ASCII in blocks, other characters from a table.

use std::sync::OnceLock;

use crate::outbox::Outbox;

/// Bytes that are looked at together for being ASCII.
const ASCII_BLOCK: usize = 64;

/// Bytes of other text that are mapped together.
const TEXT_BLOCK: usize = 512;

/// The longest character, in bytes of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;

/// Appends `bytes` in upper case; what is not UTF-8 stays as it is.
pub(super) fn append_uppercase(bytes: &[u8], out: &mut Outbox) {
    let mut rest = bytes;
    loop {
        let (ascii, other) = rest.split_at(ascii_prefix(rest));
        out.extend_from_slice(ascii).make_ascii_uppercase();
        if other.is_empty() {
            return;
        }
        rest = &other[append_block(other, out)..];
    }
}

/// The length of the ASCII that `bytes` begin with, in whole blocks unless it is all of them.
fn ascii_prefix(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks(ASCII_BLOCK).take_while(|block| block.is_ascii()).map(<[u8]>::len);
    blocks.sum()
}

/// Appends a block from the front of `bytes` in upper case, up to the end of its last character, and gives its length.
fn append_block(bytes: &[u8], out: &mut Outbox) -> usize {
    let mut block = [0; TEXT_BLOCK];
    let block = &mut block[..bytes.len().min(TEXT_BLOCK)];
    block.copy_from_slice(&bytes[..block.len()]);
    block.make_ascii_uppercase();
    let mut done = 0;
    while done < block.len() {
        let in_place = done..done + map_in_place(&mut block[done..]);
        out.extend_from_slice(&block[in_place.clone()]);
        done = in_place.end + append_first(&bytes[in_place.end..], out);
    }
    done
}

/// Appends the first character of `bytes` in upper case, whatever its length is then, or the first bytes that are none; and
/// gives their length.
fn append_first(bytes: &[u8], out: &mut Outbox) -> usize {
    let Some(chunk) = bytes[..bytes.len().min(CHARACTER_BYTES_MAX)].utf8_chunks().next() else { return 0 };
    if let Some(character) = chunk.valid().chars().next() {
        for upper in character.to_uppercase() {
            out.extend_from_slice(upper.encode_utf8(&mut [0; CHARACTER_BYTES_MAX]).as_bytes());
        }
        character.len_utf8()
    } else {
        out.extend_from_slice(chunk.invalid());
        chunk.invalid().len()
    }
}

/// Replaces the characters at the front of `text` by their upper case, ASCII aside, up to one whose length changes or what is
/// no character; and gives their length.
///
/// It decodes by itself. Where words of other letters alternate with ASCII the processor guesses most ends of words wrong; a
/// text that the standard library had checked before would pay for each of them twice.
fn map_in_place(text: &mut [u8]) -> usize {
    let mut done = 0;
    loop {
        let replaced = match text.get(done) {
            Some(..0x80) => Some(1),
            Some(0xc2..=0xdf) => replace::<2>(&mut text[done..]),
            Some(0xe0..=0xef) => replace::<3>(&mut text[done..]),
            Some(0xf0..=0xf4) => replace::<4>(&mut text[done..]),
            _ => None,
        };
        let Some(len) = replaced else { return done };
        done += len;
    }
}

/// Replaces the character at the front of `text`, whose first byte says that it has `LEN` bytes, by its upper case, and gives
/// `LEN`; or leaves it alone if that has another length, or if it is no character (RFC 3629, section 4).
fn replace<const LEN: usize>(text: &mut [u8]) -> Option<usize> {
    let bytes = text.first_chunk_mut::<LEN>()?;
    let (first, tail) = bytes.split_first()?;
    let code = tail.iter().fold(u32::from(first & 0x7f >> LEN), |code, byte| code << 6 | u32::from(byte & 0x3f));
    // The shortest form is the only one, and surrogates have none.
    let character = char::from_u32(code).filter(|character| character.len_utf8() == LEN)?;
    if !tail.iter().all(|byte| matches!(byte, 0x80..=0xbf)) {
        return None;
    }
    if let Some(page) = page(character) {
        let upper = page[character as usize % PAGE]?;
        bytes.copy_from_slice(&upper[..LEN]);
    }
    Some(LEN)
}

/// The length of an incomplete code point at the end, at most three bytes: one that more bytes could complete.
pub(super) fn unfinished_code_point(bytes: &[u8]) -> usize {
    let is_unfinished = |len: &usize| {
        let tail = bytes.len().checked_sub(*len).map(|start| &bytes[start..]);
        let error = tail.and_then(|tail| std::str::from_utf8(tail).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    if bytes.last().is_none_or(u8::is_ascii) { 0 } else { (1..=3).find(is_unfinished).unwrap_or(0) }
}

/// The upper case of 256 characters as UTF-8, where it has the length of the character. The standard library searches its
/// tables for each character, which takes longer than receiving it.
type Page = [Option<[u8; CHARACTER_BYTES_MAX]>; PAGE];

const PAGE: usize = 256;

/// Planes 0 and 1 of Unicode; those above have ideographs, tags and private characters, which have no case.
const PAGES: usize = 0x2_0000 / PAGE;

/// The page of `character`, if any character there has an upper case. Each is made when it is first needed, which takes some
/// microseconds: a text needs few of them.
fn page(character: char) -> Option<&'static Page> {
    static TABLE: [OnceLock<Option<Box<Page>>>; PAGES] = [const { OnceLock::new() }; PAGES];
    let number = character as usize / PAGE;
    TABLE.get(number)?.get_or_init(|| make_page(number)).as_deref()
}

fn make_page(number: usize) -> Option<Box<Page>> {
    let codes = (number * PAGE) as u32..;
    let characters = || codes.clone().take(PAGE).map(|code| char::from_u32(code).unwrap_or_default());
    if characters().all(|character| character.to_uppercase().eq([character])) {
        return None;
    }
    let mut page = Box::new([None; PAGE]);
    for (entry, character) in page.iter_mut().zip(characters()) {
        let upper: String = character.to_uppercase().collect();
        if upper.len() == character.len_utf8() {
            entry.insert([0; CHARACTER_BYTES_MAX])[..upper.len()].copy_from_slice(upper.as_bytes());
        }
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uppercase(bytes: &[u8]) -> Vec<u8> {
        let mut out = Outbox::default();
        append_uppercase(bytes, &mut out);
        out.pending().to_vec()
    }

    #[test]
    fn every_character_is_mapped_as_the_standard_library_maps_it_to_at_most_three_times_its_bytes() {
        for character in '\u{80}'..=char::MAX {
            let expected = character.to_uppercase().to_string().into_bytes();
            assert!(expected.len() <= 3 * character.len_utf8(), "{character:?}");
            let mut in_place = character.to_string().into_bytes();
            let done = map_in_place(&mut in_place);
            if expected.len() == in_place.len() {
                assert_eq!((done, in_place), (expected.len(), expected), "{character:?}");
            } else {
                assert_eq!((done, in_place), (0, character.to_string().into_bytes()), "{character:?}");
            }
        }
        let all: String = ('\0'..=char::MAX).collect();
        assert!(uppercase(all.as_bytes()) == all.to_uppercase().into_bytes());
    }

    #[test]
    fn any_four_bytes_are_read_as_the_standard_library_reads_them() {
        let edges = [
            0x00, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
            0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        let mut bytes = Vec::new();
        for first in edges {
            for second in edges {
                for third in edges {
                    bytes.extend(edges.iter().flat_map(|fourth| [first, second, third, *fourth, b'a']));
                }
            }
        }
        let expected =
            bytes.utf8_chunks().flat_map(|chunk| [chunk.valid().to_uppercase().as_bytes(), chunk.invalid()].concat());
        assert!(uppercase(&bytes) == expected.collect::<Vec<_>>());
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
