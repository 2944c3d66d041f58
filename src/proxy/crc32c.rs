//! The checksum CRC32c (RFC 3720, appendix B.4).

/// The polynomial of Castagnoli, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What the checksum becomes by each value of a byte.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

/// Returns the checksum of these parts, one behind the other.
pub(super) fn of<const N: usize>(parts: [&[u8]; N]) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |sum: u32, byte| TABLE[usize::from(*byte ^ sum as u8)] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_have_their_checksums() {
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(of([&[0; 32]]), 0x8a91_36aa);
        assert_eq!(of([&[0xff; 32]]), 0x62a8_ab43);
        assert_eq!(of([&rising[..5], &rising[5..]]), 0x46dd_794e);
        assert_eq!(of([b"123456789"]), 0xe306_9283);
    }
}
