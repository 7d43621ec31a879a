//! The two sparse indexes of a segment: which entries it gets, and their bytes. The files themselves
//! are written by the log and searched by `search`.

mod search;
mod tail;

pub(crate) use search::{floor_by_offset, offset_entries_before, time_entries_before};
pub(crate) use search::{floor_by_timestamp, last_time_entry, offset_entry_at, time_entry_at};
pub(crate) use tail::{IndexTail, PendingEntries};

use kabuki_protocol::ids::Offset;

/// Bytes of an entry of the offset index.
pub(crate) const OFFSET_ENTRY_BYTES: u64 = 8;
/// Bytes of an entry of the time index.
pub(crate) const TIME_ENTRY_BYTES: u64 = 12;

/// The last offset of a batch and where the batch starts in the `.log` file.
///
/// On disk: int32 offset minus base, int32 position, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, relative to the segment's base.
    pub(crate) relative_offset: u32,
    /// Byte position of the batch.
    pub(crate) position: u32,
}

/// The largest timestamp up to a place in the segment, and the batch that brought it.
///
/// On disk: int64 timestamp, int32 offset minus base, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Last offset of the batch that holds it, relative to the segment's base.
    pub(crate) relative_offset: u32,
}

impl OffsetEntry {
    pub(crate) fn encode(self) -> [u8; OFFSET_ENTRY_BYTES as usize] {
        let mut bytes = [0; OFFSET_ENTRY_BYTES as usize];
        bytes[..4].copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes[4..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; OFFSET_ENTRY_BYTES as usize]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            relative_offset: u32::from_be_bytes([a, b, c, d]),
            position: u32::from_be_bytes([e, f, g, h]),
        }
    }
}

impl TimeEntry {
    pub(crate) fn encode(self) -> [u8; TIME_ENTRY_BYTES as usize] {
        let mut bytes = [0; TIME_ENTRY_BYTES as usize];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; TIME_ENTRY_BYTES as usize]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            relative_offset: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

/// `offset` as an index stores it, or `None` where it is out of the segment's reach.
pub(crate) fn relative(base: Offset, offset: Offset) -> Option<u32> {
    let distance = offset.get().checked_sub(base.get())?;
    // Kafka reads the field as a signed number.
    i32::try_from(distance)
        .ok()
        .and_then(|distance| u32::try_from(distance).ok())
}
