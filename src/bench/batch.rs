//! The batch that is sent over and over.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kabuki_protocol::records::{BatchBuilder, Compression};

use super::BenchError;

/// A batch of as many records as fit, and how many they are.
pub(super) fn build_batch(record_bytes: u32, batch_bytes: u32) -> Result<(Bytes, u64), BenchError> {
    /// A record may take this much more than the one before: its offset delta and its own length
    /// are numbers of varying size.
    const GROWTH_BYTES: usize = 2;
    let value = noise(record_bytes as usize);
    let mut batch = BatchBuilder::new(Compression::None);
    loop {
        let before = batch.uncompressed_bytes();
        batch.push(now_ms(), None, Some(&value), &[]);
        let after = batch.uncompressed_bytes();
        if after + (after - before) + GROWTH_BYTES > batch_bytes as usize {
            break;
        }
    }
    let count = u64::try_from(batch.record_count()).unwrap_or(1);
    let built = batch.build().map_err(|source| BenchError::Records {
        what: "this size".to_owned(),
        source,
    })?;
    Ok((built, count))
}

/// Bytes without a pattern that a codec or a file system could make smaller.
pub(super) fn noise(count: usize) -> Vec<u8> {
    // Marsaglia's xorshift; any odd start will do.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::records::{BatchHeader, records};

    use super::*;

    #[test]
    fn a_batch_is_full_but_never_larger_than_asked() {
        for (record_bytes, batch_bytes) in [(100, 16_384), (1_024, 16_384), (0, 900), (60, 200)] {
            let (batch, count) = build_batch(record_bytes, batch_bytes).unwrap();
            let room = batch_bytes as usize - batch.len();
            assert!(room < record_bytes as usize + 16, "{room} bytes are left");
            assert_eq!(records(&batch).unwrap().count() as u64, count);
        }
    }

    #[test]
    fn a_batch_holds_one_record_where_not_even_one_fits() {
        let (batch, count) = build_batch(100, 1).unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!((count, header.record_count), (1, 1));
    }
}
