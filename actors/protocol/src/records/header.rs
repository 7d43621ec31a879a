//! The 61-byte header of a record batch and its attribute bits.
//!
//! Says nothing about the records behind it: that is `scan.rs` and `check.rs`.

use super::{BatchError, Compression, NO_SEQUENCE, NO_TIMESTAMP};
use crate::crc::crc32c;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Bytes of a batch header; the records follow.
pub const HEADER_BYTES: usize = 61;
/// `batch_length` counts from here: offset and length field are not part of it.
pub const BATCH_LENGTH_START: usize = 12;
/// The only batch format that is served.
pub const MAGIC: i8 = 2;
/// The checksum covers the bytes from here to the end of the batch.
pub(crate) const CRC_START: usize = 21;
/// Bytes before and including the magic byte: less is not even an old-format batch.
pub(crate) const MAGIC_END: usize = 17;

/// What the timestamp of a record means.
///
/// Source: KIP-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's time.
    #[default]
    CreateTime,
    /// The time at which the leader appended the batch; one for all of its records.
    LogAppendTime,
}

/// The attribute bits of a batch header.
///
/// Bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 base timestamp is a delete
/// horizon (KIP-534); the rest is unused and kept as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// Codec of the records, or [`BatchError::UnknownCodec`] for the numbers 5 to 7.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let code = (self.0 & Self::CODEC) as u8;
        Compression::from_code(code).ok_or(BatchError::UnknownCodec { code })
    }

    /// Whose time the records carry.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Written by a broker for brokers and clients: commit or abort of a transaction and the like.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// `base_timestamp` is the time after which tombstones may go.
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same bits with another codec.
    pub const fn with_compression(self, compression: Compression) -> Self {
        Self(self.0 & !Self::CODEC | compression.code() as i16)
    }

    /// The same bits with another timestamp type.
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Self(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Self(self.0 | Self::LOG_APPEND_TIME),
        }
    }

    /// The same bits with the transactional bit as given.
    pub const fn with_transactional(self, is_transactional: bool) -> Self {
        if is_transactional {
            Self(self.0 | Self::TRANSACTIONAL)
        } else {
            Self(self.0 & !Self::TRANSACTIONAL)
        }
    }

    /// The same bits with the control bit as given.
    pub const fn with_control(self, is_control: bool) -> Self {
        if is_control {
            Self(self.0 | Self::CONTROL)
        } else {
            Self(self.0 & !Self::CONTROL)
        }
    }
}

/// The header of a record batch, in the order of its bytes, all big-endian.
///
/// | at | bytes | field |
/// |---|---|---|
/// | 0 | 8 | `base_offset`, written by the broker |
/// | 8 | 4 | `batch_length`, bytes after this field |
/// | 12 | 4 | `partition_leader_epoch`, written by the broker |
/// | 16 | 1 | `magic`, 2 |
/// | 17 | 4 | `crc`, CRC-32C over byte 21 to the end |
/// | 21 | 2 | `attributes` |
/// | 23 | 4 | `last_offset_delta` |
/// | 27 | 8 | `base_timestamp` |
/// | 35 | 8 | `max_timestamp` |
/// | 43 | 8 | `producer_id`, -1 is none |
/// | 51 | 2 | `producer_epoch` |
/// | 53 | 4 | `base_sequence` |
/// | 57 | 4 | `record_count` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; records carry deltas to it.
    pub base_offset: Offset,
    /// Bytes of the batch after this field: the whole batch takes 12 more.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch, -1 from a client.
    pub partition_leader_epoch: LeaderEpoch,
    /// Format; [`BatchHeader::parse`] gives only 2.
    pub magic: i8,
    /// CRC-32C over byte 21 to the end.
    pub crc: u32,
    /// Codec, timestamp type and kind.
    pub attributes: Attributes,
    /// Delta of the last record; compaction keeps it when that record goes.
    pub last_offset_delta: i32,
    /// Time the records' deltas count from, in milliseconds.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, in milliseconds; -1 if they have none.
    pub max_timestamp: i64,
    /// Idempotent producer that sent the batch.
    pub producer_id: ProducerId,
    /// Epoch of that producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, -1 without a producer id.
    pub base_sequence: i32,
    /// Records in the batch; 0 is legal on disk, where compaction left an empty batch.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// Fails on fewer than 61 bytes, a magic other than 2, and a length that cannot hold the header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let available = bytes.len();
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Cut {
                needed: HEADER_BYTES,
                available,
            });
        };
        let header = Self::from_bytes(head);
        if header.magic != MAGIC {
            return Err(BatchError::Magic {
                magic: header.magic,
            });
        }
        let batch_length = header.batch_length;
        if batch_length < (HEADER_BYTES - BATCH_LENGTH_START) as i32 {
            return Err(BatchError::Length { batch_length });
        }
        Ok(header)
    }

    /// Reads the fields without judging them.
    pub(crate) fn from_bytes(head: &[u8; HEADER_BYTES]) -> Self {
        Self {
            base_offset: Offset(i64::from_be_bytes(field(head, 0))),
            batch_length: i32::from_be_bytes(field(head, 8)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(head, 12))),
            magic: i8::from_be_bytes(field(head, 16)),
            crc: u32::from_be_bytes(field(head, 17)),
            attributes: Attributes(i16::from_be_bytes(field(head, 21))),
            last_offset_delta: i32::from_be_bytes(field(head, 23)),
            base_timestamp: i64::from_be_bytes(field(head, 27)),
            max_timestamp: i64::from_be_bytes(field(head, 35)),
            producer_id: ProducerId(i64::from_be_bytes(field(head, 43))),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            record_count: i32::from_be_bytes(field(head, 57)),
        }
    }

    /// The 61 bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[0..8].copy_from_slice(&self.base_offset.get().to_be_bytes());
        head[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        head[12..16].copy_from_slice(&self.partition_leader_epoch.get().to_be_bytes());
        head[16..17].copy_from_slice(&self.magic.to_be_bytes());
        head[17..21].copy_from_slice(&self.crc.to_be_bytes());
        head[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        head[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        head[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        head[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        head[43..51].copy_from_slice(&self.producer_id.get().to_be_bytes());
        head[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        head[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        head[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        head
    }

    /// Bytes of the whole batch, header included.
    pub const fn batch_bytes(&self) -> usize {
        // `parse` refuses lengths below 49; a hand-made negative one counts as an empty batch.
        let length = if self.batch_length < 0 {
            0
        } else {
            self.batch_length as usize
        };
        BATCH_LENGTH_START + length
    }

    /// Offset of the last record; wraps on numbers that no log can hold.
    pub const fn last_offset(&self) -> Offset {
        self.record_offset(self.last_offset_delta)
    }

    /// Offset that the next batch starts at; wraps on numbers that no log can hold.
    pub const fn next_offset(&self) -> Offset {
        Offset(self.last_offset().get().wrapping_add(1))
    }

    /// Offset of the record with that delta; wraps on numbers that no log can hold.
    pub const fn record_offset(&self, offset_delta: i32) -> Offset {
        Offset(self.base_offset.get().wrapping_add(offset_delta as i64))
    }

    /// Timestamp of the record with that delta, in milliseconds: on a LogAppendTime batch that of
    /// the batch. Wraps as Java does.
    pub const fn record_timestamp(&self, timestamp_delta: i64) -> i64 {
        match self.attributes.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// Sent by an idempotent producer.
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id.get() > NO_PRODUCER_ID
    }

    /// Sequence number of the last record, wrapped from 2^31 - 1 to 0; -1 without one.
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        let sum = self.base_sequence as i64 + self.last_offset_delta as i64;
        (sum & i32::MAX as i64) as i32
    }

    /// Checks the checksum of `batch`, which is the whole batch and nothing else.
    pub fn verify_crc(&self, batch: &[u8]) -> Result<(), BatchError> {
        let available = batch.len();
        let Some(covered) = batch.get(CRC_START..self.batch_bytes()) else {
            return Err(BatchError::Cut {
                needed: self.batch_bytes(),
                available,
            });
        };
        let computed = crc32c(covered);
        if computed != self.crc {
            return Err(BatchError::Crc {
                stored: self.crc,
                computed,
            });
        }
        Ok(())
    }
}

const NO_PRODUCER_ID: i64 = ProducerId::NONE.get();

impl Default for BatchHeader {
    /// An empty batch of nobody at no time.
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            batch_length: (HEADER_BYTES - BATCH_LENGTH_START) as i32,
            partition_leader_epoch: LeaderEpoch::NONE,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: ProducerId::NONE,
            producer_epoch: -1,
            base_sequence: NO_SEQUENCE,
            record_count: 0,
        }
    }
}

/// The `N` bytes of `head` from `at`; all callers name fields inside the header.
fn field<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}
