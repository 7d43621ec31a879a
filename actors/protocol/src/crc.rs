//! CRC-32C (Castagnoli), the checksum of record batches, producer snapshots and our own files.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// CRC-32C of the concatenation of `parts`, without copying them together.
pub fn crc32c_of_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).expect("CRC-32C has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn parts_give_the_same_sum_as_the_whole() {
        let whole: Vec<u8> = (0..10_000u32).map(|n| (n * 31 % 251) as u8).collect();
        for cut in [0, 1, 15, 16, 4_096, 9_999, 10_000] {
            let (head, tail) = whole.split_at(cut);
            assert_eq!(crc32c_of_parts(&[head, tail]), crc32c(&whole));
        }
    }
}
