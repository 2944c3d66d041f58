//! Upper case for bytes that are mostly UTF-8: ASCII in blocks, other characters from a table.

use std::sync::LazyLock;

use crate::outbox::Outbox;

/// Bytes that are looked at together for being ASCII.
const ASCII_BLOCK: usize = 64;

/// Bytes of other text that are mapped together.
const TEXT_BLOCK: usize = 512;

/// Makes the table, which takes some milliseconds: for the start of a server, not for a turn of its loop.
pub(super) fn prepare() {
    LazyLock::force(&TABLE);
}

/// Appends `bytes` in upper case; what is not UTF-8 stays as it is.
pub(super) fn append_uppercase(bytes: &[u8], out: &mut Outbox) {
    let (ascii, other) = bytes.split_at(ascii_prefix(bytes));
    out.extend_from_slice(ascii).make_ascii_uppercase();
    if other.is_empty() {
        return;
    }
    let mut rest = other;
    while let Err(error) = std::str::from_utf8(rest) {
        let (valid, invalid) = rest.split_at(error.valid_up_to());
        append_text(std::str::from_utf8(valid).unwrap_or_default(), out);
        let (invalid, after) = invalid.split_at(error.error_len().unwrap_or(invalid.len()));
        out.extend_from_slice(invalid);
        rest = after;
    }
    append_text(std::str::from_utf8(rest).unwrap_or_default(), out);
}

/// Appends `text` in upper case.
fn append_text(mut text: &str, out: &mut Outbox) {
    let table = &*TABLE;
    let mut block = [0; TEXT_BLOCK];
    while !text.is_empty() {
        let (head, rest) = text.split_at(block_len(text));
        append_block(head, &mut block[..head.len()], table, out);
        text = rest;
    }
}

/// Appends `text` in upper case. It is mapped in place in `block`, which is as long, as far as no length changes.
fn append_block(text: &str, block: &mut [u8], table: &Table, out: &mut Outbox) {
    block.copy_from_slice(text.as_bytes());
    block.make_ascii_uppercase();
    let mut appended = 0;
    for (at, character) in text.char_indices().filter(|(_, character)| !character.is_ascii()) {
        if let Some(upper) = table.same_length(character) {
            upper.encode_utf8(&mut block[at..]);
        } else {
            out.extend_from_slice(&block[appended..at]);
            character.to_uppercase().for_each(|upper| {
                out.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
            });
            appended = at + character.len_utf8();
        }
    }
    out.extend_from_slice(&block[appended..]);
}

/// How much of `text` to map next: a block, or a little less so as not to split a character.
fn block_len(text: &str) -> usize {
    let end = text.len().min(TEXT_BLOCK);
    (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(end)
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

/// The length of the ASCII that `bytes` begin with, in whole blocks unless it is all of them.
fn ascii_prefix(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks(ASCII_BLOCK).take_while(|block| block.is_ascii()).map(<[u8]>::len);
    blocks.sum()
}

/// The upper case of every character for which it is one character of as many bytes. The standard library searches its tables for each
/// character, which takes longer than receiving it.
struct Table {
    /// For every 256 characters, the number of their page; 0 if none of them has an upper case.
    numbers: [u8; PAGES],
    /// Page 1 and those that follow.
    pages: Vec<Page>,
}

/// The upper case of 256 characters, where it is one character of as many bytes.
type Page = [Option<char>; PAGE];

const PAGE: usize = 256;

/// Planes 0 and 1 of Unicode; those above have ideographs, tags and private characters, which have no case.
const PAGES: usize = 0x2_0000 / PAGE;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { numbers: [0; PAGES], pages: Vec::new() };
    for (number, first) in table.numbers.iter_mut().zip((0_u32..).step_by(PAGE)) {
        let characters = || (first..).take(PAGE).map(|code| char::from_u32(code).unwrap_or_default());
        if characters().any(|character| !character.to_uppercase().eq([character])) {
            let mut page = [None; PAGE];
            for (entry, character) in page.iter_mut().zip(characters()) {
                let mut upper = character.to_uppercase();
                let first = upper.next().filter(|first| first.len_utf8() == character.len_utf8());
                *entry = first.filter(|_| upper.next().is_none());
            }
            table.pages.push(page);
            *number = u8::try_from(table.pages.len()).expect("Unicode has case in far fewer pages");
        }
    }
    table
});

impl Table {
    /// The upper case of `character`, unless it is several characters or longer or shorter.
    fn same_length(&self, character: char) -> Option<char> {
        let code = character as usize;
        match self.numbers.get(code / PAGE) {
            None | Some(0) => Some(character),
            Some(number) => self.pages[usize::from(*number) - 1][code % PAGE],
        }
    }
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
        for character in '\0'..=char::MAX {
            let expected: String = character.to_uppercase().collect();
            let same_length = TABLE.same_length(character).map(String::from);
            assert_eq!(same_length.as_ref().unwrap_or(&expected), &expected);
            assert!(
                same_length.is_some() || expected.len() != character.len_utf8() || expected.chars().count() > 1,
                "{character:?}"
            );
            assert!(expected.len() <= 3 * character.len_utf8(), "{character:?}");
        }
        let all: String = ('\0'..=char::MAX).collect();
        assert!(uppercase(all.as_bytes()) == all.to_uppercase().into_bytes());
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
