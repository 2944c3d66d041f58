//! The letters that have an upper case, as UTF-8.
//!
//! The standard library searches its tables for each character, which takes longer than receiving it.

use std::hint::select_unpredictable;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The most bytes that the upper case of a letter may have. It has six in Unicode 17.
pub(super) const UPPER_BYTES: usize = 7;

/// Where to look for letters that have an upper case. Looking everywhere would take five times as long.
const LETTERS: [RangeInclusive<char>; 7] = [
    '\u{80}'..='\u{7ff}',
    '\u{1000}'..='\u{2fff}',
    '\u{a000}'..='\u{afff}',
    '\u{f000}'..='\u{ffff}',
    '\u{10000}'..='\u{11fff}',
    '\u{16000}'..='\u{16fff}',
    '\u{1e000}'..='\u{1efff}',
];

/// Characters that differ only in the low bits of their last byte.
const ROW: usize = 64;

/// Row numbers have twelve bits.
const ROWS: usize = 1 << 12;

/// Each letter that has an upper case, and each character of two bytes: some 80 KiB, which are made once.
#[derive(Debug)]
pub(super) struct Table {
    /// Where in `letters` each row begins; 0 for one without letters.
    rows: Box<[u16; ROWS]>,
    letters: Vec<Letter>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Letter {
    /// The bytes of the letter as one number; 0 where there is none.
    bytes: u32,
    upper: Upper,
}

/// The upper case of a letter: at most [`UPPER_BYTES`] from the lowest byte on, and in the highest byte how many they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Upper(u64);

impl Upper {
    fn new(bytes: &[u8]) -> Self {
        let mut upper = [0; 8];
        upper[..bytes.len()].copy_from_slice(bytes);
        upper[UPPER_BYTES] = bytes.len() as u8;
        Self(u64::from_le_bytes(upper))
    }

    /// The bytes, and something behind them.
    pub(super) const fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(super) const fn len(self) -> usize {
        (self.0 >> (8 * UPPER_BYTES)) as usize
    }
}

impl Table {
    /// The table. The first call makes it, which takes less than half a millisecond.
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

    /// The upper case of the character of two bytes that `text` begins with.
    pub(super) fn upper_of_two(&self, text: [u8; 4]) -> Upper {
        self.letter(u32::from_be_bytes(text) >> 16).upper
    }

    /// The length of what `text` begins with, and its upper case if that is a letter, else itself. Its first byte
    /// [may begin a letter](may_begin_letter), and has as many others behind it as it says.
    ///
    /// It takes the same way for every letter, since the processor cannot guess which it will be.
    pub(super) fn upper(&self, text: [u8; 4]) -> (usize, Upper) {
        let number = u32::from_be_bytes(text);
        let len = 2 + u32::from(number >= 0xe000_0000) + u32::from(number >= 0xf000_0000);
        let bytes = number >> (u32::BITS - 8 * len);
        let letter = self.letter(bytes);
        let itself = u64::from(u32::from_le_bytes(text)) | u64::from(len) << (8 * UPPER_BYTES);
        (len as usize, Upper(select_unpredictable(letter.bytes == bytes, letter.upper.0, itself)))
    }
}

/// The number of the row for a character with these bytes: six bits of each of the two bytes before the last, which leave out the
/// first of four. So some characters above plane 1 share their row with others; they are no letters.
const fn row_number(bytes: u32) -> usize {
    (bytes >> 8 & 0x3f | bytes >> 10 & 0xfc0) as usize
}

/// The place of a character with these bytes in its row.
const fn column(bytes: u32) -> usize {
    (bytes & 0x3f) as usize
}

/// Whether [`LETTERS`] begin with `byte`, those of two bytes aside that have no upper case.
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
