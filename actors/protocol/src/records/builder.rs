//! Makes new record batches: for our own topics, the client, tools and tests.

use bytes::Bytes;

use super::compress::Compressor;
use super::record::RecordParts;
use super::reencode::seal;
use super::{BatchError, BatchHeader, Compression, HEADER_BYTES, TimestampType};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Collects records and builds one batch of them.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    level: i32,
    records: Vec<u8>,
    is_ordered: bool,
}

impl BatchBuilder {
    /// An empty batch with that codec at its default level.
    pub fn new(compression: Compression) -> Self {
        Self {
            header: BatchHeader::default(),
            compression,
            level: compression.default_level(),
            records: Vec::new(),
            is_ordered: true,
        }
    }

    /// Sets the level of the codec, in the numbers of Kafka's `compression.*.level`.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the offset of the first record; 0 for batches that go to a broker.
    pub fn base_offset(mut self, base_offset: Offset) -> Self {
        self.header.base_offset = base_offset;
        self
    }

    /// Sets the leader epoch; -1 for batches that go to a broker.
    pub fn leader_epoch(mut self, leader_epoch: LeaderEpoch) -> Self {
        self.header.partition_leader_epoch = leader_epoch;
        self
    }

    /// Makes the batch one of an idempotent producer.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Sets the transactional bit.
    pub fn transactional(mut self, is_transactional: bool) -> Self {
        self.header.attributes = self.header.attributes.with_transactional(is_transactional);
        self
    }

    /// Sets the control bit.
    pub fn control(mut self, is_control: bool) -> Self {
        self.header.attributes = self.header.attributes.with_control(is_control);
        self
    }

    /// Sets whose time the records carry.
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        self.header.attributes = self.header.attributes.with_timestamp_type(timestamp_type);
        self
    }

    /// Appends a record with the next offset; the first one's timestamp becomes the base.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let offset_delta = self.header.last_offset_delta.wrapping_add(1);
        self.push_at(offset_delta, timestamp_ms, key, value, headers);
    }

    /// Appends a record at an offset delta of the caller's choice, above that of the last record.
    ///
    /// For compaction, which leaves gaps. `build` refuses a delta that does not rise.
    pub fn push_at(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let header = &mut self.header;
        self.is_ordered &= offset_delta > header.last_offset_delta;
        if header.record_count == 0 {
            header.base_timestamp = timestamp_ms;
            header.max_timestamp = timestamp_ms;
        }
        header.max_timestamp = header.max_timestamp.max(timestamp_ms);
        header.last_offset_delta = offset_delta;
        header.record_count = header.record_count.wrapping_add(1);
        let timestamp_delta = timestamp_ms.wrapping_sub(header.base_timestamp);
        RecordParts {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        }
        .put(&mut self.records);
    }

    /// Keeps the delta of the last offset beyond the last record, as compaction does.
    pub fn last_offset_delta(mut self, last_offset_delta: i32) -> Self {
        self.is_ordered &= last_offset_delta >= self.header.last_offset_delta;
        self.header.last_offset_delta = last_offset_delta;
        self
    }

    /// Records so far.
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the batch if it were built now without compression.
    pub fn uncompressed_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Compresses and seals the batch.
    ///
    /// Fails when the batch would not fit into 2^31 - 1 bytes, its offset deltas do not rise, or the
    /// codec refuses.
    pub fn build(self) -> Result<Bytes, BatchError> {
        let index = self.header.record_count;
        if !self.is_ordered {
            return Err(BatchError::Record {
                index,
                why: "has an offset not above the one before",
            });
        }
        if self.records.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes_max: BATCH_BYTES_MAX,
            });
        }
        let mut compressor = Compressor::new(self.compression, self.level, BATCH_BYTES_MAX)?;
        compressor.write(&self.records)?;
        let attributes = self.header.attributes.with_compression(self.compression);
        let (_, batch) = seal(
            &BatchHeader {
                attributes,
                ..self.header
            },
            compressor.finish()?,
        )?;
        Ok(batch)
    }
}

/// `batch_length` is an int32.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;
