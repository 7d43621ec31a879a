//! A batch that passed `check_batch`: what a partition may append.

use bytes::Bytes;

use super::{BatchHeader, HEADER_BYTES};
use crate::ids::{LeaderEpoch, Offset};

/// One well-formed batch of a client, ready to be given an offset.
///
/// Cheap to clone: the record bytes are shared with the request they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBatch {
    /// The header as it is to be stored, but for base offset and leader epoch.
    pub header: BatchHeader,
    /// Exactly 12 + `batch_length` bytes. The first 61 are those that came: where the broker had to
    /// change them (LogAppendTime, a wrong `max_timestamp`), `header` is right, so a
    /// writer takes [`CheckedBatch::stamped`] and not these.
    pub bytes: Bytes,
    /// Largest timestamp of the records, as stored; -1 if they have none.
    pub max_timestamp: i64,
    /// Offset delta of the first record with that timestamp.
    pub max_timestamp_delta: i32,
    /// Records in the batch, at least 1; their offset deltas are 0 to `record_count` - 1.
    pub record_count: i32,
    /// Time given to the batch on a LogAppendTime topic, else -1: `log_append_time_ms` of the answer.
    pub log_append_time_ms: i64,
}

impl CheckedBatch {
    /// The bytes to store: the header with its place in the log, and the records, shared.
    ///
    /// Base offset and leader epoch lie outside the checksum, so it stays valid.
    pub fn stamped(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [Bytes; 2] {
        let header = BatchHeader {
            base_offset,
            partition_leader_epoch: leader_epoch,
            ..self.header
        };
        [
            Bytes::copy_from_slice(&header.encode()),
            self.bytes.slice(HEADER_BYTES..),
        ]
    }
}
