//! The frame around a batch of records, and around a snapshot.
//!
//! Layout, integers big-endian: magic 4 (`KMB1` a batch, `KMS1` a snapshot), payload length 4,
//! CRC-32C 4 over all that follows, base offset 8, payload (postcard list of records). The base offset
//! is that of the first record; in a snapshot, that of the first record after it.

use kabuki_protocol::crc::crc32c;

use crate::records::{MetadataRecord, Records};

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Batch,
    Snapshot,
}

impl Kind {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Batch => *b"KMB1",
            Self::Snapshot => *b"KMS1",
        }
    }
}

const LENGTH_AT: usize = 4;
const CRC_AT: usize = 8;
const OFFSET_AT: usize = 12;
/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 20;

/// The bytes of one frame.
///
/// # Panics
/// When the records take 4 GiB or more: no request that is read is as large by far.
pub(super) fn encode(kind: Kind, base_offset: i64, records: &[MetadataRecord]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame[..LENGTH_AT].copy_from_slice(&kind.magic());
    frame[OFFSET_AT..].copy_from_slice(&base_offset.to_be_bytes());
    let mut frame = postcard::to_extend(records, frame)
        .expect("records hold no type that postcard can not encode, and memory grows");
    let length = u32::try_from(frame.len() - HEADER_BYTES).expect("a batch is under 4 GiB");
    frame[LENGTH_AT..CRC_AT].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&frame[OFFSET_AT..]);
    frame[CRC_AT..OFFSET_AT].copy_from_slice(&crc.to_be_bytes());
    frame
}

/// A frame that was read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) base_offset: i64,
    pub(super) records: Records,
    /// Length of the whole frame in bytes.
    pub(super) bytes: usize,
}

/// Reads the frame that begins at the first byte; `None` when there is no whole and sound one.
pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Option<Frame> {
    let header = bytes.get(..HEADER_BYTES)?;
    if header[..LENGTH_AT] != kind.magic() {
        return None;
    }
    let length = u32::from_be_bytes(header[LENGTH_AT..CRC_AT].try_into().ok()?);
    let end = HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let body = bytes.get(OFFSET_AT..end)?;
    let crc = u32::from_be_bytes(header[CRC_AT..OFFSET_AT].try_into().ok()?);
    if crc32c(body) != crc {
        return None;
    }
    let base_offset = i64::from_be_bytes(header[OFFSET_AT..].try_into().ok()?);
    let records = postcard::from_bytes(&bytes[HEADER_BYTES..end]).ok()?;
    Some(Frame {
        base_offset,
        records,
        bytes: end,
    })
}

/// Whether a whole and sound frame begins anywhere in `bytes`: if so, what stands before it is damage,
/// and not the tail of a write that a crash cut off.
pub(super) fn has_frame(kind: Kind, bytes: &[u8]) -> bool {
    let magic = kind.magic();
    let starts = bytes
        .windows(magic.len())
        .enumerate()
        .filter(|(_, window)| *window == magic);
    starts
        .into_iter()
        .any(|(at, _)| decode(kind, &bytes[at..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabuki_protocol::ids::ProducerId;

    #[test]
    fn frames_keep_their_golden_bytes() {
        let records = [MetadataRecord::ProducerIdsReserved {
            next: ProducerId(1),
        }];
        let frame = encode(Kind::Batch, 258, &records);
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        // Magic, length, CRC-32C, base offset; then: one record, its tag 8, zigzag 1.
        assert_eq!(hex, "4b4d423100000003f4c9dbe40000000000000102010802");
        let decoded = decode(Kind::Batch, &frame).unwrap();
        assert_eq!((decoded.base_offset, decoded.bytes), (258, frame.len()));
        assert_eq!(decoded.records, records);
        assert_eq!(decode(Kind::Snapshot, &frame), None);
    }
}
