//! The letters that have an upper case, as UTF-8.
//!
//! The standard library searches its tables for each character, which takes longer than receiving the character.

use std::hint::select_unpredictable;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The most bytes that the upper case of a letter may have. In Unicode 17 it has six at most.
pub(super) const UPPER_BYTES: usize = 7;

/// The ranges that contain all letters with an upper case. A search of all characters would take five times as long.
const LETTERS: [RangeInclusive<char>; 7] = [
    '\u{80}'..='\u{7ff}',
    '\u{1000}'..='\u{2fff}',
    '\u{a000}'..='\u{afff}',
    '\u{f000}'..='\u{ffff}',
    '\u{10000}'..='\u{11fff}',
    '\u{16000}'..='\u{16fff}',
    '\u{1e000}'..='\u{1efff}',
];

/// Characters in a row: they differ only in the low bits of their last byte.
const ROW: usize = 64;

/// Row numbers have twelve bits.
const ROWS: usize = 1 << 12;

/// All letters with an upper case, and all characters of two bytes: about 80 KiB, made once.
#[derive(Debug)]
pub(super) struct Table {
    /// Where in `letters` each row begins; 0 for a row without letters.
    rows: Box<[u16; ROWS]>,
    letters: Vec<Letter>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Letter {
    /// The bytes of the letter as one number; 0 for a place without a letter.
    bytes: u32,
    upper: Upper,
}

/// The upper case of a letter: at most [`UPPER_BYTES`] bytes from the lowest on, and their number in the highest byte.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Upper(u64);

impl Upper {
    fn new(bytes: &[u8]) -> Self {
        let mut upper = [0; 8];
        upper[..bytes.len()].copy_from_slice(bytes);
        upper[UPPER_BYTES] = bytes.len() as u8;
        Self(u64::from_le_bytes(upper))
    }

    /// Returns the bytes; those after the first [`len`](Self::len) mean nothing.
    pub(super) const fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(super) const fn len(self) -> usize {
        (self.0 >> (8 * UPPER_BYTES)) as usize
    }
}

impl Table {
    /// Returns the table. The first call makes the table, in less than half a millisecond.
    pub(super) fn get() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(Table::new);
        &TABLE
    }

    fn new() -> Self {
        let mut table = Self { rows: Box::new([0; ROWS]), letters: vec![Letter::default(); ROW] };
        for character in LETTERS.into_iter().flatten() {
            if character.len_utf8() == 2 || !character.to_uppercase().eq([character]) {
                table.insert(character);
            }
        }
        table
    }

    fn insert(&mut self, character: char) {
        let bytes = character.encode_utf8(&mut [0; 4]).bytes().fold(0, |number, byte| number << 8 | u32::from(byte));
        let row = &mut self.rows[row_number(bytes)];
        if *row == 0 {
            *row = self.letters.len() as u16;
            self.letters.resize(self.letters.len() + ROW, Letter::default());
        }
        let upper = Upper::new(character.to_uppercase().to_string().as_bytes());
        self.letters[usize::from(*row) + column(bytes)] = Letter { bytes, upper };
    }

    fn letter(&self, bytes: u32) -> &Letter {
        &self.letters[usize::from(self.rows[row_number(bytes)]) + column(bytes)]
    }

    /// Returns the upper case of the character of two bytes at the front of `text`.
    pub(super) fn upper_of_two(&self, text: [u8; 4]) -> Upper {
        self.letter(u32::from_be_bytes(text) >> 16).upper
    }

    /// Returns the length of the character at the front of `text`, and its upper case, or the character itself if it is not a
    /// letter with one. The first byte must be one that [may begin a letter](may_begin_letter), followed by its tail bytes.
    ///
    /// The code has no branch, since the processor could not predict which letter comes.
    pub(super) fn upper(&self, text: [u8; 4]) -> (usize, Upper) {
        let number = u32::from_be_bytes(text);
        let len = 2 + u32::from(number >= 0xe000_0000) + u32::from(number >= 0xf000_0000);
        let bytes = number >> (u32::BITS - 8 * len);
        let letter = self.letter(bytes);
        let itself = u64::from(u32::from_le_bytes(text)) | u64::from(len) << (8 * UPPER_BYTES);
        (len as usize, Upper(select_unpredictable(letter.bytes == bytes, letter.upper.0, itself)))
    }
}

/// Returns the row of a character with these bytes: six bits of each of the two bytes before the last. The first of four bytes is
/// left out, so some characters above plane 1 share a row with others; none of them is a letter.
const fn row_number(bytes: u32) -> usize {
    (bytes >> 8 & 0x3f | bytes >> 10 & 0xfc0) as usize
}

/// Returns the place of a character with these bytes in its row.
const fn column(bytes: u32) -> usize {
    (bytes & 0x3f) as usize
}

/// Whether a letter of [`LETTERS`] may begin with `byte`. Characters of two bytes without an upper case are left out.
pub(super) const fn may_begin_letter(byte: u8) -> bool {
    matches!(byte, 0xc2..=0xd6 | 0xe1 | 0xe2 | 0xea | 0xef | 0xf0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(upper: Upper) -> String {
        String::from_utf8(upper.bytes()[..upper.len()].to_vec()).unwrap()
    }

    #[test]
    fn every_letter_has_a_place_of_its_own_and_begins_as_one_may() {
        let letters = || ('\u{80}'..=char::MAX).filter(|character| !character.to_uppercase().eq([*character]));
        for letter in letters() {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes);
            assert!(may_begin_letter(bytes[0]), "{letter:?}");
            let (len, upper) = Table::get().upper(bytes);
            assert_eq!((len, text(upper)), (letter.len_utf8(), letter.to_uppercase().to_string()), "{letter:?}");
        }
        assert!(letters().count() > 1_400);
    }

    #[test]
    fn every_character_of_two_bytes_has_an_upper_case_in_the_table() {
        for character in '\u{80}'..'\u{800}' {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes);
            let upper = Table::get().upper_of_two(bytes);
            assert_eq!(text(upper), character.to_uppercase().to_string(), "{character:?}");
        }
    }
}
