//! From the bytes of a Fetch answer to records: batches are cut off at once, and unpacked when they
//! are given out, so that what is compressed waits compressed.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchError, BatchHeader, TimestampType, batches, records};

use super::ConsumedRecord;
use super::position::PartitionKey;

/// A batch that was fetched.
#[derive(Debug, Clone)]
pub(super) struct FetchedBatch {
    pub(super) key: PartitionKey,
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
}

/// Cuts an answer into batches; one that is cut off at the end is left out and fetched again.
pub(super) fn split(key: &PartitionKey, answer: Bytes) -> Result<Vec<FetchedBatch>, BatchError> {
    let cut = |batch| {
        let (header, bytes) = batch?;
        Ok(FetchedBatch {
            key: key.clone(),
            header,
            bytes,
        })
    };
    batches(&answer).map(cut).collect()
}

impl FetchedBatch {
    /// The records from an offset on: a batch is answered whole, even if it was asked for from its
    /// middle. Control batches have none for a program.
    pub(super) fn unpack(&self, from: Offset) -> Result<Vec<ConsumedRecord>, BatchError> {
        self.header.verify_crc(&self.bytes)?;
        if self.header.attributes.is_control() {
            return Ok(Vec::new());
        }
        let timestamp_type = self.header.attributes.timestamp_type();
        let mut unpacked = Vec::new();
        for record in records(&self.bytes)? {
            let record = record?;
            let offset = self.header.record_offset(record.offset_delta);
            if offset < from {
                continue;
            }
            unpacked.push(ConsumedRecord {
                topic: Arc::clone(&self.key.0),
                partition: self.key.1,
                offset,
                timestamp_ms: self.header.record_timestamp(record.timestamp_delta),
                is_log_append_time: timestamp_type == TimestampType::LogAppendTime,
                leader_epoch: self.header.partition_leader_epoch,
                key: record.key,
                value: record.value,
                headers: record.headers,
            });
        }
        Ok(unpacked)
    }
}
